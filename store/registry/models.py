"""The model registry: every model with its lineage, and the alias that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store import blobs, clock, ledger
from store.actions import ModelRegistered
from store.errors import Conflict, NotFound
from store.layout import Root
from store.ledger import Row
from store.registry import aliases


@dataclass(frozen=True)
class Model:
    """One registered model: its blob's digest, and where it comes from."""

    pipeline: str
    environment: str
    digest: str
    registered_at: datetime
    actor: str
    seq: int
    body: ModelRegistered

    @property
    def version(self) -> str:
        return self.body.version


class _Known(Conflict):
    """These very bytes are registered already, perhaps since a moment ago: nothing is left to do."""


def register(
    root: Root,
    pipeline: str,
    environment: str,
    data: bytes,
    body: ModelRegistered,
    *,
    actor: str,
    now: datetime,
    request: str | None = None,
) -> Model:
    """Store the model's bytes and record it with its lineage, once a package: two packages may train the same bytes."""
    digest = blobs.put(root, data)
    what: dict[str, Any] = {
        "action": "model.registered",
        "subject": pipeline,
        "digest": digest,
        "environment": environment,
    }

    def registered(rows: Sequence[Row]) -> list[Row]:
        same = [row for row in rows if all(getattr(row, name) == value for name, value in what.items())]
        return [row for row in same if row.body.package == body.package]

    def guard(rows: Sequence[Row]) -> None:
        if registered(rows):
            raise _Known(f"The model {digest[:8]} is registered already.")

    if known := registered(ledger.rows(root)):
        return _model(known[0])
    try:
        row = ledger.append(root, payload=body, **what, actor=actor, now=now, request=request, guard=guard)
    except _Known:
        row = registered(ledger.rows(root))[0]
    return _model(row)


def listed(root: Root, pipeline: str = "", environment: str = "") -> list[Model]:
    """Every model (of one pipeline, in one environment), oldest first."""
    return [
        _model(row) for row in ledger.find(root, action="model.registered", subject=pipeline, environment=environment)
    ]


def get(root: Root, pipeline: str, environment: str, which: str = aliases.CHAMPION) -> Model:
    """A model by alias, version, or digest (8 characters suffice). NotFound names what exists."""
    digest = aliases.current(root, pipeline, environment, which) or which
    known = listed(root, pipeline, environment)
    for model in reversed(known):
        if model.version == which or (len(digest) >= 8 and model.digest.startswith(digest)):
            return model
    if not known:
        raise NotFound(
            f"{pipeline} has no model in {environment} yet.",
            remedy=f"Run `assay train {pipeline} --environment {environment}`.",
        )
    raise NotFound.among(f"model of {pipeline} in {environment}", which, [model.version for model in known])


def champion(root: Root, pipeline: str, environment: str) -> Model | None:
    """The model that serves, or None before the first promotion."""
    digest = aliases.current(root, pipeline, environment, aliases.CHAMPION)
    return None if digest is None else get(root, pipeline, environment, digest)


def version_name(trained_at: datetime, digest: str) -> str:
    """A sortable name: when it was trained (store time, UTC) and its digest's beginning."""
    return f"{clock.utc(trained_at):%Y%m%dT%H%MZ}-{digest[:8]}"


def promote(
    root: Root,
    model: Model,
    *,
    expected: str | None,
    actor: str,
    now: datetime,
    reason: str,
    request: str | None = None,
    dry_run: bool = False,
) -> Row:
    """Make a model the champion, if ``expected`` still is."""
    return aliases.move(
        root, "model.promoted", pipeline=model.pipeline, environment=model.environment, alias=aliases.CHAMPION,
        digest=model.digest, label=model.version, expected=expected, actor=actor, now=now, reason=reason, request=request,
        dry_run=dry_run,
    )  # fmt: skip


def _model(row: Row) -> Model:
    return Model(row.subject, row.environment, row.digest, row.store_time, row.actor, row.seq, row.body)
