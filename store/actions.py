"""What the ledger can say: one payload dataclass an action.

A payload is stored as canonical JSON and read back into its dataclass. Times in payloads are ISO 8601 in UTC; durations
are seconds; digests are SHA-256 hex. ``tests/store/golden_ledger.json`` holds one of each: a change here that
would make an old ledger unreadable fails there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from store.errors import Refused


@dataclass(frozen=True)
class GroupDeclared:
    """A feature group's first publication under a version. ``keys`` and ``values`` map columns to dtypes."""

    version: int
    derivation: str
    keys: dict[str, str]
    values: dict[str, str]
    delay_seconds: float
    ttl_seconds: float | None
    zone: str | None
    description: str


@dataclass(frozen=True)
class SnapshotFrozen:
    """A training set's recipe. The row's digest is the snapshot's id; ``manifest`` is the blob that rebuilds it."""

    manifest: str
    window_start: str
    window_end: str
    rows: int
    content: str
    tables: dict[str, int]


@dataclass(frozen=True)
class DataExplored:
    """A data-analysis report (the row's digest) and its verdict."""

    verdict: str
    sentence: str
    window_start: str
    window_end: str


@dataclass(frozen=True)
class PackagePublished:
    """A package's bytes (the row's digest is the wheel's) and everything that speaks for them.

    ``evidence`` and ``manifest`` are JSON blobs: what proved it, and the contract's declarations. ``groups`` pins the
    feature groups' versions. ``gate_model`` is the model blob that reached the floor. ``certificate`` is the JSON blob that says what
    proved these bytes (``flows.certificate``); empty in rows older than certificates.
    """

    version: str
    wheel: str
    contract: int
    commit: str
    tree: str
    evidence: str
    manifest: str
    gate_model: str
    groups: dict[str, int]
    metric: str
    value: float
    certificate: str = ""


@dataclass(frozen=True)
class PackageRefused:
    """A gate said no; nothing was published. The row's digest is the evidence blob."""

    version: str
    tree: str
    failed: list[str]
    sentence: str


@dataclass(frozen=True)
class PackageTried:
    """The applications' contract, tried over HTTP in the test environment."""

    version: str
    examples: int
    passed: bool
    sentence: str


@dataclass(frozen=True)
class PackageApproved:
    """A person's word that this package may go to production."""

    version: str


@dataclass(frozen=True)
class AliasMoved:
    """One alias of one pipeline in one environment now points at the row's digest; ``previous`` is where it pointed."""

    alias: str
    previous: str | None
    label: str


@dataclass(frozen=True)
class ModelRegistered:
    """A model (the row's digest is its blob) with its whole lineage."""

    version: str
    package: str
    snapshot: str
    report: str
    parameters: dict[str, Any]
    metric: str
    value: float
    low: float
    high: float
    train_start: str
    train_end: str
    test_start: str
    test_end: str
    rows: int
    due: str | None = None
    refit_of: str | None = None
    gate: bool = False


@dataclass(frozen=True)
class ChallengerJudged:
    """Champion against challenger (the row's digest) on identical rows. Values are of ``metric``."""

    champion: str | None
    outcome: str
    metric: str
    champion_value: float | None
    challenger_value: float
    difference: float | None
    low: float | None
    high: float | None
    rows: int
    test_start: str
    test_end: str
    reasons: list[str]


@dataclass(frozen=True)
class MonitorDecided:
    """One look at one window: what drifted, how the champion did, and what follows. The row's digest is the champion."""

    window_start: str
    window_end: str
    rows: int
    matured: int
    drifted: list[str]
    features: dict[str, dict[str, float]]
    metric: str
    champion_value: float | None
    baseline_value: float | None
    low: float | None
    high: float | None
    fallen: bool
    due: str | None
    why: str
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class DueOpened:
    """A pipeline must be retrained (the row's digest is the due's id)."""

    kinds: list[str]
    reasons: list[str]
    window_end: str
    champion: str | None


@dataclass(frozen=True)
class DueClaimed:
    """One run has taken the due; nobody else may while its ``process`` (of ``store.process.identity``) lives."""

    run: str
    by: str
    process: str = ""


@dataclass(frozen=True)
class DueClosed:
    """How it ended: promoted, kept or failed."""

    outcome: str
    run: str
    by: str
    model: str | None
    sentence: str


@dataclass(frozen=True)
class ReportDrawn:
    """An Evidently report of one window; the row's digest is its HTML blob."""

    kind: str
    window_start: str
    window_end: str
    rows: int
    sampled: int
    drifted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ModelServed:
    """A service answers with this model (the row's digest) from here on."""

    package: str
    previous: str | None
    process: str


@dataclass(frozen=True)
class LoadRefused:
    """A service would not load what the alias points at (the row's digest), and goes on with ``serving``."""

    serving: str | None
    error: str


@dataclass(frozen=True)
class ModelScored:
    """A batch scoring by this model (the row's digest): the window of its questions, and the SHA-256 of the scores' content."""

    package: str
    window_start: str
    window_end: str
    rows: int
    content: str


@dataclass(frozen=True)
class RootMaintained:
    """What a maintenance set out to remove, said before it does; the row's digest is the blob that lists it. Counts, and bytes in all.

    ``grace_seconds``: nothing younger than this was looked at.
    """

    grace_seconds: float
    blobs: int
    table_files: int
    segments: int
    caches: int
    leftovers: int
    bytes: int


ACTIONS: dict[str, type] = {
    "group.declared": GroupDeclared,
    "snapshot.frozen": SnapshotFrozen,
    "data.explored": DataExplored,
    "package.published": PackagePublished,
    "package.refused": PackageRefused,
    "package.tried": PackageTried,
    "package.approved": PackageApproved,
    "package.delivered": AliasMoved,
    "package.rolled_back": AliasMoved,
    "model.registered": ModelRegistered,
    "model.judged": ChallengerJudged,
    "model.promoted": AliasMoved,
    "model.rolled_back": AliasMoved,
    "model.served": ModelServed,
    "model.load_refused": LoadRefused,
    "monitor.decided": MonitorDecided,
    "report.drawn": ReportDrawn,
    "due.opened": DueOpened,
    "due.claimed": DueClaimed,
    "due.closed": DueClosed,
    "model.scored": ModelScored,
    "root.maintained": RootMaintained,
}


def payload(action: str, fields: dict[str, Any]) -> Any:
    """The action's dataclass from its stored fields. Refused: an action or field this version does not know, or misses."""
    kind = ACTIONS.get(action)
    if kind is None:
        raise Refused(f"The ledger holds an action {action!r}.", f"Known: {', '.join(ACTIONS)}.", "Use a newer assay.")
    names = {known.name for known in dataclasses.fields(kind)}
    if unknown := sorted(set(fields) - names):
        raise Refused(
            f"A row of {action!r} holds unknown fields {unknown}.", f"Known: {sorted(names)}.", "Use a newer assay."
        )
    needed = {
        known.name
        for known in dataclasses.fields(kind)
        if known.default is dataclasses.MISSING and known.default_factory is dataclasses.MISSING
    }
    if missing := sorted(needed - set(fields)):
        raise Refused(
            f"A row of {action!r} lacks the fields {missing}.", f"It holds: {sorted(fields)}.", "Use an older assay."
        )
    return kind(**fields)
