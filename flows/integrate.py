"""The gate: proved, trained, above the floor, built reproducibly, and only then published.

A pipeline's source is staged by its digest and proved as it stands there; what is proved is what is built and what is published. Below
the floor or with a failed check nothing is published: the ledger keeps the refusal with its evidence, and the message says what to do.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow

from flows import certificate, runner
from flows import prove as proving
from flows.building import source
from flows.deciding import promotion
from flows.deciding.performance import Interval, attempted, by_member, single
from flows.orchestration import actor, emit, markdown, say, step, table
from flows.pipeline import CONTRACT, METRICS, Promote
from flows.runner import Code
from store import blobs, clock, ledger
from store.actions import ModelRegistered, PackagePublished, PackageRefused
from store.errors import GateFailed, Refused
from store.features import group
from store.layout import Root
from store.registry import models, packages
from store.registry.packages import Package


def run(root: Root, pipeline: str) -> Package:
    """Integrate a pipeline: a name in ``flows/pipelines/``, or a folder's path. GateFailed says what to mend."""
    now, folder = clock.now(root), source.find(pipeline)
    code = runner.stage(root, folder)
    manifest = describe(root, code)
    if (known := published(root, code, manifest)) is not None:
        say(f"{code.pipeline} {manifest['version']} is already published with these very files.")
        return known
    proved = prove(root, code, now)
    refuse_unproved(root, code, manifest, proved, now)
    with tempfile.TemporaryDirectory(prefix="assay-gate-") as scratch:
        trained = train(root, code, Path(scratch), now)
        interval = reach_floor(root, code, manifest, proved, trained, Path(scratch), now)
        wheel = build(code, manifest)
        package = publish(root, code, folder, manifest, proved, trained, interval, wheel, Path(scratch), now)
    emit(
        "assay.package.published",
        code.pipeline,
        {"pipeline": code.pipeline, "version": package.version, "package": package.digest},
    )
    say(
        f"{code.pipeline} {package.version} is published: {package.digest[:8]}, {manifest['metric']} {interval.estimate:.4f}"
    )
    return package


@step
def describe(root: Root, code: Code) -> dict[str, Any]:
    """The contract's declarations, read in a process of the pipeline's own."""
    manifest: dict[str, Any] = runner.run(
        code, "flows.building", {"what": "describe", "root": str(root.path)}, timeout_s=120
    )["manifest"]
    if manifest["contract"] != CONTRACT:
        raise GateFailed(
            f"{code.pipeline} is written for contract {manifest['contract']!r}.",
            f"This assay knows contract {CONTRACT}.",
            "Use the assay it was written for, or move it to this contract.",
        )
    return manifest


def published(root: Root, code: Code, manifest: dict[str, Any]) -> Package | None:
    """The package that already holds these files under this version, if there is one.

    Conflict when it holds others: said before the minutes of proving, not after them.
    """
    for package in packages.listed(root, code.pipeline):
        if package.version == manifest["version"]:
            if package.body.tree != code.tree:
                raise packages.version_taken(package, package.body.tree, code.tree)
            return package
    return None


@step
def prove(root: Root, code: Code, now: datetime) -> dict[str, Any]:
    """Checks on the pipeline, and the planted faults that prove the checks."""
    found = proving.proved(root, code, now)
    told = [(one, one["verdict"], one["control"]) for one in found["checks"]]
    told += [(one, one["fate"], one["check"]) for one in found["faults"]]
    rows = [
        {
            "code": one["code"],
            "title": one["title"],
            "verdict": verdict,
            "control": control,
            "sentence": one["sentence"],
        }
        for one, verdict, control in told
    ]
    table(f"{code.pipeline.replace('_', '-')}-proving", rows, "Checks, and the faults that prove them")
    return found


@step
def refuse_unproved(root: Root, code: Code, manifest: dict[str, Any], proved: dict[str, Any], now: datetime) -> None:
    """GateFailed when a check failed or saw nothing, or a planted fault survived."""
    failed = certificate.unproved(proved)
    if failed:
        refuse(
            root, code, manifest, proved, failed, "Mend the pipeline where the check points, and integrate again.", now
        )


@step
def train(root: Root, code: Code, folder: Path, now: datetime) -> dict[str, Any]:
    """The gate's own training, on all data."""
    job = {"what": "train", "root": str(root.path), "folder": str(folder), "now": now.isoformat(), "actor": actor()}
    return runner.run(code, "flows.building", job, progress=say)


@step
def reach_floor(
    root: Root,
    code: Code,
    manifest: dict[str, Any],
    proved: dict[str, Any],
    trained: dict[str, Any],
    folder: Path,
    now: datetime,
) -> Interval:
    """The metric on the test rows with its interval over days.

    GateFailed below the floor, surely below that of slices, on too few rows, and where it cannot be measured.
    """
    metric, rows = METRICS[manifest["metric"]], pl.read_parquet(folder / "test.parquet").drop_nulls("label")
    day = rows["event_time"].dt.date()
    interval = attempted(lambda: single(rows["label"], rows["prediction"], day, metric), say)
    decided = promotion.decide(
        metric=metric, challenger=interval, challenger_ids=rows.select(manifest["key"]).rows(), floor=manifest["floor"],
        members=by_member(rows, manifest["slices"], metric), slice_floor=manifest["slice_floor"],
        minimum_rows=Promote.of(manifest).minimum_rows, who="model",
    )  # fmt: skip
    if decided.refusals:
        remedy = "Improve the model, or agree with its users on another floor or fewer rows."
        refuse(root, code, manifest, proved | {"trained": trained}, list(decided.refusals), remedy, now)
    assert interval is not None
    return interval


@step
def build(code: Code, manifest: dict[str, Any]) -> bytes:
    """The wheel, built twice from two folders: Refused unless both are the same bytes."""
    content = source.files(code.path / code.pipeline)
    first, second = (source.wheel(code.pipeline, manifest["version"], content) for _ in range(2))
    if first != second:
        raise Refused(
            f"Two builds of {code.pipeline} differ.",
            f"{blobs.digest(first)[:8]} and {blobs.digest(second)[:8]}.",
            "Report it: a build must be reproducible.",
        )
    return first


@step
def publish(
    root: Root, code: Code, folder: Path, manifest: dict[str, Any], proved: dict[str, Any], trained: dict[str, Any],
    interval: Interval, wheel: bytes, scratch: Path, now: datetime,
) -> Package:  # fmt: skip
    """The package with all that speaks for it: certificate, manifest, the gate's model, commit and tree, pinned feature groups."""
    data, digest = (scratch / "model.skops").read_bytes(), blobs.digest(wheel)
    report = blobs.put_json(root, {**trained, "interval": interval.to_dict(), "calibration": None})
    parts = trained["parts"]
    model = ModelRegistered(
        version=models.version_name(now, blobs.digest(data)), package=digest, snapshot=trained["snapshot"], report=report,
        parameters=trained["parameters"], metric=manifest["metric"], value=interval.estimate, low=interval.low, high=interval.high,
        train_start=parts["train"]["start"], train_end=parts["validation"]["end"], test_start=parts["test"]["start"],
        test_end=parts["test"]["end"], rows=parts["train"]["rows"], gate=True,
    )  # fmt: skip
    known = group.declared(root)
    evidence = {
        **proved,
        "trained": trained,
        "interval": interval.to_dict(),
        "tree": code.tree,
        "gate_model": asdict(model),
    }
    body = PackagePublished(
        version=manifest["version"], wheel=digest, contract=manifest["contract"], commit=source.commit(folder), tree=code.tree,
        evidence=blobs.put_json(root, evidence), manifest=blobs.put_json(root, manifest), gate_model=blobs.put(root, data),
        groups={use["group"]: known[use["group"]].version for use in manifest["features"]}, metric=manifest["metric"],
        value=interval.estimate,
        certificate=certificate.issue(root, code.pipeline, manifest["version"], wheel, code.tree, proved, now),
    )  # fmt: skip
    return packages.publish(root, code.pipeline, wheel, body, actor=actor(), now=now)


def refuse(
    root: Root,
    code: Code,
    manifest: dict[str, Any],
    evidence: dict[str, Any],
    failed: list[str],
    remedy: str,
    now: datetime,
) -> None:
    """Keep the refusal with its evidence, and raise it."""
    sentence = f"{code.pipeline} {manifest['version']} is refused: {' '.join(failed)}"
    body = PackageRefused(manifest["version"], code.tree, failed, sentence)
    digest = blobs.put_json(root, evidence)
    ledger.append(root, "package.refused", body, subject=code.pipeline, digest=digest, actor=actor(), now=now)
    markdown(
        f"{code.pipeline.replace('_', '-')}-refused",
        f"# Refused\n\n{sentence}\n\n{remedy}",
        "Why nothing was published",
    )
    raise GateFailed(sentence, "Nothing was published.", remedy)


@flow(name="integrate", description=__doc__)
def integrate(pipeline: str) -> dict[str, Any]:
    """Prove, train, build and publish a pipeline."""
    package = run(Root.open(), pipeline)
    return {"pipeline": package.pipeline, "version": package.version, "package": package.digest}
