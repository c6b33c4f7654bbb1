"""One look at one window: what drifted, how the champion did, and whether a retraining is due.

Windows lie on a fixed grid (weeks begin on Monday, 00:00 UTC), so however often the flow runs, a window is judged once, when it has
ended. Drift is judged on all served rows, against the champion's own calibration; performance on the rows whose labels have
matured, champion against a small baseline fitted on the eight weeks before. The event goes out after the row, and again for
a due that nobody has claimed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow

from flows import runner
from flows.deciding import drift, performance
from flows.deciding import due as deciding
from flows.orchestration import actor, emit, link, markdown, say, sentence, step
from flows.pipeline import METRICS, Trigger, Window
from store import blobs, clock, ledger
from store.actions import MonitorDecided
from store.errors import InvalidInput, NotFound
from store.layout import Root
from store.ledger import Row
from store.registry import dues, models, packages
from store.registry.models import Model
from store.traffic import predictions

MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
UNSCORED = {
    "feature": pl.String,
    "score": pl.Float64,
    "threshold": pl.Float64,
    "drifted": pl.Boolean,
    "null_share": pl.Float64,
    "rows": pl.Int64,
}
RECENT = timedelta(days=56)
"""How far back the baseline's rows go. Four weeks are too few: on the flights of 2013 such a baseline lost up to .07 AUC to an
ageing champion that a retraining beat by .05, and saw nothing; with eight weeks its sign was the retraining's in 11 of 13 weeks."""


@dataclass(frozen=True)
class Judged:
    """The champion against the baseline on one window's matured rows; None where there were too few to tell."""

    matured: int
    champion: float | None = None
    baseline: float | None = None
    interval: performance.Interval | None = None
    verdict: performance.Verdict | None = None
    value: float | None = None
    unit: str = ""


def run(root: Root, pipeline: str, environment: str = "production") -> Row:
    """Judge the newest window that has ended, record the decision, and open a due if it is time. Returns the ledger's row."""
    now, champion = clock.now(root), models.champion(root, pipeline, environment)
    if champion is None:
        raise NotFound(
            f"{pipeline} has no champion in {environment} to watch.", remedy=f"Run `assay train {pipeline}`."
        )
    manifest = packages.get(root, pipeline, champion.body.package).manifest(root)
    window = newest_window(Trigger.of(manifest).window, now)
    row = already(root, champion, window)
    if row is None:
        served = predictions.read(root, environment, pipeline, start=window.start, end=window.end)
        scores = score(root, champion, manifest, served)
        judged = judge(root, champion, manifest, window, served, now)
        row = decide(root, champion, manifest, window, served.height, scores, judged, now)
    notify(root, pipeline, environment)
    markdown(f"{pipeline.replace('_', '-')}-monitor", told(pipeline, row.body), "What the monitor saw and decided")
    link(pipeline, environment, "drift", f"{pipeline}: drift in the console")
    say(f"{pipeline}, week to {window.end:%Y-%m-%d}: {verdict(row.body)}")
    return row


def newest_window(length: timedelta, now: datetime) -> Window:
    """The newest window of the grid that has ended by ``now``."""
    end = MONDAY + (now - MONDAY) // length * length
    return Window(end - length, end)


def already(root: Root, champion: Model, window: Window) -> Row | None:
    """The decision already made for this champion and window."""
    for row in reversed(_decisions(root, champion)):
        if row.body.window_end == window.end.isoformat():
            return row
    return None


@step
def score(root: Root, champion: Model, manifest: dict[str, Any], served: pl.DataFrame) -> pl.DataFrame:
    """Drift of every monitored column on all served rows; empty when nothing was served or nothing was calibrated."""
    stored = blobs.get_json(root, champion.body.report)["calibration"]
    if stored is None or served.is_empty():
        return pl.DataFrame(schema=UNSCORED)
    return drift.score(
        drift.Calibration.from_dict(stored),
        served.select(pl.col(predictions.SERVED + column).alias(column) for column in manifest["columns"]),
    )


@step
def judge(
    root: Root, champion: Model, manifest: dict[str, Any], window: Window, served: pl.DataFrame, now: datetime
) -> Judged:
    """The champion's own predictions of the window against a baseline that knows the weeks before."""
    key = manifest["key"]
    own = served.filter(pl.col("model") == champion.digest).unique(key, keep="last").select(*key, "prediction")
    if own.is_empty():
        return Judged(0)
    with tempfile.TemporaryDirectory(prefix="assay-monitor-") as scratch:
        package = packages.get(root, champion.pipeline, champion.body.package)
        own.write_parquet(Path(scratch) / "served.parquet")
        out = Path(scratch) / "rows.parquet"
        job = {
            "what": "score", "root": str(root.path), "now": now.isoformat(), "columns": True,
            "served": str(Path(scratch) / "served.parquet"),
            "window": Window(window.start - RECENT, window.end).to_dict(), "out": str(out),
            "groups": package.body.groups,
        }  # fmt: skip
        try:
            unit = runner.run(runner.unpacked(root, package), "flows.building", job)["unit"]
        except InvalidInput as refusal:
            say(f"No matured labels: {sentence(refusal)}")
            return Judged(0)
        rows = pl.read_parquet(out).drop_nulls("label")
    recent = rows.filter(pl.col("label_time") <= window.start)
    judged = rows.filter(pl.col("event_time") >= window.start, pl.col("prediction").is_not_null())
    value = judged["value"].mean()
    found = Judged(judged.height, value=float(value) if isinstance(value, float) else None, unit=unit)
    try:
        return _against_baseline(manifest, recent, judged, found)
    except InvalidInput as refusal:
        say(f"Performance cannot be told: {sentence(refusal)}")
        return found


def _against_baseline(manifest: dict[str, Any], recent: pl.DataFrame, judged: pl.DataFrame, found: Judged) -> Judged:
    metric, label, day = METRICS[manifest["metric"]], judged["label"], judged["event_time"].dt.date()
    theirs = performance.baseline(recent, judged, manifest["columns"], "label", manifest["task"], metric)
    interval = performance.paired(label, judged["prediction"], theirs, day, metric)
    return Judged(
        found.matured,
        champion=metric.compute(label.to_numpy(), judged["prediction"].to_numpy()),
        baseline=metric.compute(label.to_numpy(), theirs),
        interval=interval,
        verdict=performance.judge(interval, manifest["trigger"]["margin"]),
        value=found.value,
        unit=found.unit,
    )


@step
def decide(
    root: Root,
    champion: Model,
    manifest: dict[str, Any],
    window: Window,
    rows: int,
    scores: pl.DataFrame,
    judged: Judged,
    now: datetime,
) -> Row:
    """The decision, the due if one opens, and the row that records both: the due first, so that a kill in between repeats the row."""
    pipeline, environment = champion.pipeline, champion.environment
    drifted = sorted(scores.filter("drifted")["feature"].to_list())
    fallen = judged.verdict.fallen if judged.verdict else None
    before = [row.body for row in _decisions(root, champion)]
    pending = dues.pending(root, pipeline, environment)
    closed = [due.closed.store_time for due in dues.listed(root, pipeline, environment) if due.closed and due.claimed]
    mine = pending is not None and pending.opened.body.window_end == window.end.isoformat()
    decision = deciding.decide(
        pipeline=pipeline, environment=environment, champion=champion.digest, window_end=window.end,
        drifted=[*(body.drifted for body in before), drifted], fallen=[*(told_fallen(body) for body in before), fallen],
        trigger=Trigger.of(manifest), open_due=pending.id if pending and not mine else None,
        last_closed=max(closed, default=None), last_trained=champion.registered_at, new_rows=judged.matured,
    )  # fmt: skip
    if decision.open and decision.due and not mine:
        dues.open_due(
            root, decision.due, pipeline=pipeline, environment=environment, kinds=[reason.kind for reason in decision.reasons],
            reasons=[reason.sentence for reason in decision.reasons], window_end=window.end, champion=champion.digest,
            actor=actor(), now=now,
        )  # fmt: skip
    features = {
        one["feature"]: {name: one[name] for name in ("score", "threshold", "null_share")} for one in scores.to_dicts()
    }
    why = " ".join(reason.sentence for reason in decision.reasons) if decision.open else decision.why
    body = MonitorDecided(
        window_start=window.start.isoformat(), window_end=window.end.isoformat(), rows=rows, matured=judged.matured,
        drifted=drifted, features=features, metric=manifest["metric"], champion_value=judged.champion, baseline_value=judged.baseline,
        low=judged.interval.low if judged.interval else None, high=judged.interval.high if judged.interval else None,
        fallen=bool(fallen), due=decision.due, why=why, value=judged.value, unit=judged.unit,
    )  # fmt: skip
    return ledger.append(
        root, "monitor.decided", body, subject=pipeline, digest=champion.digest, environment=environment, actor=actor(), now=now,
        request=f"monitor-{pipeline}-{environment}-{champion.digest}-{window.end.isoformat()}",
    )  # fmt: skip


def told_fallen(body: MonitorDecided) -> bool | None:
    """Whether performance had fallen; None where there were too few labels to tell, which confirms nothing."""
    return None if body.low is None else body.fallen


def notify(root: Root, pipeline: str, environment: str) -> None:
    """Tell Prefect of a due that waits: new, not claimed by anybody yet, or left by a run that was killed."""
    due = dues.waiting(root, pipeline, environment)
    if due is not None:
        emit("assay.retraining.due", pipeline, {"pipeline": pipeline, "environment": environment, "due": due.id})


def verdict(body: MonitorDecided) -> str:
    """The decision in a sentence with its numbers."""
    performance = (
        "too few matured labels to judge"
        if body.champion_value is None
        else f"{body.metric} {body.champion_value:.3f} against a baseline's {body.baseline_value:.3f}"
    )
    return f"{len(body.drifted)} of {len(body.features)} features drift; {performance}. {body.why}"


def told(pipeline: str, body: MonitorDecided) -> str:
    """The decision as markdown."""
    rows = [
        f"| {name} | {numbers['score']:.2f} | {numbers['threshold']:.2f} | {'▲ drifts' if name in body.drifted else 'calm'} |"
        for name, numbers in sorted(body.features.items(), key=lambda item: item[1]["threshold"] - item[1]["score"])
    ]
    return "\n".join(
        [
            f"# {pipeline}: {body.window_start[:10]} to {body.window_end[:10]}",
            "",
            verdict(body),
            "",
            "| feature | score | threshold | verdict |",
            "|---|--:|--:|---|",
            *rows,
        ]
    )


def _decisions(root: Root, champion: Model) -> list[Row]:
    """Decisions about this champion, oldest first: another champion's windows were judged by another calibration."""
    return ledger.find(
        root,
        action="monitor.decided",
        subject=champion.pipeline,
        digest=champion.digest,
        environment=champion.environment,
    )


@flow(name="monitor", description=__doc__)
def monitor(pipeline: str = "", environment: str = "production") -> dict[str, Any]:
    """Judge the newest window that has ended, of one pipeline or of every one that has a champion."""
    root = Root.open()
    watched = [name for name in packages.delivered(root, environment) if models.champion(root, name, environment)]
    rows = {name: run(root, name, environment) for name in ([pipeline] if pipeline else watched)}
    return {name: {"seq": row.seq, "verdict": verdict(row.body), "due": row.body.due} for name, row in rows.items()}
