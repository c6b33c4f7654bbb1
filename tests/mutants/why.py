"""Why the mutants survive that do: each was looked at, and none of them makes the gate wrong.

A reason is for the lines as they were before and after; for all errors of a line where ``after`` is None.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.mutant import Mutant
from tests.mutants.target import Target


@dataclass(frozen=True)
class Why:
    """One reason, for mutants of ``path``."""

    path: str
    before: str
    after: str | None
    reason: str


PROMOTION = "flows/deciding/promotion.py"
WHYS: tuple[Why, ...] = (
    Why(
        PROMOTION,
        "if ids == others and len(set(ids)) == len(ids):",
        "if ids == others and len(set(ids)) >= len(ids):",
        "Equivalent: a set never has more members than the list it is made of.",
    ),
    Why(
        PROMOTION,
        'passed = _reaches(metric, found.high if metric.better == "higher" else found.low, floor)',
        'passed = _reaches(metric, found.high if metric.better <= "higher" else found.low, floor)',
        'Equivalent: `better` is "higher" or "lower", and "lower" sorts after "higher".',
    ),
)


def why(target: Target, mutant: Mutant) -> str:
    """The reason, empty where nobody has given one."""
    for one in WHYS:
        if (one.path, one.before) == (target.path, mutant.before) and one.after in (None, mutant.after):
            return one.reason
    return ""
