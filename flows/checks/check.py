"""The frame of a check: a code, a title, a severity, one function, and a positive control.

A check that could not have seen anything proves nothing. So each one also moves what it *may* move and counts what
moved: its ``control``. A pass whose control is zero is VACUOUS, and blocks like a FAIL. A pipeline that raises while
it is checked is a FAIL with its reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flows.checks.world import World

LONGEST = 500


class Verdict(StrEnum):
    """What came out. VACUOUS: the control moved nothing, so a pass would mean nothing."""

    PASS = "PASS"
    FAIL = "FAIL"
    VACUOUS = "VACUOUS"
    NOT_APPLICABLE = "N/A"


class Severity(StrEnum):
    """What a FAIL does: it blocks the package, or it is shown."""

    BLOCKS = "blocks"
    WARNS = "warns"


@dataclass(frozen=True)
class Seen:
    """What a check's function saw.

    ``control``: how much moved of what should move (cells, or a difference of the metric). ``failed``: whether
    something moved that must not. ``excuse``: why the check does not apply to this pipeline; then nothing else
    counts. ``sentence`` says it to a person.
    """

    sentence: str
    control: float = 0.0
    numbers: Mapping[str, float] = field(default_factory=dict)
    failed: bool = False
    excuse: str = ""


@dataclass(frozen=True)
class Check:
    """A check. ``look`` may build worlds and train; its module's docstring says what it costs and when it would alarm
    falsely."""

    code: str
    title: str
    look: Callable[[World], Seen]
    severity: Severity = Severity.BLOCKS


@dataclass(frozen=True)
class Finding:
    """A check's verdict on one pipeline, with its numbers and the control that shows it could have seen something."""

    code: str
    title: str
    verdict: Verdict
    numbers: dict[str, float]
    control: float
    sentence: str
    seconds: float
    severity: Severity = Severity.BLOCKS

    @property
    def blocks(self) -> bool:
        """Whether no package may come of this."""
        return self.severity is Severity.BLOCKS and self.verdict in (Verdict.FAIL, Verdict.VACUOUS)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: plain strings, finite floats, ``blocks`` besides the fields."""
        numbers = {name: float(value) for name, value in self.numbers.items() if math.isfinite(value)}
        plain = {"severity": str(self.severity), "verdict": str(self.verdict), "blocks": self.blocks}
        rounded = {"control": float(self.control), "seconds": round(self.seconds, 3)}
        return {**vars(self), **plain, **rounded, "numbers": numbers}


def judge(check: Check, world: World) -> Finding:
    """Run one check. Whatever the pipeline raises is a FAIL with its reason; nothing is raised."""
    start = time.monotonic()
    try:
        seen = check.look(world)
        verdict = _verdict(seen)
    except Exception as error:  # whatever a user's code raises is the finding
        seen = Seen(f"{world.pipeline.name} raised {type(error).__name__}: {error}"[:LONGEST], failed=True)
        verdict = Verdict.FAIL
    sentence = seen.excuse or seen.sentence
    if verdict is Verdict.VACUOUS:
        sentence = f"Nothing is shown, for the control moved nothing. {sentence}"
    seconds = time.monotonic() - start
    return Finding(
        check.code, check.title, verdict, dict(seen.numbers), seen.control, sentence, seconds, check.severity
    )


def _verdict(seen: Seen) -> Verdict:
    if seen.excuse:
        return Verdict.NOT_APPLICABLE
    if seen.failed:
        return Verdict.FAIL
    return Verdict.PASS if seen.control > 0 else Verdict.VACUOUS
