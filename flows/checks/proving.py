"""A proving: the checks on a pipeline, then, on the same world, every fault with the check that must kill it.

Each runs in a process of its own (``crew``), as many at once as there are cores.

The clean twin of each fault is the check's run on the pipeline itself: a fault is planted only where that run passed,
for a check that fails anyway tells nothing of a fault.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from flows.checks.catalog import CHECKS
from flows.checks.check import Check, Finding, Severity, Verdict, judge
from flows.checks.crew import Crew, Ended
from flows.checks.world import World
from flows.faults.catalog import FAULTS
from flows.faults.fault import Fault
from store.errors import NotFound

FATES = {True: "KILLED", False: "SURVIVED", None: "N/A"}


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
        """As JSON: plain strings and finite floats, and ``fate`` in a word."""
        return {**vars(self), "fate": FATES[self.killed], "seconds": round(self.seconds, 3)}


Tell = Callable[[Finding | Killed], None]
"""Hears of each verdict as it comes."""


def chosen(codes: Collection[str] | None) -> list[Check]:
    """The checks of these codes, or all. NotFound names those there are."""
    known = {check.code: check for check in CHECKS}
    if unknown := sorted(set(codes or ()) - set(known)):
        raise NotFound.among("check", unknown[0], known)
    return [check for check in CHECKS if not codes or check.code in codes]


def planting(codes: Collection[str] | None, checks: Collection[Check]) -> list[Fault]:
    """The faults of these codes, or all that one of the checks must kill. NotFound names those there are."""
    known = {fault.code: fault for fault in FAULTS}
    if unknown := sorted(set(codes or ()) - set(known)):
        raise NotFound.among("fault", unknown[0], known)
    judging = {check.code for check in checks}
    return [fault for fault in FAULTS if fault.check in judging and (not codes or fault.code in codes)]


def findings(crew: Crew, checks: Sequence[Check], tell: Tell) -> list[Finding]:
    """Each check's verdict on the pipeline as it is. What a pipeline may not do besides (see ``crew``) is a FAIL of the check."""
    found: dict[int, Finding] = {}
    for place, ended in crew.ended([functools.partial(judge, check) for check in checks]):
        found[place] = _finding(checks[place], crew.world, ended)
        tell(found[place])
    return [found[place] for place in range(len(checks))]


def _finding(check: Check, world: World, ended: Ended) -> Finding:
    if not ended.misdeed and not ended.lost:
        given: Finding = ended.given
        return given
    sentence = f"While {check.code} ran {world.pipeline.name}, {ended.misdeed or ended.lost}."
    given = ended.given or Finding(check.code, check.title, Verdict.FAIL, {}, 0.0, "", 0.0, check.severity)
    return dataclasses.replace(given, verdict=Verdict.FAIL, sentence=sentence, severity=Severity.BLOCKS)


def killed(crew: Crew, clean: Collection[Finding], faults: Sequence[Fault], tell: Tell) -> list[Killed]:
    """What became of each fault: planted where it applies and its check passed on the clean twin."""
    verdicts, checks = {finding.code: finding.verdict for finding in clean}, {check.code: check for check in CHECKS}
    found, worth = dict[int, Killed](), list[int]()
    for place, fault in enumerate(faults):
        if verdicts[fault.check] is Verdict.PASS:
            worth.append(place)
        else:
            why = f"Not planted: {fault.check} is {verdicts[fault.check]} on the pipeline itself."
            found[place] = Killed(fault.code, fault.title, fault.check, None, {}, why, 0.0)
            tell(found[place])
    works = [functools.partial(planted, fault=faults[place], check=checks[faults[place].check]) for place in worth]
    for number, ended in crew.ended(works):
        place = worth[number]
        found[place] = _fate(faults[place], ended)
        tell(found[place])
    return [found[place] for place in range(len(faults))]


def _fate(fault: Fault, ended: Ended) -> Killed:
    """A fault whose process was lost was seen by nobody's check: it is alive."""
    if ended.lost:
        return Killed(fault.code, fault.title, fault.check, False, {}, f"Not judged: {ended.lost}.", 0.0)
    given: Killed = ended.given
    return given


def planted(world: World, fault: Fault, check: Check) -> Killed:
    """Plant one fault, unless it does not apply, and see whether its check kills it: only a FAIL does."""
    start = time.monotonic()
    excuse = fault.excuse(world)
    if excuse:
        seconds = time.monotonic() - start
        return Killed(fault.code, fault.title, check.code, None, {}, f"Does not apply: {excuse}", seconds)
    finding = judge(check, fault.plant(world))
    numbers = finding.to_dict()["numbers"]
    dead = finding.verdict is Verdict.FAIL
    return Killed(fault.code, fault.title, check.code, dead, numbers, finding.sentence, time.monotonic() - start)
