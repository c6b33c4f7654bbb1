"""What was tried as a page: ``docs/mutants.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

from tests.mutants.mutant import Mutant
from tests.mutants.target import Target
from tests.mutants.trial import SURVIVED
from tests.mutants.why import why
from tests.workspaces import WORKSPACE

PAGE = WORKSPACE / "docs" / "mutants.md"
LEAST = 90
"""Per cent of a target's mutants that its tests must kill."""

HEAD = """# Mutants

Whether the tests of the gate would notice a wrong gate. `make mutants` makes one small error at a time in its sources (another operator,
another number, a condition turned round, a loop that does not run, a decorator taken away; [Cosmic Ray](https://cosmic-ray.readthedocs.io)
{version} finds the places), and runs the tests of that source. A mutant is killed when a test fails, or hangs; at least {least} % of each
target must be. Equivalent mutants, which no test can tell from the original, are counted as survivors too. Annotations are left as
they are.

{sampled} A mutant that was killed is not tried again while its source is the same (`.mutants/`, emptied by `make clean`); survivors are.
[`tests/mutants/`](../tests/mutants) holds targets, their tests, and the reasons below.

Tried on {day}.
"""
SAMPLED = "Of each target some are tried, drawn by a fixed seed; `make mutants FULL=1` tries all."
WHOLE = "All mutants of each target were tried."


@dataclass(frozen=True)
class Result:
    """What came of a target. ``possible``: how many mutants it has; ``fates``: of those that were tried."""

    target: Target
    possible: int
    fates: Sequence[tuple[Mutant, str]]

    @property
    def survivors(self) -> list[Mutant]:
        return [mutant for mutant, fate in self.fates if fate == SURVIVED]

    @property
    def killed(self) -> int:
        return len(self.fates) - len(self.survivors)

    @property
    def percent(self) -> float:
        return 100 * self.killed / len(self.fates)

    @property
    def unexplained(self) -> list[Mutant]:
        return [mutant for mutant in self.survivors if not why(self.target, mutant)]


def page(results: Sequence[Result], *, full: bool) -> str:
    """The page of a whole run."""
    head = HEAD.format(
        version=metadata.version("cosmic-ray"),
        least=LEAST,
        sampled=WHOLE if full else SAMPLED,
        day=datetime.now(UTC).date(),
    )
    figures = [
        (one.target.name, f"`{one.target.path}`", one.possible, len(one.fates), one.killed, len(one.survivors), f"{one.percent:.1f}")
        for one in results
    ]  # fmt: skip
    survivors = [
        (f"`{one.target.path}:{mutant.line}`", _code(mutant.before), _code(mutant.after), why(one.target, mutant))
        for one in results
        for mutant in one.survivors
    ]
    return "\n".join([
        head, *_table(("target", "source", "mutants", "tried", "killed", "survived", "%"), figures),
        "", "## Survivors", "", *_table(("where", "the line", "with the error", "why it survives"), survivors), "",
    ])  # fmt: skip


def _code(line: str) -> str:
    return f"`{line}`" if line else "(none)"


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(str(one).replace('|', '∣') for one in line)} |" for line in lines]
