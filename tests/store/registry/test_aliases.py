"""The aliases' promises: a move sees exactly what it replaces, says why, and can be undone, by any number of movers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import ledger
from store.errors import Conflict, InvalidInput, NotFound
from store.layout import Root
from store.ledger import Row
from store.registry import aliases
from store.registry.aliases import CHAMPION, DEPLOYED
from tests.conftest import NOW
from tests.store.registry import racer
from tests.store.registry.conftest import Race
from tests.store.registry.made import ENVIRONMENT, PIPELINE, digest, move

UNUSED = itertools.count()


def current(root: Root, alias: str = CHAMPION) -> str | None:
    return aliases.current(root, PIPELINE, ENVIRONMENT, alias)


def roll_back(root: Root, alias: str = CHAMPION) -> Row:
    return aliases.roll_back(root, PIPELINE, ENVIRONMENT, alias, actor="ada", now=NOW, reason="It was wrong.")


def climbed(root: Root, names: Sequence[str], alias: str = CHAMPION) -> None:
    for before, name in zip([None, *names], names):
        move(root, name, before, alias)


# Moving


def test_a_move_is_one_row(root: Root) -> None:
    """The row holds the alias, where it pointed, where it points, and why."""
    assert current(root) is None
    move(root, "a", None)
    row = move(root, "b", "a")
    assert current(root) == digest("b")
    assert (row.seq, row.action, row.reason) == (2, "model.promoted", "b is better.")
    assert (row.body.alias, row.body.previous, row.body.label) == (CHAMPION, digest("a"), "b")


@pytest.mark.parametrize("expected", [None, "a", "c"])
def test_a_move_on_stale_knowledge_is_a_conflict(root: Root, expected: str | None) -> None:
    """It says what is there now and what was expected, and nothing is written."""
    climbed(root, ["a", "b"])
    expects = digest(expected)[:8] if expected else "nothing"
    with pytest.raises(
        Conflict, match=f"champion of flights in production.*points at {digest('b')[:8]}, not at {expects}"
    ):
        move(root, "d", expected)
    assert ledger.head(root) == 2
    assert current(root) == digest("b")


def test_a_first_move_expects_nothing(root: Root) -> None:
    """Expecting something where nothing was ever set is a Conflict too."""
    with pytest.raises(Conflict, match="points at nothing"):
        move(root, "b", "a")
    assert ledger.head(root) == 0


def test_a_move_needs_a_reason(root: Root) -> None:
    """Without one nothing is written."""
    with pytest.raises(InvalidInput, match="needs a reason"):
        move(root, "a", None, reason="")
    assert ledger.head(root) == 0


def test_the_same_request_moves_once(root: Root) -> None:
    """Tried again after others have moved on, it returns its row and moves nothing."""
    row = move(root, "a", None, request="r")
    move(root, "b", "a")
    assert move(root, "a", None, request="r") == row
    assert current(root) == digest("b")


@pytest.mark.parametrize("wrong", [{"environment": "staging"}, {"alias": "Champion"}, {"alias": "a/b"}, {"alias": ""}])
def test_only_known_environments_and_plain_names_move(root: Root, wrong: dict[str, str]) -> None:
    """Refused as input, and nothing is written."""
    with pytest.raises(InvalidInput):
        move(root, "a", None, **wrong)
    assert ledger.head(root) == 0


def test_aliases_are_apart(root: Root) -> None:
    """Another alias, pipeline or environment has a target of its own."""
    move(root, "a", None)
    move(root, "b", None, "challenger")
    move(root, "c", None, DEPLOYED)
    move(root, "d", None, environment="test")
    move(root, "e", None, pipeline="trains")
    found = [current(root, alias) for alias in (CHAMPION, "challenger", DEPLOYED, "other")]
    assert found == [digest("a"), digest("b"), digest("c"), None]
    assert aliases.current(root, PIPELINE, "test", CHAMPION) == digest("d")
    assert aliases.current(root, "trains", ENVIRONMENT, CHAMPION) == digest("e")


# Rolling back


def test_rolling_back_goes_to_what_stood_before(root: Root) -> None:
    """One row of its own action, with the old target and its label."""
    climbed(root, ["a", "b", "c"])
    assert aliases.before(root, PIPELINE, ENVIRONMENT, CHAMPION).digest == digest("b")
    row = roll_back(root)
    assert (row.action, row.digest, row.body.label, row.body.previous) == (
        "model.rolled_back", digest("b"), "b", digest("c"),
    )  # fmt: skip
    assert current(root) == digest("b")


def test_a_package_alias_rolls_back_as_a_package(root: Root) -> None:
    """The row says which kind of thing went back."""
    climbed(root, ["a", "b"], DEPLOYED)
    assert roll_back(root, DEPLOYED).action == "package.rolled_back"
    assert current(root, DEPLOYED) == digest("a")


def test_rolling_back_twice_goes_two_steps(root: Root) -> None:
    """Not back and forth; and what is promoted afterwards is undone to where one had gone back to."""
    climbed(root, ["a", "b", "c"])
    roll_back(root)
    roll_back(root)
    assert current(root) == digest("a")
    move(root, "d", "a")
    roll_back(root)
    assert current(root) == digest("a")


def test_promoting_again_what_serves_is_no_step(root: Root) -> None:
    """Going back leaves the present target, however often it was set."""
    climbed(root, ["a", "b"])
    move(root, "b", "b")
    roll_back(root)
    assert current(root) == digest("a")


@pytest.mark.parametrize(
    ("names", "undone", "says"),
    [([], 0, "never set"), (["a"], 0, "points at a, the first"), (["a", "b"], 1, "points at a, the first")],
)
def test_nothing_to_go_back_to_is_said(root: Root, names: list[str], undone: int, says: str) -> None:
    """Never set, or already at the first target: the error says which, and what to do."""
    climbed(root, names)
    for _ in range(undone):
        roll_back(root)
    head = ledger.head(root)
    with pytest.raises(
        NotFound, match=f"nothing to roll champion of flights back to in production.*{says}.*Deliver or promote"
    ):
        roll_back(root)
    assert ledger.head(root) == head


def test_going_back_needs_a_reason(root: Root) -> None:
    """As every move does."""
    climbed(root, ["a", "b"])
    with pytest.raises(InvalidInput, match="needs a reason"):
        aliases.roll_back(root, PIPELINE, ENVIRONMENT, CHAMPION, actor="ada", now=NOW, reason="")


def test_a_promotion_while_one_rolls_back_is_a_conflict(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be undone is no longer there: going back further than anybody meant is refused."""
    climbed(root, ["a", "b"])
    real = aliases.moves

    def overtaken(*given: Any) -> list[Row]:
        monkeypatch.setattr(aliases, "moves", real)
        found = real(*given)
        move(root, "c", "b")
        return found

    monkeypatch.setattr(aliases, "moves", overtaken)
    with pytest.raises(Conflict, match="moved meanwhile"):
        roll_back(root)
    assert current(root) == digest("c")


def test_going_back_to_what_was_never_there_is_a_step_too(root: Root) -> None:
    """A rollback row that names a target of somebody's own can itself be undone."""
    move(root, "a", None)
    move(root, "x", "a", action="model.rolled_back")
    move(root, "b", "x")
    roll_back(root)
    assert current(root) == digest("x")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("abc<"), max_size=8))
def test_going_back_is_undoing(root: Root, steps: list[str]) -> None:
    """Against a plain stack of targets, for any order of promotions and rollbacks."""
    alias = f"alias_{next(UNUSED)}"
    stack: list[str] = []
    for step in steps:
        if step != "<":
            move(root, step, stack[-1] if stack else None, alias)
            stack += [step] if stack[-1:] != [step] else []
        elif len(stack) > 1:
            roll_back(root, alias)
            stack.pop()
        else:
            with pytest.raises(NotFound):
                roll_back(root, alias)
        assert current(root, alias) == (digest(stack[-1]) if stack else None)


# Four processes


def test_four_processes_number_without_gaps(race: Race) -> None:
    """Publishing, promoting, appending and claiming at once: the chain holds, and nothing was written twice."""
    rows = ledger.rows(race.root)
    assert ledger.verify(race.root) == len(rows)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert len({row.request for row in rows}) == len(rows)


def test_four_processes_see_what_they_replace(race: Race) -> None:
    """Every move that succeeded named exactly the target before it: the moves are one line, in the ledger's order."""
    moves = aliases.moves(ledger.rows(race.root), PIPELINE, ENVIRONMENT, CHAMPION)
    assert [row.body.previous for row in moves] == [None, *(row.digest for row in moves[:-1])]
    told = sorted(tuple(one) for did in race.did for one in did["moved"])
    assert told == [(row.seq, row.body.previous, row.digest) for row in moves]
    assert len(moves) >= racer.ROUNDS  # in every round somebody is first


def test_four_processes_count_as_the_ledger_does(race: Race) -> None:
    """Each process's successes are its rows, by action; whoever lost wrote nothing."""
    for did in race.did:
        mine = [row for row in ledger.rows(race.root) if row.actor == did["name"]]
        by = {action: [row.seq for row in mine if row.action == action] for action in {row.action for row in mine}}
        assert by.get("model.promoted", []) == [seq for seq, *_ in did["moved"]]
        assert set(by.get("package.published", [])) - set(did["same"]) == set(did["published"])
        assert set(by["package.approved"]) <= set(did["appended"])
        assert len(by.get("due.claimed", [])) == len(did["claimed"])


def test_four_processes_use_a_request_once(race: Race) -> None:
    """Each own request is one row, and one that all four used is one row for all four."""
    rows = [row for row in ledger.rows(race.root) if row.action == "package.approved"]
    assert len(rows) == racer.ROUNDS * 5
    shared = {row.seq for row in rows if row.request.startswith("anybody")}
    assert all(shared <= set(did["appended"]) for did in race.did)


def test_four_processes_end_with_one_view(race: Race) -> None:
    """When all are done each sees the same rows, the same champion and the same holders as a process that comes now."""
    ledger._caches.pop(race.root.path, None)
    assert [did["seen"] for did in race.did] == [racer.seen(race.root)] * 4


def test_what_is_handed_out_is_a_value(root: Root) -> None:
    """A row cannot be changed by whoever holds it."""
    row = move(root, "a", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.digest = ""  # type: ignore[misc]
