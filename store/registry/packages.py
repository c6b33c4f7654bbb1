"""The package store: immutable wheels with the evidence that proves them, published once under a version.

A package is named by pipeline and version, and by its wheel's digest. Publishing the same bytes again changes nothing; the same
version with other bytes is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store import blobs, clock, ledger
from store.actions import PackagePublished
from store.errors import Conflict, NotFound
from store.layout import Root, checked_environment
from store.ledger import Row
from store.registry import aliases


@dataclass(frozen=True)
class Package:
    """One published package: where it stands in the ledger, and what speaks for it."""

    pipeline: str
    digest: str
    published_at: datetime
    actor: str
    seq: int
    body: PackagePublished

    @property
    def version(self) -> str:
        return self.body.version

    def manifest(self, root: Root) -> dict[str, Any]:
        """The contract's declarations, as ``flows.pipeline.Pipeline.manifest`` wrote them."""
        found: dict[str, Any] = blobs.get_json(root, self.body.manifest)
        return found


class _Known(Conflict):
    """These very bytes stand in the ledger already, perhaps since a moment ago: nothing is left to do."""


def publish(root: Root, pipeline: str, wheel: bytes, body: PackagePublished, *, actor: str, now: datetime) -> Package:
    """Store the wheel and record it. Conflict: this version is published with other bytes."""
    digest = blobs.put(root, wheel)

    def guard(rows: Sequence[Row]) -> None:
        for row in rows:
            if row.action != "package.published" or row.subject != pipeline:
                continue
            if row.digest == digest:
                raise _Known(f"{pipeline} {row.body.version} was published meanwhile.")
            if row.body.version == body.version:
                raise version_taken(_package(row), row.digest, digest)

    try:
        row = ledger.append(
            root, "package.published", body, subject=pipeline, digest=digest, actor=actor, now=now, guard=guard
        )
    except _Known:
        (row, *_) = ledger.find(root, action="package.published", subject=pipeline, digest=digest)
    return _package(row)


def version_taken(package: Package, theirs: str, yours: str) -> Conflict:
    """The refusal of a version that stands with other bytes; both digests are of the same thing, wheel or source tree."""
    return Conflict(
        f"{package.pipeline} {package.version} is already published with other bytes.",
        f"Published: {theirs[:8]} on {clock.printed(package.published_at)}; yours: {yours[:8]}.",
        f"Raise `version` in {package.pipeline}'s contract, and integrate again.",
    )


def listed(root: Root, pipeline: str = "") -> list[Package]:
    """Every package (of one pipeline), oldest first."""
    return [_package(row) for row in ledger.find(root, action="package.published", subject=pipeline)]


def get(root: Root, pipeline: str, which: str = "") -> Package:
    """A package by version or digest (8 characters suffice), or the newest. NotFound names what exists."""
    known = listed(root, pipeline)
    if not which and known:
        return known[-1]
    for package in reversed(known):
        if package.version == which or (len(which) >= 8 and package.digest.startswith(which)):
            return package
    if not known:
        raise NotFound.among(
            "package of pipeline", pipeline, {p.pipeline for p in listed(root)}, f"Run `assay integrate {pipeline}`."
        )
    raise NotFound.among(f"version of {pipeline}", which, [package.version for package in known])


def deployed(root: Root, pipeline: str, environment: str) -> Package:
    """The package an environment runs. NotFound when nothing was delivered there."""
    checked_environment(environment)
    digest = aliases.current(root, pipeline, environment, aliases.DEPLOYED)
    if digest is None:
        get(root, pipeline)
        raise NotFound(
            f"No package of {pipeline} is delivered to {environment}.",
            f"Published: {', '.join(package.version for package in listed(root, pipeline))}.",
            f"Run `assay deliver {pipeline}`.",
        )
    return get(root, pipeline, digest)


def delivered(root: Root, environment: str) -> list[str]:
    """The pipelines that an environment runs a package of, by name."""
    names = {package.pipeline for package in listed(root)}
    return sorted(name for name in names if aliases.current(root, name, environment, aliases.DEPLOYED))


def _package(row: Row) -> Package:
    return Package(row.subject, row.digest, row.store_time, row.actor, row.seq, row.body)
