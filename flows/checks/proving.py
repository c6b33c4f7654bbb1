"""A proving: the checks on a pipeline, then, on the same world, every fault with the check that must kill it.

The clean twin of each fault is the check's run on the pipeline itself: a fault is planted only where that run passed,
for a check that fails anyway tells nothing of a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from flows.checks.catalog import CHECKS
from flows.checks.check import Check, Finding, Verdict, judge
from flows.checks.world import World
from flows.faults.catalog import FAULTS
from flows.faults.fault import Fault
from store.errors import NotFound

Say = Callable[[str], None]


@dataclass(frozen=True)
class Killed:
    """What became of a fault. ``killed``: None where it was not planted, and the sentence says why."""

    code: str
    title: str
    check: str
    killed: bool | None
    numbers: dict[str, float]
    sentence: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON: plain strings and finite floats."""
        return {**vars(self), "seconds": round(self.seconds, 3)}


def chosen(codes: Collection[str] | None) -> list[Check]:
    """The checks of these codes, or all. NotFound names those there are."""
    known = {check.code: check for check in CHECKS}
    if unknown := sorted(set(codes or ()) - set(known)):
        raise NotFound.among("check", unknown[0], known)
    return [check for check in CHECKS if not codes or check.code in codes]


def findings(world: World, checks: Collection[Check], say: Say) -> list[Finding]:
    """Each check's verdict on the pipeline as it is."""
    found = []
    for check in checks:
        say(f"{check.code} {check.title}")
        found.append(judge(check, world))
    return found


def faults(world: World, clean: Collection[Finding], say: Say) -> Iterator[Killed]:
    """Every fault of the checks that were run, planted where it applies and its check passed on the clean twin."""
    verdicts = {finding.code: finding.verdict for finding in clean}
    checks = {check.code: check for check in CHECKS}
    for fault in FAULTS:
        if fault.check not in verdicts:
            continue
        if verdicts[fault.check] is not Verdict.PASS:
            why = f"Not planted: {fault.check} is {verdicts[fault.check]} on the pipeline itself."
            yield Killed(fault.code, fault.title, fault.check, None, {}, why, 0.0)
            continue
        say(f"{fault.code} {fault.title}: {fault.check} must kill it")
        yield planted(world, fault, checks[fault.check])


def planted(world: World, fault: Fault, check: Check) -> Killed:
    """Plant one fault, unless it does not apply, and see whether its check kills it: only a FAIL does."""
    start = time.monotonic()
    excuse = fault.excuse(world)
    if excuse:
        seconds = time.monotonic() - start
        return Killed(fault.code, fault.title, check.code, None, {}, f"Does not apply: {excuse}", seconds)
    finding = judge(check, fault.plant(world))
    numbers = finding.to_dict()["numbers"]
    killed = finding.verdict is Verdict.FAIL
    return Killed(fault.code, fault.title, check.code, killed, numbers, finding.sentence, time.monotonic() - start)
