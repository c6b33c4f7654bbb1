"""A proving: the checks on a pipeline, then, on the same world, every fault with the check that must kill it.

Each runs in a process of its own (``crew``), as many at once as there are cores.

The clean twin of each fault is the check's run on the pipeline itself: a fault is planted only where that run passed,
for a check that fails anyway tells nothing of a fault.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from flows.checks.at_once import at_once
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


def chosen(codes: Collection[str] | None, own: Sequence[Check] = ()) -> list[Check]:
    """The checks of these codes, or all; ``own``: the author's, beside ours. NotFound names those there are."""
    known = {check.code: check for check in (*CHECKS, *own)}
    if unknown := sorted(set(codes or ()) - set(known)):
        raise NotFound.among("check", unknown[0], known)
    return [check for check in known.values() if not codes or check.code in codes]


def planting(codes: Collection[str] | None, checks: Collection[Check]) -> list[Fault]:
    """The faults of these codes, or all that one of the checks must kill. NotFound names those there are."""
    known = {fault.code: fault for fault in FAULTS}
    if unknown := sorted(set(codes or ()) - set(known)):
        raise NotFound.among("fault", unknown[0], known)
    judging = {check.code for check in checks}
    return [fault for fault in FAULTS if fault.check in judging and (not codes or fault.code in codes)]


class Proving:
    """Verdicts by code, each judged when it is first asked for; a fault's asks for its check's. From any thread."""

    def __init__(self, crew: Crew, checks: Sequence[Check], faults: Sequence[Fault]) -> None:
        self._crew = crew
        self._checks, self._faults = {one.code: one for one in checks}, {one.code: one for one in faults}
        self._turns = {code: threading.Lock() for code in (*self._checks, *self._faults)}
        self._judged: dict[str, Finding | Killed] = {}

    def verdict(self, code: str) -> Finding | Killed:
        """What the check says of the pipeline, or what became of the fault."""
        with self._turns[code]:
            if code not in self._judged:
                self._judged[code] = self._judge(code)
            return self._judged[code]

    def _judge(self, code: str) -> Finding | Killed:
        if code in self._checks:
            return finding(self._crew, self._checks[code])
        clean = self.verdict(self._faults[code].check)
        assert isinstance(clean, Finding)
        return fate(self._crew, clean.verdict, self._faults[code])


def findings(crew: Crew, checks: Sequence[Check], tell: Tell) -> list[Finding]:
    """Each check's verdict on the pipeline as it is, as many at once as the crew has workers."""
    return at_once(crew.workers, functools.partial(finding, crew), checks, tell)


def killed(crew: Crew, clean: Collection[Finding], faults: Sequence[Fault], tell: Tell) -> list[Killed]:
    """What became of each fault, by what its check said of the clean twin."""
    verdicts = {one.code: one.verdict for one in clean}
    return at_once(crew.workers, lambda fault: fate(crew, verdicts[fault.check], fault), faults, tell)


def finding(crew: Crew, check: Check) -> Finding:
    """A check's verdict on the pipeline as it is. What a pipeline may not do besides (see ``crew``) is a FAIL of the check."""
    return _finding(check, crew.world, crew.one(functools.partial(judge, check)))


def _finding(check: Check, world: World, ended: Ended) -> Finding:
    if not ended.misdeed and not ended.lost:
        given: Finding = ended.given
        return given
    sentence = f"While {check.code} ran {world.pipeline.name}, {ended.misdeed or ended.lost}."
    given = ended.given or Finding(check.code, check.title, Verdict.FAIL, {}, 0.0, "", 0.0, check.severity)
    return dataclasses.replace(given, verdict=Verdict.FAIL, sentence=sentence, severity=Severity.BLOCKS)


def fate(crew: Crew, clean: Verdict, fault: Fault) -> Killed:
    """What became of a fault: planted where it applies and its check passed (``clean``) on the pipeline itself."""
    if clean is not Verdict.PASS:
        why = f"Not planted: {fault.check} is {clean} on the pipeline itself."
        return Killed(fault.code, fault.title, fault.check, None, {}, why, 0.0)
    check = next(check for check in CHECKS if check.code == fault.check)
    return _fate(fault, crew.one(functools.partial(planted, fault=fault, check=check)))


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
