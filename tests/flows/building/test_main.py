"""Training, scoring and describing: once for real in processes of their own, and their details on the bakeries."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows import runner
from flows.building import __main__ as jobs
from flows.building import artifact, source, trial
from flows.pipeline import Pipeline, Window
from store import blobs, clock, ledger
from store.errors import InvalidInput
from store.features import snapshot
from store.layout import Root
from tests.flows.building import CATALOG, DAY, END, HOUR, PIPELINE, START

# ---- for real -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(flights: Root, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """arrival_minutes trained twice in a copy of the flights, the second time against the first, and then asked."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(flights.path, folder / "root")
    root = Root.open(folder / "root")
    code = runner.stage(root, source.find("arrival_minutes"))
    given = {"root": str(root.path), "now": clock.now(root).isoformat(), "actor": "test"}
    steps: list[str] = []

    def train(number: int, champion: str | None) -> dict[str, Any]:
        (folder / str(number)).mkdir()
        job = {"what": "train", "folder": str(folder / str(number)), "champion": champion}
        return runner.run(code, "flows.building", given | job, progress=steps.append, timeout_s=600)

    first = train(1, None)
    digest = blobs.put(root, (folder / "1" / "model.skops").read_bytes())
    second = train(2, digest)
    week = Window(
        datetime.fromisoformat("2013-02-01T00:00:00+00:00"), datetime.fromisoformat("2013-02-08T00:00:00+00:00")
    )
    job = {
        "what": "score",
        "window": week.to_dict(),
        "model": digest,
        "columns": True,
        "out": str(folder / "scored.parquet"),
    }
    scored = runner.run(code, "flows.building", given | job, timeout_s=600)
    return SimpleNamespace(
        root=root, folder=folder, first=first, second=second, digest=digest, week=week, scored=scored, steps=steps
    )


def test_the_same_training_gives_the_same_model(trained: SimpleNamespace) -> None:
    """Another process, the same bytes, the same snapshot, the same numbers; only the seconds differ."""
    assert blobs.digest((trained.folder / "2" / "model.skops").read_bytes()) == trained.digest
    assert {**trained.second, "seconds": 0} == {**trained.first, "seconds": 0}
    assert len(ledger.find(trained.root, action="snapshot.frozen")) == 1


def test_a_stored_model_can_be_loaded_and_asked(trained: SimpleNamespace) -> None:
    """It predicts what the report's rows say it predicted, from the columns that lie beside it."""
    model = artifact.loads((trained.folder / "1" / "model.skops").read_bytes(), trusted=(), package="arrival_minutes")
    rows = pl.read_parquet(trained.folder / "1" / "rows.parquet").filter(part="test")
    test = pl.read_parquet(trained.folder / "1" / "test.parquet")
    predicted = model.predict(rows.select(trained.first["manifest"]["columns"]))
    assert rows["flight_id"].equals(test["flight_id"])
    assert np.array_equal(predicted, test["prediction"].to_numpy())


def test_a_model_that_training_read_back_has_passed_its_first_load(trained: SimpleNamespace) -> None:
    """It was loaded and asked in a child already: a service that begins with it makes no other."""
    assert trial.passed(trained.root, trained.digest, ())


def test_rows_have_the_promised_columns_and_parts_add_up(trained: SimpleNamespace) -> None:
    """Key, time, part and what the model saw; counts and spans as the result tells, in order, a gap of a day between them."""
    rows, result = pl.read_parquet(trained.folder / "1" / "rows.parquet"), trained.first
    assert rows.columns == ["flight_id", "event_time", "part", *result["manifest"]["columns"]]
    counts = {part: count for part, count in rows["part"].value_counts().iter_rows() if part is not None}
    assert counts == {name: part["rows"] for name, part in result["parts"].items()}
    assert rows.height == snapshot.rebuild(trained.root, result["snapshot"]).height
    assert rows["flight_id"].n_unique() == rows.height
    spans = [
        (datetime.fromisoformat(part["start"]), datetime.fromisoformat(part["end"]))
        for part in result["parts"].values()
    ]
    assert list(result["parts"]) == ["train", "validation", "test"]
    assert spans[0][1] + timedelta(days=1) <= spans[1][0]
    assert spans[1][1] + timedelta(days=1) <= spans[2][0]
    assert (
        min(start for start, _ in spans)
        == rows["event_time"].min()
        >= datetime.fromisoformat(result["window"]["start"])
    )


def test_test_rows_have_the_promised_columns(trained: SimpleNamespace) -> None:
    """The report's number can be computed from them again; a champion's predictions stand beside them, if there was one."""
    test = pl.read_parquet(trained.folder / "1" / "test.parquet")
    assert test.columns == ["flight_id", "event_time", "label", "prediction", "champion"]
    error = (test["label"] - test["prediction"]).abs().mean()
    assert trained.first["metrics"]["mean_absolute_error"] == pytest.approx(error)
    assert trained.first["metrics"]["rows"] == test["label"].is_not_null().sum()
    assert test["champion"].null_count() == test.height
    beside = pl.read_parquet(trained.folder / "2" / "test.parquet")
    assert beside["champion"].equals(beside["prediction"])


def test_a_training_tells_what_it_does(trained: SimpleNamespace) -> None:
    """Snapshot, search, fit and analysis, in order, twice."""
    words = [step.split()[0] for step in trained.steps]
    assert words == ["snapshot", "tuning", "fitting", "analysing"] * 2
    assert set(trained.first["seconds"]) == {"snapshot", "tune", "fit", "analyse"}


def test_scoring_gives_labels_and_predictions(trained: SimpleNamespace) -> None:
    """Of the flights of a week, with the model's columns: its predictions on test rows are those of the training."""
    rows = pl.read_parquet(trained.folder / "scored.parquet")
    columns = trained.first["manifest"]["columns"]
    assert rows.columns == ["flight_id", "event_time", "label", "label_time", "prediction", "value", *columns]
    assert trained.scored == {"rows": rows.height, "unit": ""}
    assert trained.week.start <= rows["event_time"].min()
    assert rows["event_time"].max() < trained.week.end
    assert rows["prediction"].null_count() == 0 < rows["label"].null_count() < rows.height
    assert rows["value"].null_count() == rows.height
    test = pl.read_parquet(trained.folder / "1" / "test.parquet").rename({"prediction": "then", "label": "told"})
    both = rows.join(test, on="flight_id")
    assert both.height > 1000
    assert both["prediction"].equals(both["then"].alias("prediction"))
    assert both["label"].equals(both["told"].alias("label"))


# ---- details --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _the_bakeries_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.catalog, "load", lambda: CATALOG)


@pytest.fixture
def score(bakery: Root, tmp_path: Path):
    """Score the bakeries of a window in this process; the rows and the answer."""

    def run(pipeline: Pipeline = PIPELINE, start: datetime = START, end: datetime = END, **asked: Any) -> pl.DataFrame:
        out = tmp_path / "rows.parquet"
        job = {
            "root": str(bakery.path),
            "now": END.isoformat(),
            "window": Window(start, end).to_dict(),
            "out": str(out),
        }
        answer = jobs.score(pipeline, job | asked)
        rows = pl.read_parquet(out)
        assert answer == {"rows": rows.height, "unit": "crowns" if pipeline.value else ""}
        return rows

    return run


def test_without_a_model_rows_have_labels_only(score) -> None:
    """Prediction and value are null, of their types, and nothing is joined."""
    rows = score()
    assert rows.columns == ["order_id", "event_time", "shop", "label", "label_time", "prediction", "value"]
    assert (rows["prediction"].null_count(), rows["value"].null_count()) == (rows.height, rows.height)
    assert (rows.schema["prediction"], rows.schema["value"]) == (pl.Float64, pl.Float64)


def test_a_window_is_of_questions_and_their_labels_may_come_after_it(score) -> None:
    """Orders of the second day, though the last of them are due on the third."""
    rows = score(start=START + DAY, end=START + 2 * DAY)
    assert rows.height == 24
    assert rows["label_time"].max() == START + 2 * DAY + 5 * HOUR
    assert rows["label"].null_count() == 0


def test_rows_without_a_label_are_there_if_they_are_asked_for(score) -> None:
    """Orders of the last six hours, due after the end: scored with a null label; without being asked for, they are left out."""
    window = {"start": END - DAY, "end": END + DAY}
    labelled, every = score(**window), score(unlabelled=True, **window)
    assert (labelled.height, every.height) == (18, 24)
    assert every["label"].null_count() == 6
    assert every.drop_nulls("label").select("order_id", "label").equals(labelled.select("order_id", "label"))


@pytest.mark.parametrize(("asked", "kind"), [({}, "labelled rows"), ({"unlabelled": True}, "rows")])
def test_a_window_that_holds_no_rows_is_refused(score, tmp_path: Path, asked: dict[str, Any], kind: str) -> None:
    """Before the first order; nothing is written."""
    with pytest.raises(InvalidInput) as refused:
        score(start=START - 2 * DAY, end=START - DAY, **asked)
    assert refused.value.asked == f"bakery has no {kind} in {Window(START - 2 * DAY, START - DAY)}."
    assert refused.value.remedy == "Ask for a window that holds some."
    assert not (tmp_path / "rows.parquet").exists()


def test_what_was_served_is_valued_where_label_and_prediction_are_known(score, tmp_path: Path) -> None:
    """A file of keys and predictions; rows that were not served, or have no label, have no value."""
    served = tmp_path / "served.parquet"
    pl.DataFrame({"order_id": ["o0000", "o0002"], "prediction": [12.5, 30.0]}).write_parquet(served)
    unlabelled = dataclasses.replace(
        PIPELINE,
        prepare=lambda rows: PIPELINE.prepare(rows).with_columns(
            pl.when(pl.col("order_id") != "o0002").then("label").alias("label")
        ),
    )
    rows = score(unlabelled, served=str(served), columns=True).head(3)
    assert rows.select("order_id", "label", "prediction", "value").rows() == [
        ("o0000", 10.0, 12.5, -2.5), ("o0001", 20.0, None, None), ("o0002", None, 30.0, None),
    ]  # fmt: skip
    assert rows.columns[-2:] == ["size", "shop_sold_1d"]


def test_a_pipeline_without_a_value_has_none(score) -> None:
    """The unit is empty, the column is there."""
    assert score(dataclasses.replace(PIPELINE, value=None))["value"].dtype == pl.Float64


def train(root: Root, folder: Path, pipeline: Pipeline = PIPELINE, **asked: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    job = {"root": str(root.path), "folder": str(folder), "now": END.isoformat(), "actor": "test"}
    return jobs.train(pipeline, job | asked)


def test_a_training_can_be_bounded(bakery_copy: Root, tmp_path: Path) -> None:
    """By a start and an end; an end beyond what is known is what is known."""
    bounds = {"start": (START + DAY).isoformat(), "end": (START + 5 * DAY).isoformat()}
    window = Window.from_dict(train(bakery_copy, tmp_path / "a", **bounds)["window"])
    assert window == Window(START + DAY, START + 5 * DAY)
    whole = train(bakery_copy, tmp_path / "b", end=(END + 5 * DAY).isoformat())
    assert Window.from_dict(whole["window"]) == Window(START, END)
    assert [(one["slice"], one["member"]) for one in whole["slices"]] == [("shop", "east"), ("shop", "west")]
    assert sum(one["rows"] for one in whole["slices"]) == whole["metrics"]["rows"] == whole["parts"]["test"]["rows"]


def test_a_column_that_is_key_and_input_stands_once(bakery_copy: Root, tmp_path: Path) -> None:
    """A model may see the key, or the time of the question."""
    times = pl.col("event_time").dt.hour().cast(pl.Float64)
    own = dataclasses.replace(
        PIPELINE, inputs=("size", "event_time"), predict=lambda model, data: data["size"].to_numpy() * 10,
        fit=lambda model, data, labels: model.fit(data.select("size", times), labels),
    )  # fmt: skip
    train(bakery_copy, tmp_path / "a", own)
    rows = pl.read_parquet(tmp_path / "a" / "rows.parquet")
    assert rows.columns == ["order_id", "event_time", "part", "size", "shop_sold_1d"]


def test_a_slice_that_the_rows_do_not_have_is_named(bakery_copy: Root, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(InvalidInput, match=r"bakery declares \['town'\], which its rows do not have"):
        train(bakery_copy, tmp_path / "a", dataclasses.replace(PIPELINE, slices=("town",)))
    assert list((tmp_path / "a").iterdir()) == []
