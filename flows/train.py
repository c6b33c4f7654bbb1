"""The delivered package, retrained: claim a due, build in the package's own process, compare, register, promote or keep.

A run starts from a due in the ledger and claims it by compare-and-set; the event that started it carries no authority. Without a due
the run opens one itself, by hand, through the same decision. Killed anywhere, the same run finds its own rows and
goes on; another run finds the due taken while the first one's process lives, and takes it over when it has ended.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow

from flows import certificate, runner
from flows.deciding import drift, performance, promotion
from flows.deciding import due as deciding
from flows.orchestration import actor, emit, link, markdown, progress, run_id, say, sentence, started_by, step
from flows.pipeline import METRICS, Promote, Trigger
from flows.reporting import model as report
from store import blobs, clock, ledger
from store.actions import ChallengerJudged, ModelRegistered
from store.errors import AssayError, Conflict, InvalidInput, NotFound
from store.layout import Root
from store.ledger import Row
from store.registry import dues, models, packages
from store.registry.dues import Due
from store.registry.models import Model
from store.registry.packages import Package

BUILDING_STEPS = 4
"""Snapshot, tuning, fitting, analysing: what the child reports."""


@dataclass(frozen=True)
class Trained:
    """How a run ended. ``outcome``: promoted, kept, or nothing (the due was not ours)."""

    outcome: str
    sentence: str
    model: str | None = None
    due: str | None = None


def run(
    root: Root, pipeline: str, environment: str = "production", *, due: str | None = None, reason: str = ""
) -> Trained:
    """Train a pipeline's delivered package once, for one due, and decide who serves."""
    now, run = clock.now(root), run_id() or uuid.uuid4().hex
    package = packages.deployed(root, pipeline, environment)
    certificate.require(root, package)
    try:
        claimed = claim(root, package, environment, due, run, reason, now)
    except (Conflict, NotFound) as refusal:
        if due is None:
            raise
        say(f"Nothing to do: {refusal}")
        return Trained("nothing", str(refusal), due=due)
    with closing(root, claimed, run, now) as end, tempfile.TemporaryDirectory(prefix="assay-train-") as scratch:
        if (done := promoted_for(root, claimed)) is not None:
            end.outcome, end.model, end.sentence = "promoted", done.digest, done.reason
            return Trained("promoted", done.reason, done.digest, claimed.id)
        champion = models.champion(root, pipeline, environment)
        built = build(root, package, champion, Path(scratch), now)
        model = register(root, package, environment, champion, built, Path(scratch), claimed.id, now, run)
        decided = compare(root, package, environment, champion, model, Path(scratch), now, run)
        if decided.outcome == "promoted":
            promote(root, model, champion, decided.reasons, now, run)
        end.outcome, end.model, end.sentence = decided.outcome, model.digest, " ".join(decided.reasons)
    markdown(
        f"{pipeline.replace('_', '-')}-training",
        report.markdown(built, decided.outcome, decided.reasons),
        "What was trained, and who serves",
    )
    link(pipeline, environment, "retrain", f"{pipeline}: what was decided, in the console")
    say(f"{decided.outcome}: {end.sentence}")
    return Trained(decided.outcome, end.sentence, model.digest, claimed.id)


def would(
    root: Root, pipeline: str, environment: str = "production", *, due: str | None = None, reason: str = ""
) -> Row:
    """The first row a training would write: its claim of the due, or the due it would open. Nothing is written.

    Whether it moves the champion, and to which model, is known only when that model was trained and judged.
    """
    now, package = clock.now(root), packages.deployed(root, pipeline, environment)
    waiting = dues.waiting(root, pipeline, environment)
    if due is None and waiting is None:
        return open_by_hand(root, package, environment, reason, now, dry_run=True).opened
    asked = due or (waiting.id if waiting else "")
    claimed = dues.claim(
        root, asked, run="this one", actor=actor(), by=started_by(), now=now, reason=reason, dry_run=True
    )
    assert claimed.claimed is not None
    return claimed.claimed


@step
def claim(root: Root, package: Package, environment: str, due: str | None, run: str, reason: str, now: datetime) -> Due:
    """The due this run works for: the given one, the one that waits for somebody, or one opened by hand."""
    if due is None:
        waiting = dues.waiting(root, package.pipeline, environment)
        due = waiting.id if waiting else open_by_hand(root, package, environment, reason, now).id
    return dues.claim(root, due, run=run, actor=actor(), by=started_by(), now=now, reason=reason)


def open_by_hand(
    root: Root, package: Package, environment: str, reason: str, now: datetime, *, dry_run: bool = False
) -> Due:
    """A due of somebody's own, through the same decision as the monitor's. Conflict when that says no."""
    champion = models.champion(root, package.pipeline, environment)
    digest = None if champion is None else champion.digest
    pending = dues.pending(root, package.pipeline, environment)
    decision = deciding.decide(
        pipeline=package.pipeline, environment=environment, champion=digest, window_end=now, drifted=[], fallen=[],
        trigger=Trigger.of(package.manifest(root)), open_due=pending.id if pending else None, by_hand=True,
    )  # fmt: skip
    if not decision.open or decision.due is None:
        raise Conflict(
            f"{package.pipeline} cannot be retrained by hand now.",
            decision.why,
            "Train that due (`--due`), or wait for its end.",
        )
    due = f"{decision.due[:48]}{uuid.uuid4().hex[:16]}"
    sentences = [f"{one.sentence} {reason}".strip() for one in decision.reasons]
    return dues.open_due(
        root, due, pipeline=package.pipeline, environment=environment, kinds=[one.kind for one in decision.reasons],
        reasons=sentences, window_end=now, champion=digest, actor=actor(), now=now, dry_run=dry_run,
    )  # fmt: skip


def promoted_for(root: Root, due: Due) -> Row | None:
    """The promotion that a run which was killed before it could close this due had already made."""
    mine = {model.digest for model in models.listed(root, due.pipeline, due.environment) if model.body.due == due.id}
    rows = ledger.find(root, action="model.promoted", subject=due.pipeline, environment=due.environment)
    return next((row for row in reversed(rows) if row.digest in mine and row.seq > due.opened.seq), None)


@step
def build(root: Root, package: Package, champion: Model | None, folder: Path, now: datetime) -> dict[str, Any]:
    """Snapshot, split, search, fit and analyse, from the package's bytes in a process of their own."""
    same = champion is not None and champion.body.package == package.digest
    job = {
        "what": "train", "root": str(root.path), "folder": str(folder), "now": now.isoformat(), "actor": actor(),
        "champion": champion.digest if champion is not None and same else None, "groups": package.body.groups,
    }  # fmt: skip
    steps = progress(f"{package.pipeline.replace('_', '-')}-building", BUILDING_STEPS)
    return runner.run(runner.unpacked(root, package), "flows.building", job, progress=steps)


@step
def register(
    root: Root, package: Package, environment: str, champion: Model | None, built: dict[str, Any], folder: Path,
    due: str | None, now: datetime, run: str,
) -> Model:  # fmt: skip
    """The model with its lineage and report in the registry. Its test interval is over days."""
    return registered(
        root, package.pipeline, environment, package.digest, built, folder, due=due, now=now, request=f"register-{run}"
    )


def registered(
    root: Root, pipeline: str, environment: str, package: str, built: dict[str, Any], folder: Path, *,
    due: str | None, now: datetime, request: str | None = None,
) -> Model:  # fmt: skip
    """Register what a training left in ``folder``, with report and drift calibration."""
    data = (folder / "model.skops").read_bytes()
    interval = test_interval(built["manifest"], pl.read_parquet(folder / "test.parquet"))
    content = {
        **built,
        "interval": interval.to_dict(),
        "calibration": calibration(built["manifest"], folder / "rows.parquet"),
    }
    parts, manifest = built["parts"], built["manifest"]
    body = ModelRegistered(
        version=models.version_name(now, blobs.digest(data)), package=package, snapshot=built["snapshot"],
        report=blobs.put_json(root, content), parameters=built["parameters"], metric=manifest["metric"],
        value=interval.estimate, low=interval.low, high=interval.high,
        train_start=parts["train"]["start"], train_end=parts["validation"]["end"],
        test_start=parts["test"]["start"], test_end=parts["test"]["end"], rows=parts["train"]["rows"], due=due,
    )  # fmt: skip
    return models.register(root, pipeline, environment, data, body, actor=actor(), now=now, request=request)


def calibration(manifest: dict[str, Any], rows: Path) -> dict[str, Any] | None:
    """How restless the reference's own weeks are, a feature: what later weeks are judged by. None when it is too short to tell."""
    try:
        window = Trigger.of(manifest).window
        return drift.calibrate(pl.read_parquet(rows), manifest["monitored"], time="event_time", window=window).to_dict()
    except InvalidInput as refusal:
        say(f"No drift calibration: {sentence(refusal)}")
        return None


def test_interval(manifest: dict[str, Any], test: pl.DataFrame) -> performance.Interval:
    """The metric on the test rows with its interval over days."""
    rows = test.drop_nulls("label")
    return performance.single(
        rows["label"], rows["prediction"], rows["event_time"].dt.date(), METRICS[manifest["metric"]]
    )


@dataclass(frozen=True)
class Decided:
    """Who serves from here on, and the sentences that say why."""

    outcome: str
    reasons: list[str]


@step
def compare(
    root: Root,
    package: Package,
    environment: str,
    champion: Model | None,
    model: Model,
    folder: Path,
    now: datetime,
    run: str,
) -> Decided:
    """Champion against challenger on identical rows that neither has seen; the judgement goes into the ledger."""
    manifest = package.manifest(root)
    policy, metric = Promote.of(manifest), METRICS[manifest["metric"]]
    rows = unseen(root, package, champion, pl.read_parquet(folder / "test.parquet"), now).drop_nulls("label")
    day, label = rows["event_time"].dt.date(), rows["label"]
    ids = rows.select(manifest["key"]).rows()
    own = performance.attempted(lambda: performance.single(label, rows["prediction"], day, metric), say)
    difference, slices = None, {}
    if champion is not None:
        difference = performance.attempted(
            lambda: performance.paired(label, rows["champion"], rows["prediction"], day, metric), say
        )
        slices = {
            f"{name}={member}": promotion.Pair(
                metric.compute(part["label"].to_numpy(), part["champion"].to_numpy()),
                metric.compute(part["label"].to_numpy(), part["prediction"].to_numpy()),
            )
            for name in policy.slices
            for (member,), part in rows.group_by(name, maintain_order=True)
        }
    decided = promotion.decide(
        metric=metric, challenger=own, challenger_ids=ids, difference=difference, champion_ids=None if champion is None else ids,
        margin=policy.margin, slices=slices, tolerance=policy.tolerance, floor=manifest["floor"], minimum_rows=policy.minimum_rows,
        members=performance.by_member(rows, manifest["slices"], metric), slice_floor=manifest.get("slice_floor", manifest["floor"]),
    )  # fmt: skip
    body = ChallengerJudged(
        champion=None if champion is None else champion.digest, outcome=decided.outcome, metric=metric.name,
        champion_value=None if champion is None or not rows.height else metric.compute(label.to_numpy(), rows["champion"].to_numpy()),
        challenger_value=own.estimate if own else model.body.value,
        difference=difference.estimate if difference else None, low=difference.low if difference else None,
        high=difference.high if difference else None, rows=rows.height,
        test_start=str(rows["event_time"].min() or ""), test_end=str(rows["event_time"].max() or ""), reasons=list(decided.reasons),
    )  # fmt: skip
    ledger.append(
        root, "model.judged", body, subject=package.pipeline, digest=model.digest, environment=environment,
        actor=actor(), now=now, request=f"judge-{run}",
    )  # fmt: skip
    return Decided(decided.outcome, list(decided.reasons))


def unseen(root: Root, package: Package, champion: Model | None, test: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The challenger's test rows that the champion has not seen either, with the champion's prediction for each.

    A champion of another package predicts with its own package's code and features, in a process of its own.
    """
    if champion is None:
        return test
    seen = datetime.fromisoformat(champion.body.train_end)
    test = test.filter(pl.col("event_time") > seen)
    if champion.body.package == package.digest or test.is_empty():
        return test
    with tempfile.TemporaryDirectory(prefix="assay-champion-") as scratch:
        out = Path(scratch) / "rows.parquet"
        window = {"start": test["event_time"].min().isoformat(), "end": now.isoformat()}  # type: ignore[union-attr]
        old = packages.get(root, package.pipeline, champion.body.package)
        job = {
            "what": "score",
            "root": str(root.path),
            "now": now.isoformat(),
            "window": window,
            "model": champion.digest,
            "groups": old.body.groups,
            "out": str(out),
        }
        runner.run(runner.unpacked(root, old), "flows.building", job, progress=say)
        theirs = pl.read_parquet(out).select(*package.manifest(root)["key"], pl.col("prediction").alias("champion"))
    return test.drop("champion").join(theirs, on=package.manifest(root)["key"], how="inner", maintain_order="left")


@step
def promote(root: Root, model: Model, champion: Model | None, reasons: list[str], now: datetime, run: str) -> None:
    """One row makes the challenger the champion, if the champion is still the one it was compared with."""
    expected = None if champion is None else champion.digest
    models.promote(
        root, model, expected=expected, actor=actor(), now=now, reason=" ".join(reasons), request=f"promote-{run}"
    )
    emit(
        "assay.model.promoted",
        model.pipeline,
        {"pipeline": model.pipeline, "environment": model.environment, "model": model.digest},
    )


@dataclass
class _End:
    outcome: str = "failed"
    model: str | None = None
    sentence: str = ""


@contextmanager
def closing(root: Root, due: Due, run: str, now: datetime) -> Iterator[_End]:
    """Whatever happens to the work, the due is closed: with its outcome, or as failed with the reason."""
    end = _End()
    try:
        yield end
    except AssayError as error:
        end.sentence = sentence(error)
        raise
    except Exception as error:
        end.sentence = f"{type(error).__name__}: {error}"[:500]
        raise
    finally:
        dues.close(root, due.id, run=run, by=started_by(), actor=actor(), now=now, **asdict(end))


@flow(name="train", description=__doc__)
def train(pipeline: str, environment: str = "production", due: str | None = None, reason: str = "") -> dict[str, Any]:
    """Retrain the delivered package of a pipeline, for a due in the ledger or by hand."""
    return asdict(run(Root.open(), pipeline, environment, due=due, reason=reason))
