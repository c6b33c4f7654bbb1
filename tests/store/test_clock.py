"""The clock's promises: UTC always, a naive time never, and a simulated root that does not go back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import clock
from store.errors import InvalidInput
from store.layout import Root
from tests.conftest import NOW

ZONES = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-14 * 60, 14 * 60))
INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=ZONES)  # noqa: DTZ001  (the zone is drawn)


def test_a_root_that_nobody_simulates_has_the_wall_clock(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store time is then the machine's, in UTC."""
    monkeypatch.setattr(clock, "wall", lambda: NOW)
    assert not clock.simulated(root)
    assert clock.now(root) == NOW
    monkeypatch.undo()
    assert clock.wall().tzinfo is UTC


def test_a_simulated_root_has_the_time_it_was_given(root: Root) -> None:
    """It is kept in the root, to the microsecond and in UTC, so every process reads the same."""
    instant = datetime(2013, 4, 14, 9, 0, 0, 123_456, timezone(timedelta(hours=2)))
    clock.move(root, instant)
    assert clock.simulated(root)
    found = clock.now(Root.open(root.path))
    assert found == instant
    assert found.tzinfo is UTC
    assert found.microsecond == 123_456


def test_simulated_time_never_goes_back(root: Root) -> None:
    """The error says where time stands; the same instant again, and a later one, are fine."""
    clock.move(root, NOW)
    clock.move(root, NOW)
    with pytest.raises(InvalidInput, match=r"2013-03-31 23:59 UTC.*2013-04-01 00:00 UTC"):
        clock.move(root, NOW - timedelta(microseconds=1))
    assert clock.now(root) == NOW
    clock.move(root, NOW + timedelta(microseconds=1))
    assert clock.now(root) == NOW + timedelta(microseconds=1)


@pytest.mark.parametrize("ask", [clock.utc, clock.printed])
def test_a_naive_time_is_refused(ask: Any) -> None:
    """A guess of its zone would move every join: the error shows the time and a zone to give it."""
    with pytest.raises(InvalidInput, match=r"2013-04-01T00:00:00 has no zone.*\+00:00"):
        ask(NOW.replace(tzinfo=None))


def test_a_root_cannot_be_moved_to_a_naive_time(root: Root) -> None:
    """Refused, and the root stays unsimulated."""
    with pytest.raises(InvalidInput, match="no zone"):
        clock.move(root, NOW.replace(tzinfo=None))
    assert not clock.simulated(root)


@given(INSTANTS)
def test_utc_is_the_same_instant(instant: datetime) -> None:
    """Whatever the zone, only its name changes."""
    assert clock.utc(instant) == instant
    assert clock.utc(instant).tzinfo is UTC


def test_people_read_times_in_utc() -> None:
    """``2013-04-14 09:00 UTC``, whatever zone it came in."""
    assert clock.printed(datetime(2013, 4, 14, 11, 0, tzinfo=timezone(timedelta(hours=2)))) == "2013-04-14 09:00 UTC"
