"""A package's way: into the test environment, tried there against every application's contract over HTTP, approved, into production.

In test the package serves its gate's model, the one that reached the floor. A real service process answers on a port of its
own; each application's example must be answered with a prediction in the range the application relies on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import httpx
from prefect import flow

from flows import certificate
from flows.building import publish
from flows.orchestration import actor, emit, markdown, say, step
from flows.serving import supervisor
from store import blobs, clock, ledger
from store.actions import ModelRegistered, PackageApproved, PackageTried
from store.errors import GateFailed
from store.layout import Root
from store.ledger import Row
from store.registry import aliases, models, packages
from store.registry.packages import Package

TO_TEST = "to be tried against its applications' contract"


@dataclass(frozen=True)
class Delivered:
    """Where the package is now. ``state``: in production, or waiting for approval in test."""

    pipeline: str
    version: str
    package: str
    state: str
    sentence: str


def run(root: Root, pipeline: str, version: str = "", *, approve: bool = False, reason: str = "") -> Delivered:
    """Deliver a package to test, try it, and, approved, to production. ``approve`` is the caller's own word for it."""
    now, package = clock.now(root), packages.get(root, pipeline, version)
    certificate.require(root, package)
    to_test(root, package, now)
    tried = try_contract(root, package, now)
    if approve:
        approval(root, package, reason or "approved on delivery", now)
    if not approved(root, package):
        waits = f"{tried} It waits for approval: `assay deliver {pipeline} --version {package.version} --approve`."
        say(waits)
        return Delivered(pipeline, package.version, package.digest, "waiting for approval", waits)
    to_production(root, package, reason or tried, now)
    say(f"{pipeline} {package.version} is delivered to production.")
    return Delivered(pipeline, package.version, package.digest, "production", tried)


def would(root: Root, pipeline: str, version: str = "", *, reason: str = "") -> list[dict[str, Any]]:
    """The alias moves that a delivery of this package would write if its trial passed and it were approved; nothing is written."""
    now, package = clock.now(root), packages.get(root, pipeline, version)
    certificate.require(root, package)
    planned = [("test", TO_TEST), ("production", reason or "approved on delivery")]
    rows = [row for environment, why in planned if (row := _deploy(root, package, environment, why, now, dry_run=True))]
    return [
        {
            "action": row.action, "subject": row.subject, "environment": row.environment, "digest": row.digest,
            **asdict(row.body), "reason": row.reason,
        }
        for row in rows
    ]  # fmt: skip


@step
def to_test(root: Root, package: Package, now: datetime) -> None:
    """The test environment runs the package, with the model of its gate as champion."""
    publish.materialise(root, package.body.groups, now=now)
    _deploy(root, package, "test", TO_TEST, now)
    body: ModelRegistered = ModelRegistered(**blobs.get_json(root, package.body.evidence)["gate_model"])
    model = models.register(
        root, package.pipeline, "test", blobs.get(root, package.body.gate_model), body, actor=actor(), now=now
    )
    champion = models.champion(root, package.pipeline, "test")
    if champion is None or champion.digest != model.digest:
        expected = None if champion is None else champion.digest
        models.promote(
            root,
            model,
            expected=expected,
            actor=actor(),
            now=now,
            reason="the model that reached the floor at the gate",
        )


@step
def try_contract(root: Root, package: Package, now: datetime) -> str:
    """Every application's example over HTTP, against a real service. GateFailed when one is not answered as relied upon."""
    examples = package.manifest(root)["examples"]
    with supervisor.running(root, package.pipeline, "test") as service:
        failed = [problem for example in examples if (problem := _tried(service.url, package.pipeline, example))]
    sentence = f"{len(examples) - len(failed)} of {len(examples)} applications' examples were answered as relied upon."
    body = PackageTried(package.version, len(examples), not failed, " ".join([sentence, *failed]))
    ledger.append(
        root,
        "package.tried",
        body,
        subject=package.pipeline,
        digest=package.digest,
        environment="test",
        actor=actor(),
        now=now,
    )
    markdown(
        f"{package.pipeline.replace('_', '-')}-contract",
        "\n".join(f"- {line}" for line in (sentence, *failed)),
        "Applications' contract",
    )
    if failed:
        raise GateFailed(
            f"{package.pipeline} {package.version} breaks an application's contract.",
            " ".join(failed),
            "Production is unchanged: mend the pipeline, or agree on another contract.",
        )
    return sentence


@step
def approval(root: Root, package: Package, reason: str, now: datetime) -> None:
    """Somebody's word, in the ledger, once a package."""
    if approved(root, package):
        return
    ledger.append(
        root, "package.approved", PackageApproved(package.version), subject=package.pipeline, digest=package.digest,
        environment="production", actor=actor(), now=now, reason=reason, request=f"approve-{package.digest}",
    )  # fmt: skip


def approved(root: Root, package: Package) -> bool:
    """Whether somebody approved this very package."""
    return bool(ledger.find(root, action="package.approved", subject=package.pipeline, digest=package.digest))


@step
def to_production(root: Root, package: Package, reason: str, now: datetime) -> None:
    """Production runs the package. Only one that was tried in test, whose last trial passed, may go there."""
    trials = ledger.find(root, action="package.tried", subject=package.pipeline, digest=package.digest)
    if not trials or not trials[-1].body.passed:
        raise GateFailed(
            f"{package.pipeline} {package.version} was not tried in test.",
            "It was never tried there." if not trials else f"Its last trial failed: {trials[-1].body.sentence}",
            f"Run `assay deliver {package.pipeline} --version {package.version}`.",
        )
    _deploy(root, package, "production", reason, now)
    payload = {"pipeline": package.pipeline, "environment": "production", "package": package.digest}
    emit("assay.package.delivered", package.pipeline, payload)


def _deploy(
    root: Root, package: Package, environment: str, reason: str, now: datetime, *, dry_run: bool = False
) -> Row | None:
    """The move, or None where the environment runs this package already."""
    current = aliases.current(root, package.pipeline, environment, aliases.DEPLOYED)
    if current == package.digest:
        return None
    return aliases.move(
        root, "package.delivered", pipeline=package.pipeline, environment=environment, alias=aliases.DEPLOYED,
        digest=package.digest, label=package.version, expected=current, actor=actor(), now=now, reason=reason, dry_run=dry_run,
    )  # fmt: skip


def _tried(url: str, pipeline: str, example: dict[str, Any]) -> str:
    """What is wrong with the answer to an application's example, or nothing."""
    who = example["application"]
    try:
        answer = httpx.post(
            f"{url}/v1/{pipeline}/predict", json={"rows": [example["request"]], "dry_run": True}, timeout=30
        )
    except httpx.HTTPError as error:
        return f"{who}: no answer ({error})."
    if answer.status_code != 200:
        return f"{who}: answered {answer.status_code}, {answer.text[:200]}."
    value = answer.json()["predictions"][0]["prediction"]
    inside = example["low"] <= value <= example["high"]
    return "" if inside else f"{who}: predicted {value:.4f}, relied on {example['low']} … {example['high']}."


@flow(name="deliver", description=__doc__)
def deliver(pipeline: str, version: str = "", approve: bool = False, reason: str = "") -> dict[str, Any]:
    """Deliver a published package: test, trial, approval, production."""
    return vars(run(Root.open(), pipeline, version, approve=approve, reason=reason))
