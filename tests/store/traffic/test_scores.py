"""The scores' promises: a question has one score a model and package, typed as it was declared, apart from what was served."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from store import sql, tables
from store.errors import Conflict, InvalidInput
from store.layout import Root
from store.traffic import outcomes, predictions, scores

START, HOUR = datetime(2013, 4, 1, tzinfo=UTC), timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")
MANIFEST = {
    "request": {"flight": "String", "gate": "Int32", "miles": "Int64"},
    "outcome": {"late": "Boolean"},
    "key": ["flight", "gate"],
    "columns": ["miles", "sky", "when"],
}


def scored(*numbers, **changed):
    """Rows as a scoring has them: one an hour."""
    frame = pl.DataFrame(
        {
            "flight": [f"UA{n}" for n in numbers],
            "gate": numbers,
            "event_time": [START + n * HOUR for n in numbers],
            "label": [None for _ in numbers],
            "miles": [n * 10 for n in numbers],
            "sky": ["clear" for _ in numbers],
            "when": [START + n * HOUR for n in numbers],
            "prediction": [n / 10 for n in numbers],
        },
        schema_overrides={"gate": pl.Int64, "event_time": TIME, "when": TIME, "prediction": pl.Float64},
    )
    return frame.with_columns(**changed)


def add(root, rows, model="m", package="k", manifest=MANIFEST, at=START):
    return scores.add(root, "production", "tiny", manifest, rows, model=model, package=package, scored_at=at)


def read(root, *window, **of):
    return scores.read(root, "production", "tiny", *window, **of)


def test_what_is_added_reads_back_in_its_declared_types(root: Root) -> None:
    """Keys as the request declares them, text as text, every other model column as Float64, missing as null."""
    assert add(root, scored(1, 2, miles=pl.lit(float("nan")))) == 2
    found = read(root)
    assert found.columns == [
        *("scored_at", "recorded_at", "event_time", "model", "package", "flight", "gate", "x_miles", "x_sky", "x_when", "prediction")
    ]  # fmt: skip
    assert (found.schema["gate"], found.schema["x_sky"], found.schema["x_when"]) == (pl.Int32, pl.String, pl.Float64)
    assert found["x_miles"].to_list() == [None, None]
    assert found["x_when"][0] == (START + HOUR).timestamp() * 1e6
    assert found["prediction"].to_list() == [0.1, 0.2]
    assert found["scored_at"].unique().to_list() == [START]


def test_a_question_has_one_score_a_model_and_package(root: Root) -> None:
    """Added again, or overlapping, only what is new is added, and the first answer stands."""
    assert [add(root, scored(1, 2)), add(root, scored(1, 2)), add(root, scored(2, 3, prediction=pl.lit(9.0)))] == [
        2,
        0,
        1,
    ]
    assert read(root)["prediction"].to_list() == [0.1, 0.2, 9.0]
    assert add(root, scored(1, 1), model="n") == 1
    assert add(root, scored(1), package="other") == 1
    assert read(root, model="m", package="k").height == 3


def test_a_question_asked_again_at_another_time_is_another(root: Root) -> None:
    """The key says what, event_time when; a null key is a key."""
    again = scored(1, event_time=pl.lit(START, TIME), gate=pl.lit(None, pl.Int64))
    assert [add(root, scored(1)), add(root, again), add(root, again)] == [1, 1, 0]


def test_of_writers_at_once_each_score_is_there_once(root: Root) -> None:
    """Four threads bring overlapping rows."""
    add(root, scored(0))
    added, start = [], threading.Barrier(4)

    def work(first: int) -> None:
        start.wait()
        for number in range(first, first + 8):
            added.append(add(root, scored(number, number + 1)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read(root)
    assert found.height == found.select("flight").n_unique() == 12
    assert sum(added) == 11


def test_a_scoring_that_loses_every_race_is_told_to_come_again(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another scoring commits between look and write, twenty times: theirs are there, and ours once it is run again."""
    add(root, scored(0))
    real, numbers, ours = tables.write_deltalake, iter(range(1, 100)), threading.current_thread()

    def overtaken(*given, **asked):
        if threading.current_thread() is ours:
            with ThreadPoolExecutor(1) as other:
                other.submit(add, root, scored(next(numbers))).result()
        real(*given, **asked)

    with monkeypatch.context() as racing:
        racing.setattr(tables, "write_deltalake", overtaken)
        with pytest.raises(Conflict) as refused:
            add(root, scored(200))
    assert refused.value.asked == "Could not append to scores."
    assert (refused.value.exists, refused.value.remedy) == ("20 attempts lost to others.", "Run it again.")
    assert read(root).height == 21
    assert add(root, scored(200)) == 1


def test_a_window_is_of_questions(root: Root) -> None:
    """From its start until before its end, oldest first."""
    add(root, scored(3, 1, 2))
    assert read(root, START + HOUR, START + 3 * HOUR)["flight"].to_list() == ["UA1", "UA2"]


def test_a_newer_package_may_add_columns_and_drop_some_never_change_one(root: Root) -> None:
    """Older rows have null in the new ones, newer rows in the dropped; another dtype is refused by name."""
    add(root, scored(1))
    newer = MANIFEST | {"columns": ["miles", "wind"]}
    assert add(root, scored(2, wind=pl.lit(3.5)), manifest=newer, package="two") == 1
    assert read(root).select("x_sky", "x_wind").rows() == [("clear", None), (None, 3.5)]
    with pytest.raises(Conflict, match=r"x_miles is Float64, not String"):
        add(root, scored(3, miles=pl.lit("far")), package="three")


def test_a_key_whose_name_is_taken_is_refused(root: Root) -> None:
    """The table needs it for itself; nothing was made."""
    with pytest.raises(InvalidInput, match="cannot be called 'model'"):
        add(root, scored(1), manifest=MANIFEST | {"key": ["model"], "request": {"model": "String"}})
    assert not tables.exists(scores.path(root, "production", "tiny"))


def test_a_time_as_key_stands_once(root: Root) -> None:
    """A pipeline whose request brings event_time itself."""
    keyed = MANIFEST | {"request": {"event_time": str(TIME)}, "key": ["event_time"]}
    assert [add(root, scored(1, 2), manifest=keyed), add(root, scored(2), manifest=keyed)] == [2, 0]


def test_scores_are_neither_predictions_nor_outcomes(root: Root) -> None:
    """What was served is read without them; SQL has them under a name of their own."""
    add(root, scored(1))
    assert predictions.read(root, "production", "tiny").is_empty()
    assert outcomes.read(root, "production", "tiny").is_empty()
    assert "scores_production_tiny" in sql.views(sql.connect(root))
    assert sql.ask(root, "SELECT count(*) AS n FROM scores_production_tiny")["n"].item() == 1


def test_before_any_there_are_no_rows(root: Root) -> None:
    """The fixed columns only."""
    assert (read(root).height, read(root).columns[-1]) == (0, "prediction")


def test_a_file_is_named_by_window_and_model(root: Root) -> None:
    """The same scoring replaces its own file, another does not; it lies where no table is looked for."""
    names = {
        scores.file(root, "production", "tiny", model * 64, START, START + n * HOUR) for model in "ab" for n in (1, 2)
    }
    assert len(names) == 4
    assert {path.parent for path in names} == {root.traffic("production", "tiny", "files")}
