"""A short data analysis of a pipeline's features that ends in a verdict.

It is one of: leave it, retrain, tune the architecture, new model, more data; the rules stand in
``flows.reporting.explore``. What is looked at is the delivered package, or, given a folder or before the first
delivery, the source folder: rows come from its own code in a process of its own, and the champion predicts with the
package it was trained in. The report is a blob, the verdict a ledger row; the same findings are recorded once.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow

from flows import runner
from flows.building import source
from flows.deciding.performance import Interval
from flows.orchestration import actor, markdown, say, step
from flows.pipeline import METRICS, Window
from flows.reporting import explore as analysis
from flows.reporting.explore import Found
from flows.runner import Code
from store import blobs, clock, ledger
from store.actions import DataExplored
from store.layout import Root
from store.registry import aliases, models, packages
from store.registry.models import Model

LOOKBACK = timedelta(weeks=26)
"""How far back the rows go."""


@dataclass(frozen=True)
class Explored:
    """What was found. ``report``: the digest of the markdown blob."""

    verdict: str
    sentence: str
    report: str


@dataclass(frozen=True)
class Subject:
    """The code that is looked at. ``package``: its digest, None for a source folder."""

    code: Code
    manifest: dict[str, Any]
    package: str | None


def run(root: Root, pipeline: str, environment: str = "production") -> Explored:
    """Explore a pipeline's features, and record the report and its verdict.

    ``pipeline``: a name (what is delivered, else the folder in ``flows/pipelines/``), or the path of a source folder.
    NotFound: no such pipeline. InvalidInput: the store holds no labelled rows of it.
    """
    now, subject = clock.now(root), chosen(root, pipeline, environment)
    champion = models.champion(root, subject.code.pipeline, environment)
    rows = read(root, subject, champion, now)
    found = analyse(subject.manifest, rows, champion)
    explored = record(root, subject, environment, found, now)
    key = f"{subject.code.pipeline.replace('_', '-')}-exploration"
    markdown(key, blobs.get(root, explored.report).decode(), "What the data say, and what should follow")
    say(f"{explored.verdict}: {explored.sentence}")
    return explored


def chosen(root: Root, pipeline: str, environment: str) -> Subject:
    """The delivered package of that name, else the source folder."""
    if "/" not in pipeline and aliases.current(root, pipeline, environment, aliases.DEPLOYED):
        package = packages.deployed(root, pipeline, environment)
        return Subject(runner.unpacked(root, package), package.manifest(root), package.digest)
    code = runner.stage(root, source.find(pipeline))
    return Subject(code, runner.run(code, "flows.building", {"what": "describe"})["manifest"], None)


@step
def read(root: Root, subject: Subject, champion: Model | None, now: datetime) -> pl.DataFrame:
    """The labelled rows of the last LOOKBACK with the model's columns, and the champion's prediction of the newest."""
    window = Window(now - LOOKBACK, now)
    if champion is None or champion.body.package == subject.package:
        return _scored(root, subject.code, window, now, model=champion, columns=True)
    rows = _scored(root, subject.code, window, now, model=None, columns=True)
    newest = rows["event_time"].max()
    assert isinstance(newest, datetime)
    package = packages.get(root, champion.pipeline, champion.body.package)
    since = Window(newest - analysis.NEWEST, now)
    theirs = _scored(root, runner.unpacked(root, package), since, now, model=champion, columns=False)
    key = subject.manifest["key"]
    return rows.drop("prediction").join(theirs.select(*key, "prediction"), on=key, how="left", maintain_order="left")


@step
def analyse(manifest: dict[str, Any], rows: pl.DataFrame, champion: Model | None) -> Found:
    """What the rows say, by the pipeline's own metric and margin."""
    return analysis.explore(
        rows,
        manifest["columns"],
        task=manifest["task"],
        metric=METRICS[manifest["metric"]],
        margin=manifest["trigger"]["margin"],
        champion_end=None if champion is None else datetime.fromisoformat(champion.body.train_end),
    )


@step
def record(root: Root, subject: Subject, environment: str, found: Found, now: datetime) -> Explored:
    """The report as a blob, the verdict as a ledger row: once for the same findings."""
    pipeline = subject.code.pipeline
    digest = blobs.put(root, told(subject, found).encode())
    body = DataExplored(found.verdict, found.sentence, found.start.isoformat(), found.end.isoformat())
    ledger.append(
        root, "data.explored", body, subject=pipeline, digest=digest, environment=environment, actor=actor(), now=now,
        reason=found.sentence, request=f"explore-{pipeline}-{environment}-{digest}",
    )  # fmt: skip
    return Explored(found.verdict, found.sentence, digest)


def told(subject: Subject, found: Found) -> str:
    """The report as markdown: the verdict first, then what it stands on."""
    manifest, evidence = subject.manifest, found.evidence
    metric, margin = manifest["metric"], manifest["trigger"]["margin"]
    what = f"package {subject.package[:8]}" if subject.package else f"source {subject.code.tree[:8]}"
    span = f"{found.start:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M} UTC"
    questions = {
        "a small model than a constant": evidence.signal,
        "a tree of recent rows than the champion": evidence.fresh,
        "a tree of the champion's age than the champion": evidence.aged,
        "all older rows than half of them": evidence.curve,
    }
    return "\n".join(
        [
            f"# {manifest['name']} {manifest['version']} ({what}): {found.verdict}",
            "",
            found.sentence,
            "",
            f"Labelled rows of {span}: {evidence.older:,} older, {evidence.judged:,} of the newest two weeks.",
            "",
            f"| how much better is (margin {margin:g}) | {metric} | 95% interval over days |",
            "|---|--:|---|",
            *[f"| {name} | {_answer(interval)} |" for name, interval in questions.items()],
            "",
            f"| model | rows fitted | rows judged | {metric} ({manifest['better']} is better) |",
            "|---|--:|--:|--:|",
            *[_model(one) for one in found.models.to_dicts()],
            "",
            *_features(found.features),
        ]
    )


def _answer(interval: Interval | None) -> str:
    return (
        "not measured | " if interval is None else f"{interval.estimate:.4f} | {interval.low:.4f} … {interval.high:.4f}"
    )


def _model(one: dict[str, Any]) -> str:
    fitted = "" if one["fitted"] is None else f"{one['fitted']:,}"
    return f"| {one['model']} | {fitted} | {one['judged']:,} | {one['value']:.4f} |"


def _features(features: pl.DataFrame) -> list[str]:
    months = [name for name in features.columns if name[:1].isdigit()]
    head = ["feature", "dtype", "missing", "distinct", "strength", *months, "moved", "to look at"]
    rows = [
        [
            *(one["feature"], one["dtype"], f"{one['missing']:.1%}", f"{one['distinct']:,}", f"{one['strength']:.2f}"),
            *(f"{one[month]:.2f}" for month in months),
            *(f"{one['moved']:.0%}", one["note"]),
        ]
        for one in features.to_dicts()
    ]
    rule = ["---", "---", *["--:"] * (len(head) - 3), "---"]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def _scored(
    root: Root, code: Code, window: Window, now: datetime, *, model: Model | None, columns: bool
) -> pl.DataFrame:
    with tempfile.TemporaryDirectory(prefix="assay-explore-") as scratch:
        out = Path(scratch) / "rows.parquet"
        job: dict[str, Any] = {
            "what": "score",
            "root": str(root.path),
            "now": now.isoformat(),
            "window": window.to_dict(),
        }
        job |= {"columns": columns, "model": None if model is None else model.digest, "out": str(out)}
        runner.run(code, "flows.building", job, progress=say)
        return pl.read_parquet(out)


@flow(name="explore", description=__doc__)
def explore(pipeline: str, environment: str = "production") -> dict[str, Any]:
    """Explore a pipeline's features."""
    return asdict(run(Root.open(), pipeline, environment))
