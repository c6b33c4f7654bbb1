"""History's promises: an alias's reigns touch, and every instant after the first has one holder."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.errors import InvalidInput
from store.layout import Root
from store.registry import aliases, history
from tests.conftest import NOW
from tests.store.registry.made import ENVIRONMENT, PIPELINE, digest, move

DAY = timedelta(days=1)
UNUSED = itertools.count()


def filled(root: Root) -> None:
    """a for a day, b for two, then a again."""
    move(root, "a", None, now=NOW)
    move(root, "b", "a", now=NOW + DAY, actor="bob")
    aliases.roll_back(root, PIPELINE, ENVIRONMENT, aliases.CHAMPION, actor="eve", now=NOW + 3 * DAY, reason="Late.")


def test_reigns_touch(root: Root) -> None:
    """Each ends where the next starts, the last has no end, and a rollback is a reign of its own."""
    filled(root)
    reigns = history.reigns(root, PIPELINE, ENVIRONMENT)
    assert [(one.label, one.start, one.end) for one in reigns] == [
        ("a", NOW, NOW + DAY), ("b", NOW + DAY, NOW + 3 * DAY), ("a", NOW + 3 * DAY, None),
    ]  # fmt: skip
    assert [(one.digest, one.actor, one.reason) for one in reigns] == [
        (digest("a"), "ada", "a is better."), (digest("b"), "bob", "b is better."), (digest("a"), "eve", "Late."),
    ]  # fmt: skip


def test_an_alias_that_never_moved_has_no_reigns(root: Root) -> None:
    """Nor has another pipeline's, environment's or name's."""
    filled(root)
    assert history.reigns(root, "trains", ENVIRONMENT) == []
    assert history.reigns(root, PIPELINE, "test") == []
    assert history.reigns(root, PIPELINE, ENVIRONMENT, aliases.DEPLOYED) == []
    assert history.at(root, PIPELINE, "test", NOW) is None


@pytest.mark.parametrize(
    ("after", "label"),
    [(-1, None), (0, "a"), (86_400_000_000 - 1, "a"), (86_400_000_000, "b"), (3 * 86_400_000_000, "a"), (10**15, "a")],
)
def test_who_served_at_an_instant(root: Root, after: int, label: str | None) -> None:
    """A start belongs to its reign, an end to the next; before the first move nobody served. (Microseconds after NOW.)"""
    filled(root)
    reign = history.at(root, PIPELINE, ENVIRONMENT, NOW + timedelta(microseconds=after))
    assert (reign.label if reign else None) == label


def test_an_instant_needs_a_zone(root: Root) -> None:
    """A naive one is refused as input."""
    filled(root)
    with pytest.raises(InvalidInput, match="no zone"):
        history.at(root, PIPELINE, ENVIRONMENT, NOW.replace(tzinfo=None))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(-1, 40))
def test_at_is_the_newest_move_by_then(root: Root, gaps: list[int], instant: int) -> None:
    """Against a plain scan, also where several moves share one instant: the last of them counts."""
    alias = f"alias_{next(UNUSED)}"
    hours = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    names = [f"{number}" for number in range(len(gaps))]
    for before, name, hour in zip([None, *names], names, hours):
        move(root, name, before, alias, now=NOW + timedelta(hours=hour))
    served = [name for name, hour in zip(names, hours, strict=True) if hour <= instant]
    reign = history.at(root, PIPELINE, ENVIRONMENT, NOW + timedelta(hours=instant), alias)
    assert (reign.label if reign else None) == (served[-1] if served else None)
