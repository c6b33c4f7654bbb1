"""What proved a pipeline: each attempt to integrate it, with its certificate, or with the evidence it was refused on.

Facts folded from the store, without prose and without widgets, as ``console.views`` are. An attempt is a row of the ledger
(``package.published`` or ``package.refused``); its checks and faults are read from the blob the row names, so they are those that were
judged then, whatever checks there are today. All times are UTC.
"""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from flows import certificate
from store import blobs, ledger
from store.errors import AssayError
from store.layout import Root
from store.ledger import Row
from store.registry import packages
from store.registry.packages import Package

MOST = 12
"""Attempts that are read: the newest, and what is deployed besides."""
FATES = ("killed", "survived", "does not apply", "not planted")
"""What became of a fault. Not planted: its check failed or saw nothing on the pipeline itself, so it could tell nothing of the fault."""
PASS, FAIL, VACUOUS, NOT_APPLICABLE = "PASS", "FAIL", "VACUOUS", "N/A"
KILLS = pl.Schema(
    dict.fromkeys(("attempt", "seq", "code", "title", "check", "fate", "sentence"), pl.String())
    | {"seconds": pl.Float64()}
)
HISTORY = pl.Schema(
    {"attempt": pl.String(), "at": pl.Datetime("us", "UTC"), "verdict": pl.String(), "control": pl.Float64(),
     "seconds": pl.Float64(), "sentence": pl.String()}
)  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One integration. ``name``: its version, told apart from other attempts at it; ``failed``: why it was refused.

    ``digest``: the certificate's blob, or the evidence's of a refused one; empty without a certificate. ``evidence``: what lies in
    it; empty where there is none or it cannot be read, and then ``unread`` says why. ``package``: None where it was refused.
    """

    name: str
    version: str
    seq: int
    at: datetime
    actor: str
    digest: str
    evidence: Mapping[str, Any]
    unread: str
    failed: tuple[str, ...]
    package: Package | None

    @property
    def checks(self) -> Mapping[str, Mapping[str, Any]]:
        """Each check's finding by its code."""
        return {one["code"]: one for one in self.evidence.get("checks", ())}

    @property
    def faults(self) -> Sequence[Mapping[str, Any]]:
        """What became of each fault."""
        return self.evidence.get("faults", ())

    @property
    def data(self) -> Mapping[str, Any]:
        """``window`` and ``rows`` of the slice it was proved on; a certificate has them under ``data``."""
        return self.evidence.get("data", self.evidence)

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The slice of time it was proved on."""
        window = self.data["window"]
        return datetime.fromisoformat(window["start"]), datetime.fromisoformat(window["end"])

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(one["verdict"] == PASS for one in self.checks.values())

    @property
    def killed(self) -> int:
        """How many faults were killed."""
        return sum(one["killed"] is True for one in self.faults)

    @property
    def survived(self) -> list[Mapping[str, Any]]:
        """The faults that no check noticed."""
        return [one for one in self.faults if one["killed"] is False]

    @property
    def planted(self) -> int:
        """How many faults were planted."""
        return sum(one["killed"] is not None for one in self.faults)


def attempts(root: Root, pipeline: str, deployed: str | None) -> list[Attempt]:
    """The newest MOST attempts to integrate a pipeline, newest first, and that of the package ``deployed`` (a digest) if it is older."""
    seen, named = Counter[str](), []
    for row in ledger.find(root, action=("package.published", "package.refused"), subject=pipeline):
        refused = row.action == "package.refused"
        seen[row.body.version] += refused
        times = f" {seen[row.body.version]}" if seen[row.body.version] > 1 else ""
        named.append((f"{row.body.version} refused{times}" if refused else row.body.version, row))
    shown = named[::-1][:MOST] + [one for one in named[:-MOST] if one[1].digest == deployed][:1]
    known = {package.seq: package for package in packages.listed(root, pipeline)}
    return [_attempt(root, name, row, known.get(row.seq)) for name, row in shown]


def fate(attempt: Attempt, fault: Mapping[str, Any]) -> str:
    """One of FATES."""
    if fault["killed"] is not None:
        return "killed" if fault["killed"] else "survived"
    check = attempt.checks.get(fault["check"])
    return "not planted" if check and check["verdict"] in (FAIL, VACUOUS) else "does not apply"


def kills(shown: Sequence[Attempt]) -> pl.DataFrame:
    """One row an attempt and fault, of KILLS: those that survived anywhere first, then in order of their checks."""
    rows = [
        (
            one.name,
            str(one.seq),
            fault["code"],
            fault["title"],
            fault["check"],
            fate(one, fault),
            fault["sentence"],
            fault["seconds"],
        )
        for one in shown
        for fault in one.faults
    ]
    frame = pl.DataFrame(rows, schema=KILLS, orient="row")
    alive = (pl.col("fate") == "survived").any().over("code")
    return frame.sort(~alive, "check", "code", maintain_order=True)


def history(shown: Sequence[Attempt], code: str) -> pl.DataFrame:
    """One check over the attempts, oldest first, of HISTORY. ``control``: how much moved of what should; null where it did not apply."""
    rows = [
        (one.name, one.at, found["verdict"], None if found["verdict"] == NOT_APPLICABLE else found["control"], found["seconds"],
         found["sentence"])
        for one in reversed(shown)
        if (found := one.checks.get(code))
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=HISTORY, orient="row")


def codes(shown: Sequence[Attempt]) -> dict[str, str]:
    """Every check of any attempt by its code, with its newest title; in order of the codes."""
    found = {code: one["title"] for attempt in reversed(shown) for code, one in attempt.checks.items()}
    return dict(sorted(found.items()))


@functools.cache
def promise(code: str) -> str:
    """What a check says, in the first sentence of its docstring; empty for a check that is not assay's own or is gone.

    Read, not imported: a check's module takes seconds, for it brings what proves.
    """
    path = next((certificate.HERE / "checks").glob(f"{code.lower()}_*.py"), None)
    said = ast.get_docstring(ast.parse(path.read_text())) if path else None
    return (said or "").partition("\n\n")[0].removeprefix(f"{code}: ").replace("``", "").replace("\n", " ")


def moved(newer: Mapping[str, str], older: Mapping[str, str]) -> list[str]:
    """The names (of packages, of files) whose values are not the same in both."""
    return sorted(name for name in newer.keys() | older.keys() if newer.get(name) != older.get(name))


def broken(root: Root, package: Package) -> str:
    """Why a package's certificate does not speak for its bytes; empty when it does. Reads both, so it is not to be cached."""
    try:
        certificate.require(root, package)
    except AssayError as error:
        return f"{error.asked} {error.exists}".strip()
    return ""


def _attempt(root: Root, name: str, row: Row, package: Package | None) -> Attempt:
    digest, failed = (row.digest, tuple(row.body.failed)) if package is None else (package.body.certificate, ())
    evidence, unread = _evidence(root, digest) if digest else ({}, "")
    return Attempt(
        name, row.body.version, row.seq, row.store_time, row.actor, digest, evidence, unread, failed, package
    )


def _evidence(root: Root, digest: str) -> tuple[dict[str, Any], str]:
    try:
        found: dict[str, Any] = blobs.get_json(root, digest)
    except AssayError as error:
        return {}, f"{error.asked} {error.exists}".strip()
    if found.get("format", certificate.FORMAT) != certificate.FORMAT:
        return {}, f"It has format {found['format']!r}; this assay reads {certificate.FORMAT}."
    return found, ""
