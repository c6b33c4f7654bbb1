"""Batch scoring: a model's predictions for a window of a pipeline's dataset, into the store and into a parquet file.

The champion predicts, or a model that is named; its own package's code runs, in a process of its own, at the feature
versions that package was tested with. Rows whose label nobody knows yet are scored too. Each question has one score a model, so
the same scoring run again, or one of an overlapping window, adds only what was not there; the file holds the window's scores as
the store has them. Scores are no served predictions: neither the monitor nor the features made of traffic see them.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from prefect import flow

from flows import runner
from flows.orchestration import actor, markdown, say, step
from flows.pipeline import METRICS, Trigger, Window
from store import clock, ledger
from store.actions import ModelScored
from store.errors import InvalidInput
from store.features import snapshot
from store.layout import Root, write_atomically
from store.ledger import Row
from store.registry import models, packages
from store.registry.models import Model
from store.registry.packages import Package
from store.traffic import scores


@dataclass(frozen=True)
class Scored:
    """What a scoring left. ``model``: its version; ``rows``: scores of the window; ``added``: those that are new; ``file``: the
    parquet file; times are ISO 8601, UTC."""

    pipeline: str
    model: str
    window_start: str
    window_end: str
    rows: int
    added: int
    file: str
    sentence: str


def run(
    root: Root, pipeline: str, environment: str = "production", *, model: str = "", start: datetime | None = None,
    end: datetime | None = None, out: Path | None = None,
) -> Scored:  # fmt: skip
    """Score the questions with ``start <= event_time < end`` (default: until now, as long as the monitor's window).

    ``model``: alias, version or digest (default: the champion). ``out``: the parquet file (default: under the root). NotFound: no
    such model. InvalidInput: the window holds no rows, or a time has no zone.
    """
    now, found = clock.now(root), models.get(root, pipeline, environment, model or "champion")
    package = packages.get(root, pipeline, found.body.package)
    window = asked(package.manifest(root), start, end, now)
    rows = predict(root, found, package, window, now)
    added = keep(root, found, package, rows, now)
    kept = scores.read(
        root, environment, pipeline, window.start, window.end, model=found.digest, package=package.digest
    )
    file = write(root, found, window, kept, out)
    record(root, found, window, kept, now)
    sentence = f"{kept.height:,} scores of {window} by {found.version}, {added:,} of them new."
    markdown(
        f"{pipeline.replace('_', '-')}-scores",
        told(pipeline, package.manifest(root), rows, sentence),
        "What was scored",
    )
    say(f"{pipeline}: {sentence} File {file}.")
    times = window.to_dict()
    return Scored(pipeline, found.version, times["start"], times["end"], kept.height, added, str(file), sentence)


def asked(manifest: dict[str, Any], start: datetime | None, end: datetime | None, now: datetime) -> Window:
    """The window: what is not said is until now, and as long as the monitor's."""
    end = clock.utc(end) if end is not None else now
    start = clock.utc(start) if start is not None else end - Trigger.of(manifest).window
    if start >= end:
        raise InvalidInput(
            f"No question lies between {clock.printed(start)} and {clock.printed(end)}.",
            remedy="Let `start` be before `end`.",
        )
    return Window(start, end)


@step
def predict(root: Root, model: Model, package: Package, window: Window, now: datetime) -> pl.DataFrame:
    """The window's rows with the model's prediction, from the package's bytes in a process of their own.

    Columns: the key, event_time, slices, label (null: not known yet), label_time, prediction, value, the model's columns.
    """
    with tempfile.TemporaryDirectory(prefix="assay-score-") as scratch:
        out = Path(scratch) / "rows.parquet"
        job = {
            "what": "score", "root": str(root.path), "now": now.isoformat(), "window": window.to_dict(), "model": model.digest,
            "groups": package.body.groups, "columns": True, "unlabelled": True, "out": str(out),
        }  # fmt: skip
        runner.run(runner.unpacked(root, package), "flows.building", job, progress=say)
        return pl.read_parquet(out)


@step
def keep(root: Root, model: Model, package: Package, rows: pl.DataFrame, now: datetime) -> int:
    """The scores into the store; how many of them were not there."""
    manifest = package.manifest(root)
    return scores.add(
        root,
        model.environment,
        model.pipeline,
        manifest,
        rows,
        model=model.digest,
        package=package.digest,
        scored_at=now,
    )


@step
def write(root: Root, model: Model, window: Window, kept: pl.DataFrame, out: Path | None) -> Path:
    """The window's scores as a parquet file, replaced in one step."""
    file = out or scores.file(root, model.environment, model.pipeline, model.digest, window.start, window.end)
    buffer = io.BytesIO()
    kept.write_parquet(buffer)
    write_atomically(file.absolute(), buffer.getvalue())
    return file


@step
def record(root: Root, model: Model, window: Window, kept: pl.DataFrame, now: datetime) -> Row:
    """The ledger's row of this scoring; the same scores of the same window are recorded once."""
    content = snapshot.content_digest(kept.drop("recorded_at"))  # the machine's clock is no part of what was scored
    times = window.to_dict()
    body = ModelScored(model.body.package, times["start"], times["end"], kept.height, content)
    request = f"score-{model.pipeline}-{model.environment}-{model.digest}-{model.body.package}-{times['start']}-{times['end']}-{content}"
    return ledger.append(
        root, "model.scored", body, subject=model.pipeline, digest=model.digest, environment=model.environment,
        actor=actor(), now=now, request=request,
    )  # fmt: skip


def told(pipeline: str, manifest: dict[str, Any], rows: pl.DataFrame, sentence: str) -> str:
    """The scoring as markdown, with the metric where labels are known."""
    labelled, metric = rows.drop_nulls("label"), METRICS.get(manifest["metric"])
    lines = [
        f"# {pipeline}",
        "",
        sentence,
        "",
        "| | |",
        "|---|--:|",
        f"| mean prediction | {float(np.mean(rows['prediction'].to_numpy())):.4f} |",
    ]
    if metric is not None and labelled.height:
        value = metric.compute(labelled["label"].to_numpy(), labelled["prediction"].to_numpy())
        lines.append(f"| {metric.name} on the {labelled.height:,} rows with a label | {value:.4f} |")
    return "\n".join(lines)


@flow(name="score", description=__doc__)
def score(
    pipeline: str, environment: str = "production", model: str = "", start: datetime | None = None, end: datetime | None = None,
    out: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Score a window of a pipeline's dataset with its champion, or with another model of it."""
    file = Path(out) if out else None
    return asdict(run(Root.open(), pipeline, environment, model=model, start=start, end=end, out=file))
