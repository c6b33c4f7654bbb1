"""The report flow: which window it draws, from which rows, with which scores, and that it draws it once."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows import report
from store import blobs, clock, ledger, tables
from store.actions import ModelRegistered, MonitorDecided
from store.errors import GateFailed, InvalidInput, NotFound
from store.features import snapshot
from store.layout import Root
from store.registry import models
from store.traffic import predictions

WEEK = timedelta(days=7)
START = datetime(2013, 4, 1, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
FEATURES = {
    "wind": {"score": 3.5, "threshold": 1.25, "null_share": 0.01},
    "carrier": {"score": 0.5, "threshold": 1.25, "null_share": 0.0},
}


class Child:
    """Stands in for the process that draws: notes what it was given, and leaves a page."""

    def __init__(self) -> None:
        self.frames: list[dict[str, pl.DataFrame]] = []
        self.titles: list[str] = []

    def __call__(self, code: Any, module: str, job: dict[str, Any], **options: Any) -> dict[str, Any]:
        assert module == "flows.reporting"
        self.frames.append({name: pl.read_parquet(job[name]) for name in ("reference", "current", "scores")})
        self.titles.append(job["title"])
        Path(job["out"]).write_text(f"<html>{job['title']}</html>")
        return {}


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    child = Child()
    monkeypatch.setattr(report.runner, "run", child)
    return child


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A champion with a snapshot of 6,000 rows, and 40 served rows a week for three weeks."""
    root = Root.open(tmp_path / "root")
    clock.move(root, START + 3 * WEEK)
    spine = pl.DataFrame({"event_time": [START - WEEK] * 6_000, "wind": range(6_000), "carrier": ["UA", "B6"] * 3_000})
    window = {"window_start": START - 2 * WEEK, "window_end": START}
    spine = spine.with_columns(pl.col("event_time").cast(TIME))
    frozen = snapshot.freeze(root, spine, [], pipeline="late", actor="test", now=START, **window)
    body = ModelRegistered(
        version="20130401T0000Z-champion", package="0" * 64, snapshot=frozen.id, report="0" * 64, parameters={},
        metric="roc_auc", value=0.7, low=0.6, high=0.8, train_start="", train_end="", test_start="", test_end="",
        rows=6_000,
    )  # fmt: skip
    models.register(root, "late", "production", b"champion", body, actor="test", now=START)
    serve(root)
    return root


def serve(root: Root) -> None:
    schema = predictions.schema({"request": {"carrier": "String"}, "columns": ["wind", "carrier"]})
    when = [START + at * WEEK / 40 for at in range(120)]
    rows = pl.DataFrame(
        {
            "prediction_id": [str(at) for at in range(120)], "received_at": when, "recorded_at": when,
            "model": ["m"] * 120, "package": ["p"] * 120, "carrier": ["UA"] * 120, "prediction": [0.5] * 120,
            "x_wind": [at * 1.0 for at in range(120)], "x_carrier": ["UA"] * 120,
        },
        schema=schema,
    )  # fmt: skip
    where = predictions.path(root, "production", "late")
    tables.create(where, schema)
    tables.append(where, rows)


def decide(
    root: Root, week: int, features: dict[str, dict[str, float]] | None = None, environment: str = "production"
) -> ledger.Row:
    start = START + week * WEEK
    body = MonitorDecided(
        window_start=start.isoformat(), window_end=(start + WEEK).isoformat(), rows=40, matured=0, drifted=["wind"],
        features=FEATURES if features is None else features, metric="roc_auc", champion_value=None, baseline_value=None,
        low=None, high=None, fallen=False, due=None, why="Not yet.",
    )  # fmt: skip
    champion = blobs.digest(b"champion")
    return ledger.append(
        root,
        "monitor.decided",
        body,
        subject="late",
        digest=champion,
        environment=environment,
        actor="test",
        now=start + WEEK,
    )


def test_the_newest_decision_is_drawn_from_its_own_window(root: Root, child: Child) -> None:
    decide(root, 0)
    decide(root, 1)
    drawn = report.run(root, "late")
    assert drawn.window_end == (START + 2 * WEEK).isoformat()
    assert sorted(child.frames[0]["current"]["wind"].to_list()) == [float(at) for at in range(40, 80)]
    assert "2013-04-08 00:00" in child.titles[0]


def test_an_older_window_is_drawn_when_its_end_is_given(root: Root, child: Child) -> None:
    decide(root, 0)
    decide(root, 1)
    assert report.run(root, "late", window_end=START + WEEK).window_start == START.isoformat()


def test_scores_thresholds_and_flags_are_the_monitors(root: Root, child: Child) -> None:
    decide(root, 0)
    report.run(root, "late")
    scores = child.frames[0]["scores"]
    assert scores.columns == ["feature", "score", "threshold", "drifted", "null_share", "rows"]
    assert scores.rows() == [("carrier", 0.5, 1.25, False, 0.0, 40), ("wind", 3.5, 1.25, True, 0.01, 40)]


def test_the_reference_is_a_seeded_sample_of_the_champions_training_rows(root: Root, child: Child) -> None:
    decide(root, 0)
    decide(root, 1)
    report.run(root, "late")
    report.run(root, "late", window_end=START + WEEK)
    first, second = (frames["reference"] for frames in child.frames)
    assert first.height == report.SAMPLE
    assert first.equals(second)
    assert set(first.columns) == {"wind", "carrier"}


def test_a_window_is_drawn_once(root: Root, child: Child) -> None:
    decide(root, 0)
    first, again = report.run(root, "late"), report.run(root, "late")
    assert first == again
    assert len(child.frames) == 1
    assert len(ledger.find(root, action="report.drawn")) == 1


def test_the_page_is_a_blob_and_the_ledger_names_it(root: Root, child: Child) -> None:
    decide(root, 0)
    drawn = report.run(root, "late")
    (row,) = ledger.find(root, action="report.drawn", subject="late", environment="production")
    assert row.digest == drawn.report
    assert blobs.get(root, row.digest).startswith(b"<html>late in production")
    assert (row.body.kind, row.body.rows, row.body.sampled, row.body.drifted) == ("drift", 40, 40, ["wind"])


def test_the_verdict_is_a_sentence_with_its_numbers(root: Root, child: Child) -> None:
    decision = decide(root, 0)
    drawn = report.run(root, "late")
    assert drawn.sentence == "1 of 2 features drift in 40 rows of 2013-04-01 to 2013-04-08: wind."
    assert "| wind | 3.50 | 1.25 | 1.0% | ▲ drifts |" in report.told(decision, drawn)


def test_a_run_that_was_slower_takes_the_others_report(root: Root, child: Child) -> None:
    decision = decide(root, 0)
    theirs = report.record(root, decision, blobs.put(root, b"theirs"), 40, START)
    assert report.record(root, decision, blobs.put(root, b"ours"), 40, START) == theirs


def test_before_the_first_decision_the_way_to_one_is_named(root: Root, child: Child) -> None:
    decide(root, 0, environment="test")
    with pytest.raises(NotFound, match="assay monitor late"):
        report.run(root, "late")


def test_a_window_that_was_not_judged_is_refused_with_those_that_were(root: Root, child: Child) -> None:
    decide(root, 0)
    with pytest.raises(NotFound, match="2013-04-08T00:00"):
        report.run(root, "late", window_end=START + 5 * WEEK)


def test_an_end_without_a_zone_is_refused(root: Root, child: Child) -> None:
    decide(root, 0)
    with pytest.raises(InvalidInput, match="no zone"):
        report.run(root, "late", window_end=datetime(2013, 4, 8))  # noqa: DTZ001


def test_a_decision_without_scores_cannot_be_drawn(root: Root, child: Child) -> None:
    decide(root, 0, features={})
    with pytest.raises(InvalidInput, match="without drift scores"):
        report.run(root, "late")


def test_a_child_that_fails_leaves_nothing_in_the_ledger(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **options: Any) -> None:
        raise GateFailed("flows.reporting ended with code 1.")

    monkeypatch.setattr(report.runner, "run", fail)
    decide(root, 0)
    with pytest.raises(GateFailed):
        report.run(root, "late")
    assert not ledger.find(root, action="report.drawn")


def test_drawing_in_a_child_keeps_evidently_out_of_this_process(root: Root, child: Child) -> None:
    decide(root, 0)
    report.run(root, "late")
    assert "evidently" not in sys.modules
