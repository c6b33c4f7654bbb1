"""Evidently's report of a window that the monitor judged, from samples, with the monitor's own scores and flags.

A flow of its own, made on request or on an alarm: the monitor decides on all rows in a moment, a picture takes half a
minute. It is drawn in a child (``flows.reporting``), because importing Evidently takes longer than all the rest. A
window is drawn once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow

from flows import runner
from flows.orchestration import actor, markdown, say, step
from flows.pipeline import Window
from flows.runner import Code
from store import blobs, clock, ledger
from store.actions import ReportDrawn
from store.errors import Conflict, InvalidInput, NotFound
from store.features import snapshot
from store.layout import Root
from store.ledger import Row
from store.registry import models
from store.registry.models import Model
from store.traffic import predictions

SAMPLE = 5_000
SEED = 0


@dataclass(frozen=True)
class Drawn:
    """The report of one window. ``report``: the digest of the HTML blob; times are ISO 8601, UTC."""

    report: str
    window_start: str
    window_end: str
    rows: int
    drifted: list[str]
    sentence: str


def run(root: Root, pipeline: str, environment: str = "production", window_end: datetime | None = None) -> Drawn:
    """Draw the report of the newest window the monitor judged, or of the one that ended at ``window_end``.

    NotFound: no window, or not this one, was judged. InvalidInput: it was judged without drift scores, or
    ``window_end`` has no zone.
    """
    now, decision = clock.now(root), decided(root, pipeline, environment, window_end)
    row = already(root, decision)
    if row is None:
        scores = scored(decision)
        model = models.get(root, pipeline, environment, decision.digest)
        row = record(root, decision, *draw(root, decision, model, scores), now)
    drawn = _drawn(decision, row)
    key = f"{pipeline.replace('_', '-')}-drift-report"
    markdown(key, told(decision, drawn), "What drifted, and where its report lies")
    say(f"{drawn.sentence} Report {drawn.report[:8]}.")
    return drawn


def decided(root: Root, pipeline: str, environment: str, window_end: datetime | None = None) -> Row:
    """The monitor's newest decision, on the window that ended then if one is asked for."""
    known = ledger.find(root, action="monitor.decided", subject=pipeline, environment=environment)
    if not known:
        remedy = f"Run `assay monitor {pipeline} --environment {environment}`."
        raise NotFound(f"No window of {pipeline} in {environment} was judged yet.", remedy=remedy)
    if window_end is None:
        return known[-1]
    wanted = clock.utc(window_end)
    for row in reversed(known):
        if datetime.fromisoformat(row.body.window_end) == wanted:
            return row
    raise NotFound(
        f"No window of {pipeline} in {environment} that ended at {clock.printed(wanted)} was judged.",
        f"Judged: {', '.join(dict.fromkeys(row.body.window_end[:16] for row in known))} UTC.",
        "Give one of these ends, or none for the newest.",
    )


def already(root: Root, decision: Row) -> Row | None:
    """The report already drawn for this decision."""
    drawn = ledger.find(root, action="report.drawn", subject=decision.subject, environment=decision.environment)
    return next((row for row in drawn if row.request == _request(decision)), None)


def scored(decision: Row) -> pl.DataFrame:
    """The decision's scores, as ``flows.deciding.drift.score`` gave them."""
    body = decision.body
    if not body.features:
        raise InvalidInput(
            f"The window of {decision.subject} to {body.window_end[:16]} UTC was judged without drift scores.",
            f"{body.rows:,} predictions were served in it; the champion has no drift calibration, or there were none.",
            "Choose another window, or train on a longer history.",
        )
    frame = pl.DataFrame([{"feature": name} | numbers for name, numbers in body.features.items()])
    drifted, rows = pl.col("feature").is_in(body.drifted).alias("drifted"), pl.lit(body.rows, pl.Int64).alias("rows")
    return frame.select("feature", "score", "threshold", drifted, "null_share", rows)


@step
def draw(root: Root, decision: Row, model: Model, scores: pl.DataFrame) -> tuple[str, int]:
    """The HTML blob's digest and how many served rows are in the picture; Evidently runs in a child."""
    window = Window.from_dict({"start": decision.body.window_start, "end": decision.body.window_end})
    served = predictions.read(root, decision.environment, decision.subject, start=window.start, end=window.end)
    current = _sample(_seen(served), scores["feature"])
    reference = _sample(snapshot.rebuild(root, model.body.snapshot), scores["feature"])
    title = f"{decision.subject} in {decision.environment}: {window} against the training rows of {model.version}"
    with tempfile.TemporaryDirectory(prefix="assay-report-") as scratch:
        folder = Path(scratch)
        job = {name: str(folder / f"{name}.parquet") for name in ("reference", "current", "scores")}
        for name, frame in (("reference", reference), ("current", current), ("scores", scores)):
            frame.write_parquet(job[name])
        nobody = Code(decision.subject, folder, "")
        runner.run(nobody, "flows.reporting", job | {"title": title, "out": str(folder / "report.html")}, progress=say)
        return blobs.put(root, (folder / "report.html").read_bytes()), current.height


@step
def record(root: Root, decision: Row, report: str, sampled: int, now: datetime) -> Row:
    """The ledger's row of this report; another run's, if it was quicker."""
    body = decision.body
    payload = ReportDrawn("drift", body.window_start, body.window_end, body.rows, sampled, list(body.drifted))
    try:
        return ledger.append(
            root, "report.drawn", payload, subject=decision.subject, digest=report, environment=decision.environment,
            actor=actor(), now=now, request=_request(decision),
        )  # fmt: skip
    except Conflict:
        theirs = already(root, decision)
        if theirs is None:
            raise
        return theirs


def told(decision: Row, drawn: Drawn) -> str:
    """The verdict as markdown."""
    body = decision.body
    order = sorted(body.features.items(), key=lambda item: item[1]["score"] / item[1]["threshold"], reverse=True)
    return "\n".join(
        [
            f"# {decision.subject}: {body.window_start[:10]} to {body.window_end[:10]}",
            "",
            f"{drawn.sentence} Report `{drawn.report[:8]}`.",
            "",
            "| feature | score | threshold | missing | verdict |",
            "|---|--:|--:|--:|---|",
            *[
                f"| {name} | {one['score']:.2f} | {one['threshold']:.2f} | {one['null_share']:.1%} | "
                f"{'▲ drifts' if name in body.drifted else '● calm'} |"
                for name, one in order
            ],
        ]
    )


def _drawn(decision: Row, row: Row) -> Drawn:
    body = row.body
    count = f"{len(body.drifted)} of {len(decision.body.features)} features drift"
    which = f": {', '.join(body.drifted)}" if body.drifted else ""
    sentence = f"{count} in {body.rows:,} rows of {body.window_start[:10]} to {body.window_end[:10]}{which}."
    return Drawn(row.digest, body.window_start, body.window_end, body.rows, list(body.drifted), sentence)


def _request(decision: Row) -> str:
    return f"report-drift-{decision.subject}-{decision.environment}-{decision.digest}-{decision.body.window_end}"


def _seen(served: pl.DataFrame) -> pl.DataFrame:
    """The model's columns as they were served, under the names the model knows them by."""
    prefix = predictions.SERVED
    return served.select(
        pl.col(name).alias(name.removeprefix(prefix)) for name in served.columns if name.startswith(prefix)
    )


def _sample(rows: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    """At most SAMPLE rows, seeded, of the columns that there are."""
    kept = rows.select([name for name in columns if name in rows.columns])
    return kept.sample(SAMPLE, seed=SEED) if kept.height > SAMPLE else kept


@flow(name="report", description=__doc__)
def report(pipeline: str, environment: str = "production", window_end: datetime | None = None) -> dict[str, Any]:
    """Draw the drift report of a window the monitor judged."""
    return asdict(run(Root.open(), pipeline, environment, window_end))
