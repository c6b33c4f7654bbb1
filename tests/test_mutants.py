"""The tests of the gate notice a wrong gate: what ``make mutants`` found stands, and every survivor has its reason."""

from __future__ import annotations

import pytest

from tests.mutants import mutant
from tests.mutants.page import LEAST, PAGE
from tests.mutants.target import TARGETS, Target
from tests.mutants.why import WHYS
from tests.workspaces import WORKSPACE

SOURCE = '''def within(value: int | None, limit: int = 3) -> bool:
    """Whether it is."""
    return value < limit


def beyond(value: int) -> bool:
    return value > 4
'''
TARGET = Target("any", "any.py", (), sample=5)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table on the page that begins with this heading."""
    lines = PAGE.read_text().splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    table = lines[first : next((at for at in range(first, len(lines)) if not lines[at].startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_of_every_target_nine_in_ten_mutants_are_killed() -> None:
    """Each has its row on ``docs/mutants.md``, with numbers that agree with one another."""
    found = {row[1].strip("`"): row for row in rows("target")}
    assert list(found) == [target.path for target in TARGETS]
    for _, _, possible, tried, killed, survived, percent in found.values():
        assert int(possible) >= int(tried) == int(killed) + int(survived)
        assert float(percent) == pytest.approx(100 * int(killed) / int(tried), abs=0.051)
        assert float(percent) >= LEAST


def test_every_survivor_is_listed_with_its_reason() -> None:
    """As many as the table counts, each with the line it is in and why no test kills it."""
    listed = rows("where")
    assert len(listed) == sum(int(row[5]) for row in rows("target"))
    assert [row for row in listed if len(row) != 4 or not all(row)] == []


def test_every_reason_is_for_a_line_that_is_there() -> None:
    """A reason for what has been rewritten is deleted with it."""
    lines = {path: (WORKSPACE / path).read_text() for path in {one.path for one in WHYS}}
    gone = [one for one in WHYS if one.before not in {line.strip() for line in lines[one.path].splitlines()}]
    assert gone == []


def test_mutants_are_single_errors_outside_of_annotations() -> None:
    """Each text differs from the source by what it says, and the hints are left as they are."""
    mutants, possible = mutant.chosen(TARGET, SOURCE, full=True)
    assert len(mutants) == possible > 10
    assert {one.line for one in mutants} == {1, 3, 7}
    assert all(SOURCE.replace(one.before, one.after) == one.text != SOURCE for one in mutants)
    assert all("value: int | None" in one.text for one in mutants)


def test_a_sample_is_the_same_each_time() -> None:
    """Two runs of one source are of the same mutants."""
    first, again = (mutant.chosen(TARGET, SOURCE, full=False) for _ in range(2))
    assert first == again
    assert len(first[0]) == TARGET.sample < first[1]


def test_a_target_may_be_some_functions_of_a_file() -> None:
    """Nothing else of it is mutated."""
    some = Target("any", "any.py", (), functions=("beyond",))
    assert {one.line for one in mutant.chosen(some, SOURCE, full=True)[0]} == {7}
