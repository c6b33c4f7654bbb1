"""One decision for five reasons: what opens a due, what holds it back, and that the same question has the same id."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.deciding.due import KINDS, Decision, decide, due_id
from store.errors import InvalidInput

END = datetime(2024, 4, 15, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Trigger:
    windows: int = 2
    cool_down: timedelta = 14 * DAY
    cadence: timedelta | None = None
    new_rows: int | None = None


def decided(**given: Any) -> Decision:
    """The decision for a calm pipeline, but for what is given."""
    calm = {"drifted": [[], []], "fallen": [False, False], "trigger": Trigger(), "last_trained": END - 20 * DAY}
    known = {"pipeline": "flight_delay", "environment": "production", "champion": "c0ffee", "window_end": END}
    return decide(**{**known, **calm, **given})


def kinds(decision: Decision) -> list[str]:
    return [reason.kind for reason in decision.reasons]


def test_a_calm_window_opens_nothing_and_says_so() -> None:
    """With no reason at all nothing opens."""
    assert decided() == Decision(False, None, (), "Nothing asks for it: no reason in the last window.")
    assert not decided(drifted=[], fallen=[]).open


def test_confirmed_drift_opens_a_due_with_its_features_and_time() -> None:
    """A feature that drifted in each of the last K windows opens a due, and the reason names it, K and the time."""
    decision = decided(drifted=[["temp"], ["temp", "dest"]])
    assert decision.open
    assert kinds(decision) == ["drift"]
    assert decision.reasons[0].sentence == "temp drifted in each of the last 2 windows, to 2024-04-15 00:00 UTC."
    assert decision.due == due_id("flight_delay", "production", ["drift"], END, "c0ffee")
    assert decision.why == ""


def test_unconfirmed_drift_waits_and_says_how_near_it_is() -> None:
    """One window of two, or another feature each time, opens nothing and tells the count."""
    decision = decided(drifted=[["dest"], ["temp"]])
    assert not decision.open
    assert decision.why == "Not confirmed yet: temp drifted in 1 of 2 windows."
    assert not decided(drifted=[["temp"], ["temp"]], trigger=Trigger(windows=3)).open
    assert not decided(drifted=[["temp"], ["temp"], []]).open


def test_confirmed_falls_open_a_due_and_unjudged_windows_confirm_nothing() -> None:
    """Performance must have fallen in each of the last K windows; a window that could not be judged breaks the run."""
    assert kinds(decided(fallen=[False, True, True])) == ["performance"]
    assert "last 2 windows" in decided(fallen=[True, True]).reasons[0].sentence
    assert decided(fallen=[True, None, True]).why == "Not confirmed yet: performance had fallen in 1 of 2 windows."
    assert not decided(fallen=[True, True, None]).open
    assert not decided(fallen=[True]).open


def test_enough_new_rows_open_a_due_at_once() -> None:
    """New data needs no confirmation, and the reason has the rows."""
    trigger = Trigger(new_rows=5000)
    assert not decided(trigger=trigger, new_rows=4999).open
    decision = decided(trigger=trigger, new_rows=5000)
    assert kinds(decision) == ["new_data"]
    assert "5000 rows have matured" in decision.reasons[0].sentence
    assert not decided(new_rows=10**9).open


def test_cadence_opens_a_due_once_its_time_has_come() -> None:
    """The cadence counts from the last training to the minute; what was never trained is due."""
    trigger = Trigger(cadence=20 * DAY)
    assert kinds(decided(trigger=trigger)) == ["cadence"]
    assert "20 days, 0:00:00 before 2024-04-15 00:00 UTC" in decided(trigger=trigger).reasons[0].sentence
    assert not decided(trigger=trigger, last_trained=END - 20 * DAY + timedelta(minutes=1)).open
    assert "never been trained" in decided(trigger=trigger, last_trained=None).reasons[0].sentence


def test_all_reasons_are_told_in_one_order() -> None:
    """Everything at once is one due with five reasons, in the order of KINDS."""
    decision = decided(
        drifted=[["x"], ["x"]],
        fallen=[True, True],
        trigger=Trigger(cadence=DAY, new_rows=1),
        new_rows=1,
        by_hand=True,
    )
    assert tuple(kinds(decision)) == KINDS


ALARM: dict[str, Any] = {"drifted": [["x"], ["x"]], "fallen": [True, True]}


@pytest.mark.parametrize("by_hand", [False, True])
def test_an_open_due_holds_everything_back(by_hand: bool) -> None:
    """While a due is open nothing else opens, not even by hand, and the answer names the open one."""
    decision = decided(**ALARM, open_due="abcdef0123456789", by_hand=by_hand)
    assert not decision.open
    assert decision.why == "A due is already open: abcdef012345."


def test_cooling_down_holds_back_to_the_minute() -> None:
    """Until the cool-down has passed nothing opens; from that minute on it does."""
    closed = END - 14 * DAY
    waiting = decided(**ALARM, last_closed=closed + timedelta(minutes=1))
    assert not waiting.open
    assert waiting.why.startswith("Cooling down until 2024-04-15 00:01 UTC; it waits: x drifted")
    assert decided(**ALARM, last_closed=closed).open
    assert not decided(trigger=Trigger(cadence=DAY), last_closed=END - DAY).open


def test_by_hand_ignores_confirmation_and_cool_down() -> None:
    """A person's request opens a due without drift and in the middle of a cool-down."""
    assert kinds(decided(by_hand=True)) == ["by_hand"]
    assert kinds(decided(by_hand=True, drifted=[[], ["x"]], last_closed=END - DAY)) == ["by_hand"]


def test_naive_times_and_no_windows_are_refused() -> None:
    """A time without zone is refused by name, and so is a trigger that confirms by no window."""
    naive = END.replace(tzinfo=None)
    for name, late in [
        ("window_end", {"window_end": naive}),
        ("last_closed", {**ALARM, "last_closed": naive}),
        ("last_trained", {"trigger": Trigger(cadence=DAY), "last_trained": naive}),
    ]:
        with pytest.raises(InvalidInput, match=f"{name} = .* no time zone"):
            decided(**late)
    with pytest.raises(InvalidInput, match="confirmed by 0 windows"):
        decided(trigger=replace(Trigger(), windows=0))


def test_an_id_is_64_hex_digits_and_golden() -> None:
    """The id's bytes are a promise: the ledger holds ids of old."""
    found = due_id("flight_delay", "production", ["performance", "drift"], END, "c0ffee")
    assert re.fullmatch(r"[0-9a-f]{64}", found)
    assert found == "ca2e182dcc8112f9bc3f6d87db0ccc4793e2a5e03d2cb9861f19b9e0c6a4d162"


@given(st.permutations(KINDS), st.integers(-12, 12))
def test_an_id_depends_on_what_and_not_on_how_it_is_said(reasons: list[str], hours: int) -> None:
    """Order, repetition and time zone leave the id alone."""
    elsewhere = END.astimezone(timezone(timedelta(hours=hours)))
    assert due_id("p", "test", [*reasons, reasons[0]], elsewhere, None) == due_id("p", "test", KINDS, END, None)


def test_an_id_changes_with_each_of_its_parts() -> None:
    """Another pipeline, environment, reason, window or champion is another due."""
    parts: tuple[Any, ...] = ("p", "test", ("drift",), END, "c")
    changes = [(0, "q"), (1, "production"), (2, ("cadence",)), (3, END + DAY), (4, "d"), (4, None)]
    changed = [(*parts[:at], value, *parts[at + 1 :]) for at, value in changes]
    assert len({due_id(*each) for each in [parts, *changed]}) == 7


@pytest.mark.parametrize("reasons", [[], ["boredom"], "drift"])
def test_unknown_reasons_are_refused(reasons: Any) -> None:
    """No reason, an unknown one, or a bare string for a list has no id."""
    with pytest.raises(InvalidInput, match="cannot have the reasons"):
        due_id("p", "test", reasons, END, None)
