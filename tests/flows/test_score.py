"""A batch scoring: the champion's own code over a window, each question once, in the store and in a file, and nobody's traffic."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows import runner, score
from flows.building import source
from store import blobs, clock, ledger
from store.actions import ModelRegistered, PackagePublished
from store.errors import InvalidInput, NotFound
from store.features import group
from store.layout import Root
from store.registry import models, packages
from store.traffic import predictions, scores
from tests.flows.certified import issued

NAME = "arrival_minutes"
DAY = timedelta(days=1)
START = datetime(2013, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(flights: Root, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A copy of the flights with arrival_minutes published as it is, and a model of it, not promoted. Read it only."""
    folder = tmp_path_factory.mktemp("scored")
    shutil.copytree(flights.path, folder / "root")
    root, now, where = Root.open(folder / "root"), clock.now(flights), source.find(NAME)
    code, content = runner.stage(root, where), source.files(where)
    manifest = runner.run(code, "flows.building", {"what": "describe", "root": str(root.path)})["manifest"]
    wheel = source.wheel(NAME, "1.0.0", content)
    known = group.declared(root)
    body = PackagePublished(
        version="1.0.0", wheel=blobs.digest(wheel), contract=1, commit="", tree=code.tree, evidence="",
        manifest=blobs.put_json(root, manifest), gate_model="", metric=manifest["metric"], value=20.0,
        groups={use["group"]: known[use["group"]].version for use in manifest["features"]},
        certificate=issued(root, NAME, "1.0.0", wheel, now),
    )  # fmt: skip
    package = packages.publish(root, NAME, wheel, body, actor="test", now=now)
    (folder / "built").mkdir()
    job = {
        "what": "train",
        "root": str(root.path),
        "folder": str(folder / "built"),
        "now": now.isoformat(),
        "actor": "test",
    }
    runner.run(code, "flows.building", job)
    data = (folder / "built" / "model.skops").read_bytes()
    registered = ModelRegistered(
        version=models.version_name(now, blobs.digest(data)), package=package.digest, snapshot="", report="", parameters={},
        metric=manifest["metric"], value=20.0, low=19.0, high=21.0, train_start="", train_end="", test_start="", test_end="", rows=9,
    )  # fmt: skip
    model = models.register(root, NAME, "production", data, registered, actor="test", now=now)
    return SimpleNamespace(root=root, model=model, now=now, test=pl.read_parquet(folder / "built" / "test.parquet"))


@pytest.fixture
def world(made: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """A copy to score in, with the model as champion."""
    shutil.copytree(made.root.path, tmp_path / "root")
    root = Root.open(tmp_path / "root")
    models.promote(root, made.model, expected=None, actor="test", now=made.now, reason="a test")
    return SimpleNamespace(root=root, model=made.model, now=made.now, test=made.test)


def run(world: SimpleNamespace, **asked) -> score.Scored:
    return score.run(world.root, NAME, **{"start": START, "end": START + DAY} | asked)


def test_the_champions_predictions_are_in_the_store_and_in_the_file(world, tmp_path: Path) -> None:
    """The same rows in both: the window's flights, with the very predictions the training made for its test rows."""
    found = run(world, start=world.test["event_time"].max() - DAY, end=world.now, out=tmp_path / "here" / "out.parquet")
    kept = scores.read(world.root, "production", NAME)
    assert_frame_equal(pl.read_parquet(tmp_path / "here" / "out.parquet"), kept)
    assert (found.rows, found.added, found.model) == (kept.height, kept.height, world.model.version)
    both = kept.join(world.test, on=["flight_id", "event_time"], suffix="_trained")
    assert both.height > 500
    assert_frame_equal(both.select("prediction"), both.select(prediction="prediction_trained"), check_exact=True)
    assert kept["model"].unique().to_list() == [world.model.digest]


def test_the_same_scoring_again_doubles_nothing(world) -> None:
    """Neither a score, nor a ledger row, nor a byte of the file."""
    first = run(world)
    data, head = Path(first.file).read_bytes(), ledger.head(world.root)
    second = run(world)
    assert (first.rows, second.rows, second.added) == (first.added, first.rows, 0)
    assert scores.read(world.root, "production", NAME).height == first.rows
    assert (Path(second.file).read_bytes(), ledger.head(world.root)) == (data, head)


def test_an_overlapping_window_adds_what_is_new(world) -> None:
    """Each of two days once, and the file of the longer window has both."""
    one, both = run(world), run(world, end=START + 2 * DAY)
    kept = scores.read(world.root, "production", NAME)
    assert kept.height == kept["flight_id"].n_unique() == both.rows == one.added + both.added
    assert both.added > 0
    assert pl.read_parquet(both.file).height == both.rows


def test_rows_whose_label_nobody_knows_yet_are_scored(world) -> None:
    """Flights asked about in the last day, none of which has landed a day ago."""
    found = run(world, start=world.now - DAY, end=world.now)
    kept = scores.read(world.root, "production", NAME)
    assert found.rows == kept.height > 500
    assert kept["event_time"].max() > world.now - timedelta(hours=9)
    assert kept["event_time"].max() <= world.now


def test_scores_are_no_traffic(world) -> None:
    """Nothing was served, no fact came of it: what the monitor and the features read is untouched."""
    before = {name: group.path(world.root, one) for name, one in group.declared(world.root).items()}
    sizes = {name: sorted(path.rglob("*")) for name, path in before.items()}
    run(world)
    assert predictions.read(world.root, "production", NAME).is_empty()
    assert {name: sorted(path.rglob("*")) for name, path in before.items()} == sizes


def test_the_ledger_says_which_model_scored_what(world) -> None:
    """One row: the model, its package, the window, how many, and a digest of the content."""
    found = run(world)
    (row,) = ledger.find(world.root, action="model.scored")
    assert (row.digest, row.subject, row.environment) == (world.model.digest, NAME, "production")
    assert (row.body.package, row.body.rows) == (world.model.body.package, found.rows)
    assert (row.body.window_start, row.body.window_end) == (START.isoformat(), (START + DAY).isoformat())
    assert len(row.body.content) == 64


def test_killed_before_the_file_the_next_run_completes_it(world, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores are there already: file and row come, and nothing twice."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(score, "write", die)
        with pytest.raises(KeyboardInterrupt):
            run(world)
    found = run(world)
    assert (found.added, Path(found.file).is_file()) == (0, True)
    assert len(ledger.find(world.root, action="model.scored")) == 1
    assert scores.read(world.root, "production", NAME).height == found.rows > 0


def test_a_model_can_be_named(made, tmp_path: Path) -> None:
    """By version or digest, without being champion; without either there is nobody to score."""
    shutil.copytree(made.root.path, tmp_path / "root")
    root = Root.open(tmp_path / "root")
    with pytest.raises(NotFound, match="champion"):
        score.run(root, NAME, start=START, end=START + DAY)
    named = [
        score.run(root, NAME, model=which, start=START, end=START + DAY)
        for which in (made.model.version, made.model.digest)
    ]
    assert [one.added for one in named] == [named[0].rows, 0]


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (START, START, "No question lies between"),
        (datetime(2012, 2, 1, tzinfo=UTC), datetime(2012, 2, 2, tzinfo=UTC), "has no rows in 2012-02-01"),
        (datetime(2013, 2, 1), START + DAY, "has no zone"),  # noqa: DTZ001
    ],
    ids=["backwards", "empty", "naive"],
)
def test_a_window_without_questions_is_refused(world, start, end, says: str) -> None:
    """Nothing is written, and the sentence names the window."""
    with pytest.raises(InvalidInput, match=says):
        run(world, start=start, end=end)
    assert scores.read(world.root, "production", NAME).is_empty()
    assert not ledger.find(world.root, action="model.scored")


def test_without_a_window_it_is_the_monitors_length_until_now() -> None:
    """A week by default."""
    now, manifest = (
        START,
        {"trigger": {"window_seconds": 604800.0, "windows": 2, "cool_down_seconds": 1.0, "margin": 0.1}},
    )
    manifest["trigger"] |= {"cadence_seconds": None, "new_rows": None}
    assert score.asked(manifest, None, None, now).to_dict() == {
        "start": (START - 7 * DAY).isoformat(), "end": START.isoformat(),
    }  # fmt: skip


def test_it_tells_the_metric_where_labels_are_known() -> None:
    """In markdown, on the labelled rows only; without any, no metric."""
    rows = pl.DataFrame(
        {"prediction": [1.0, 2.0, 9.0], "label": [2.0, 2.0, None]}, schema_overrides={"label": pl.Float64}
    )
    manifest = {"metric": "mean_absolute_error"}
    assert "| mean_absolute_error on the 2 rows with a label | 0.5000 |" in score.told("tiny", manifest, rows, "Three.")
    assert "mean_absolute_error" not in score.told("tiny", manifest, rows.tail(1), "One.")
