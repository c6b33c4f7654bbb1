"""Provings as the gate makes them, of three checks and their faults; and what comes of them: a certificate, or a refusal."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from flows import certificate
from flows.building import source
from flows.checks.check import Finding, Verdict
from flows.checks.proving import Killed
from store import blobs, ledger
from store.actions import PackageRefused
from store.layout import Root
from store.ledger import Row

CHECKS = {"K02": "future", "K04": "held-out poison", "K10": "tuner"}
FAULTS = {
    "F01": ("one late row in a thousand let through", "K02"),
    "F04": ("inputs scaled on all rows", "K04"),
    "F40": ("the sign of the metric flipped", "K10"),
}
VERDICTS = {
    Verdict.FAIL: "was not as it must be",
    Verdict.VACUOUS: "saw nothing",
    Verdict.NOT_APPLICABLE: "has nothing to look at",
}


def proving(
    now: datetime, *, verdicts: dict[str, Verdict] | None = None, survived: Collection[str] = (), control: float = 113187.0
) -> dict[str, Any]:  # fmt: skip
    """What a proving gives: all checks pass but those of ``verdicts``, all faults that can be planted are killed but ``survived``."""
    seen = dict.fromkeys(CHECKS, Verdict.PASS) | (verdicts or {})
    checks = [
        Finding(code, title, seen[code], {"cutoffs": 3.0}, 0.0 if seen[code] == "N/A" else control,
                f"{title} {VERDICTS.get(seen[code], 'passed')}.", 2.5)
        for code, title in CHECKS.items()
    ]  # fmt: skip
    faults = [
        Killed(code, title, check, code not in survived if seen[check] == "PASS" else None, {}, f"{code} was looked at.", 1.25)
        for code, (title, check) in FAULTS.items()
    ]  # fmt: skip
    return {
        "window": {"start": (now - timedelta(days=40)).isoformat(), "end": now.isoformat()}, "rows": 2929, "content": "c" * 64,
        "features": {},
        "checks": [one.to_dict() for one in checks], "faults": [one.to_dict() for one in faults], "seconds": 61.5, "seconds_slice": 4.0,
    }  # fmt: skip


def wheel(name: str, version: str) -> tuple[bytes, str]:
    """A package's wheel, and the digest of its source."""
    content = {"__init__.py": f'"""{name} {version}"""\n'.encode()}
    return source.wheel(name, version, content), source.tree(content)


def refuse(root: Root, name: str, version: str, found: dict[str, Any], now: datetime, *also: str) -> Row:
    """The gate's no, with its evidence. ``also``: what else it said, such as of the floor."""
    failed = [*certificate.unproved(found), *also]
    body = PackageRefused(version, "0" * 64, failed, f"{name} {version} is refused: {' '.join(failed)}")
    return ledger.append(
        root, "package.refused", body, subject=name, digest=blobs.put_json(root, found), actor="ana", now=now
    )
