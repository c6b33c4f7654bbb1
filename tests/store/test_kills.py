"""Whatever is killed, and however many run at once: nothing is lost, doubled or half-done.

``make soak`` does more of each.
"""

from __future__ import annotations

import signal
from functools import cache
from typing import Any

import pytest

from store import blobs, ledger
from store.layout import Root
from store.registry import aliases, packages
from tests.soak import times
from tests.store import killed
from tests.store.registry import made


def test_a_row_is_written_once_though_its_writer_was_killed_before_it_heard_of_it(root: Root) -> None:
    """Fifty were killed between the write and its acknowledgement, and twelve right before it; each retry finds or writes its row."""
    rows = times(62, 500)
    ends = killed.told("at_the_write", root, rows)
    assert ends == [-signal.SIGKILL, 0] * rows
    assert sorted(row.request for row in ledger.rows(root)) == sorted(f"r{number}" for number in range(rows))
    assert ledger.verify(root) == rows


def test_a_delivery_killed_at_any_instant_is_completed_by_the_next_one(root: Root) -> None:
    """Published once, approved once, deployed once, every blob whole, and nothing of the killed ones left over."""
    kills = times(40, 400)
    assert killed.told("at_random", root, kills) > kills / 4
    published = packages.listed(root, made.PIPELINE)
    assert [package.version for package in published] == [str(number) for number in range(kills + 1)]
    moves = aliases.moves(ledger.rows(root), made.PIPELINE, "production", aliases.DEPLOYED)
    assert [row.digest for row in moves] == [package.digest for package in published]
    assert len(ledger.find(root, action="package.approved")) == kills + 1
    assert ledger.verify(root) == 3 * (kills + 1)
    for package in published:
        assert blobs.get(root, package.digest) == f"wheel {package.version}".encode()


def test_eight_processes_append_without_gap_or_double(root: Root) -> None:
    """Forty appends each, and forty that all eight make: every request is one row."""
    appends = times(40, 500)
    assert killed.told("crowd", root, 8, appends) == [0] * 8
    rows = ledger.rows(root)
    assert len(rows) == ledger.verify(root) == 8 * appends + appends
    assert len({row.request for row in rows}) == len(rows)
    for name in range(8):
        own = [row.request for row in rows if row.actor == str(name) and not row.request.startswith("all")]
        assert own == [f"{name}-{number}" for number in range(appends)]


# ---- linearisable alias histories -----------------------------------------------------------------------------------

Operation = list[Any]
"""What (read or move), what was asked (expected and new), what was told, began, ended."""


def linearisable(processes: list[list[Operation]]) -> bool:
    """Whether one order of all operations, none before one that had ended when it began, explains every answer.

    The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) over one register with compare-and-set:
    at each step any operation may come next that began before the earliest end of those still to come.
    """

    @cache
    def explained(at: tuple[int, ...], value: str | None) -> bool:
        heads = [(name, processes[name][index]) for name, index in enumerate(at) if index < len(processes[name])]
        if not heads:
            return True
        first_end = min(operation[4] for _, operation in heads)
        for name, (what, asked, told, began, _) in heads:
            if began > first_end:
                continue
            if what == "read":
                fits, then = told == value, value
            else:
                fits, then = told == (value == asked[0]), asked[1] if told else value
            if fits and explained((*at[:name], at[name] + 1, *at[name + 1 :]), then):
                return True
        return False

    return explained((0,) * len(processes), None)


@pytest.mark.parametrize(
    ("history", "fits"),
    [
        ([[["move", [None, "a"], True, 0, 1]], [["read", None, "a", 2, 3]]], True),
        ([[["move", [None, "a"], True, 0, 1]], [["read", None, None, 2, 3]]], False),
        ([[["move", [None, "a"], True, 0, 3]], [["read", None, None, 1, 2]]], True),
        ([[["move", [None, "a"], True, 0, 3]], [["move", [None, "b"], True, 1, 2]]], False),
        ([[["move", [None, "a"], True, 0, 3]], [["move", [None, "b"], False, 1, 2]]], True),
        ([[["move", [None, "a"], False, 0, 1]], [["read", None, None, 0, 1]]], False),
        ([[["read", None, "a", 0, 1], ["read", None, None, 2, 3]], [["move", [None, "a"], True, 0, 9]]], False),
    ],
)
def test_the_checker_of_histories_knows_a_wrong_one(history: list[list[Operation]], fits: bool) -> None:
    """A stale read, a lost update, a refusal without a reason, and going back in time are found."""
    assert linearisable(history) is fits


def test_the_histories_of_six_processes_are_linearisable(root: Root) -> None:
    """A hundred aliases, read and moved by six processes at once: one order explains what each of them was told."""
    for _ in range(times(1, 3)):
        found = killed.told("histories", root, 6)
        assert len(found) == killed.ALIASES
        assert all(linearisable(history) for history in found)
        contested = sum(
            not operation[2] for history in found for one in history for operation in one if operation[0] == "move"
        )
        assert contested > 0
        (root.path / "histories").rename(root.path / f"histories-{ledger.head(root)}")
