"""The ledger's promises: numbers without gaps, a chain, nothing twice, nothing changed unnoticed, by any number of writers."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import ledger
from store.actions import DueClaimed, PackageApproved, PackageTried
from store.errors import AssayError, Conflict, InvalidInput, NotFound, Refused
from store.layout import Root
from store.ledger import Row
from tests.conftest import NOW

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INSTANTS = st.integers(-(10**15), 10**15).map(lambda us: NOW + timedelta(microseconds=us))
REUSED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def approve(root: Root, version: str = "1", **given: Any) -> Row:
    asked = {"subject": "flights", "digest": "d" * 64, "actor": "ada", "now": NOW, **given}
    return ledger.append(root, "package.approved", PackageApproved(version), **asked)


def filled(root: Root, count: int = 6) -> list[Row]:
    return [approve(root, str(number)) for number in range(1, count + 1)]


def forget(root: Root) -> None:
    """As a new process begins: with nothing read."""
    ledger._caches.pop(root.path, None)


def fresh(root: Root) -> list[Row]:
    forget(root)
    return list(ledger.rows(root))


def file(root: Root, seq: int) -> Path:
    return root.ledger / f"{seq:010d}.parquet"


def overwrite(root: Root, row: Row, at: int | None = None) -> None:
    file(root, at or row.seq).write_bytes(ledger._bytes([row]))


def rehashed(row: Row, **changes: Any) -> Row:
    changed = dataclasses.replace(row, **changes)
    return dataclasses.replace(changed, hash=changed.computed_hash())


def refused(root: Root, match: str) -> None:
    """Both who verifies and who reads for the first time refuse."""
    with pytest.raises(Refused, match=match):
        ledger.verify(root)
    with pytest.raises(Refused):
        fresh(root)


# Appending


def test_rows_are_numbered_without_gaps_and_chained(root: Root) -> None:
    """From 1, each holding the hash of the one before, the first holding sixty-four zeros."""
    rows = filled(root)
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.prev for row in rows] == ["0" * 64, *(row.hash for row in rows[:-1])]
    assert all(row.hash == row.computed_hash() for row in rows)
    assert ledger.head(root) == ledger.verify(root) == 6
    assert sorted(path.name for path in root.ledger.iterdir()) == [file(root, seq).name for seq in range(1, 7)]


def test_a_ledger_of_hundreds_of_rows_is_read_and_verified(root: Root) -> None:
    """Three hundred, which is more than a checkpoint holds: numbers are compared by value, and an edit late in it is found."""
    rows: list[Row] = []
    for number in range(300):
        asked = ("package.approved", "flights", "d" * 64, "", f'{{"version":"{number}"}}')
        rows.append(ledger._row(rows, "ada", "", f"r{number}", asked, NOW))
        overwrite(root, rows[-1])
    assert fresh(root) == rows
    assert ledger.verify(root) == ledger.head(root) == 300
    overwrite(root, dataclasses.replace(rows[298], reason="another"))
    refused(root, "row 299 has been changed")


def test_an_empty_ledger_is_a_good_one(root: Root) -> None:
    """Nothing recorded: no rows, head 0, and it verifies."""
    assert (list(ledger.rows(root)), ledger.head(root), ledger.verify(root)) == ([], 0, 0)
    assert ledger.frame(root).schema == ledger.SCHEMA


@REUSED
@given(actor=TEXT, subject=TEXT, reason=TEXT, version=TEXT, now=INSTANTS)
def test_a_row_is_read_back_as_it_was_written(
    root: Root, actor: str, subject: str, reason: str, version: str, now: datetime
) -> None:
    """Any text and any instant, to the microsecond: a fresh reader has the same row, and the payload's dataclass."""
    row = approve(root, version, actor=actor, subject=subject, reason=reason, now=now)
    assert ledger._read(file(root, row.seq).read_bytes(), file(root, row.seq)) == row
    assert row.body == PackageApproved(version)
    assert (row.actor, row.subject, row.reason, row.store_time) == (actor, subject, reason, now)


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("package.blessed", PackageApproved("1")),
        ("package.approved", DueClaimed("1", "ada")),
        ("package.approved", {"version": "1"}),
        ("package.approved", PackageApproved),
        ("package.approved", None),
    ],
)
def test_only_known_actions_with_their_payload_are_recorded(root: Root, action: str, payload: Any) -> None:
    """An unknown action, or another action's payload, is refused with the list, and nothing is written."""
    with pytest.raises(InvalidInput, match=r"is not what .* records.*group\.declared"):
        ledger.append(root, action, payload, subject="flights", actor="ada", now=NOW)
    assert fresh(root) == []


def test_what_cannot_be_said_is_not_recorded(root: Root) -> None:
    """NaN in a payload, and a naive time, are refused as input, and nothing is written."""
    with pytest.raises(InvalidInput, match="JSON"):
        ledger.append(
            root, "package.tried", PackageTried("1", math.nan, True, ""), subject="flights", actor="ada", now=NOW  # type: ignore[arg-type]
        )  # fmt: skip
    with pytest.raises(InvalidInput, match="no zone"):
        approve(root, now=NOW.replace(tzinfo=None))
    assert fresh(root) == []


# Requests


def test_the_same_request_is_done_once(root: Root) -> None:
    """Asked again, later and by another actor, it returns the row that is there."""
    row = approve(root, request="r")
    filled(root, 2)
    assert approve(root, request="r", now=NOW + timedelta(days=1), actor="bob", reason="again") == row
    forget(root)
    assert approve(root, request="r") == row
    assert ledger.verify(root) == 3


@pytest.mark.parametrize(
    "other", [{"subject": "trains"}, {"digest": "e" * 64}, {"environment": "test"}, {"version": "2"}]
)
def test_a_request_stands_for_one_thing(root: Root, other: dict[str, Any]) -> None:
    """Used for something else it is a Conflict that names the row, and nothing is written."""
    approve(root, request="r")
    with pytest.raises(Conflict, match=r"'r' was already used.*Row 1 used it for package\.approved of flights"):
        approve(root, request="r", **other)
    assert ledger.verify(root) == 1


def test_a_request_is_not_another_actions(root: Root) -> None:
    """Nor may another action use it."""
    approve(root, request="r")
    with pytest.raises(Conflict):
        ledger.append(root, "due.claimed", DueClaimed("1", "a"), subject="flights", actor="ada", now=NOW, request="r")


def test_who_was_killed_before_the_acknowledgement_finds_its_row(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is on disk, the caller died: the retry, in a new process, returns it, and the guard is not asked again."""
    real = ledger._create

    def killed(*given: Any) -> bool:
        assert real(*given)
        raise SystemExit("kill -9")

    monkeypatch.setattr(ledger, "_create", killed)
    with pytest.raises(SystemExit):
        approve(root, request="r")
    monkeypatch.undo()
    forget(root)

    def guard(_: Sequence[Row]) -> None:
        raise Conflict("It was done meanwhile: by us.")

    row = approve(root, request="r", guard=guard)
    assert row.seq == ledger.verify(root) == 1


def test_requests_nobody_named_are_all_different(root: Root) -> None:
    """Without an id of the caller's, the same thing twice is two rows."""
    assert approve(root).request != approve(root).request
    assert ledger.head(root) == 2


# Guards and races


def test_a_guard_that_refuses_leaves_nothing_behind(root: Root) -> None:
    """It sees every row, and when it raises nothing is written, not even the request."""
    rows = filled(root, 3)
    seen: list[Row] = []

    def guard(found: Sequence[Row]) -> None:
        seen.extend(found)
        raise Conflict("No.")

    with pytest.raises(Conflict, match=r"^No\.$"):
        approve(root, request="r", guard=guard)
    assert seen == rows == fresh(root)
    assert approve(root, "other", request="r").seq == 4


def test_a_lost_race_asks_the_guard_again(root: Root) -> None:
    """Somebody took the number in between: the guard sees the winner's row before the next attempt, and may now refuse."""
    asked: list[int] = []

    def guard(found: Sequence[Row]) -> None:
        asked.append(len(found))
        if len(asked) == 1:
            approve(root, "winner")
        elif found[-1].body.version == "winner":
            raise Conflict("Somebody was first.")

    with pytest.raises(Conflict, match="Somebody was first"):
        approve(root, "loser", guard=guard)
    assert asked == [0, 1]
    assert [row.body.version for row in fresh(root)] == ["winner"]


def test_a_lost_race_takes_the_next_number(root: Root) -> None:
    """If the guard still agrees, the loser's row follows the winner's."""
    races = iter(range(3))

    def guard(_: Sequence[Row]) -> None:
        for number in races:
            approve(root, f"winner {number}")
            break

    assert approve(root, "loser", guard=guard).seq == 4
    assert [row.body.version for row in fresh(root)] == ["winner 0", "winner 1", "winner 2", "loser"]
    assert ledger.verify(root) == 4


def test_a_lost_race_against_oneself_is_found(root: Root) -> None:
    """Two tries of one request at the same time are one row: the slower one returns the faster one's."""
    first: list[Row] = []

    def guard(_: Sequence[Row]) -> None:
        first.append(approve(root, request="r"))

    assert approve(root, request="r", guard=guard) == first[0]
    assert ledger.verify(root) == 1


def test_threads_of_one_process_share_the_ledger(root: Root) -> None:
    """Four threads, forty rows: all there, no number twice, and every thread's rows are in its own order."""
    start = threading.Barrier(4)

    def work(name: str) -> list[int]:
        start.wait()
        return [approve(root, str(number), actor=name).seq for number in range(10)]

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(work, "abcd"))
    assert sorted(itertools.chain(*numbers)) == list(range(1, 41))
    assert all(some == sorted(some) for some in numbers)
    assert ledger.verify(root) == 40


# Verifying


@settings(REUSED, max_examples=200)
@given(seq=st.integers(1, 3), where=st.integers(0), flip=st.sampled_from([*(1 << bit for bit in range(8)), 255]))
def test_no_changed_byte_passes(root: Root, seq: int, where: int, flip: int) -> None:
    """Whichever bit of whichever file, at two hundred places: it is refused, or (in the seal's own label) reads as the very same row."""
    rows = list(ledger.rows(root)) or filled(root, 3)
    good = file(root, seq).read_bytes()
    position, label = where % len(good), good.find(b"assay sha256 ")
    changed = bytearray(good)
    changed[position] ^= flip
    file(root, seq).write_bytes(changed)
    try:
        if position in range(label, label + len(b"assay sha256 ")):
            with contextlib.suppress(Refused):
                assert ledger.verify(root) == 3
                assert fresh(root) == rows
        else:
            refused(root, f"{seq:010d}.parquet cannot be read")
    finally:
        file(root, seq).write_bytes(good)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_file_cut_short_is_refused(root: Root, size: int) -> None:
    """An empty or half-copied file is named."""
    filled(root)
    file(root, 3).write_bytes(file(root, 3).read_bytes()[:size])
    refused(root, "0000000003.parquet cannot be read")


@pytest.mark.parametrize("field", [name for name in ledger.SCHEMA if name not in ("prev", "hash")])
def test_an_edited_field_is_refused(root: Root, field: str) -> None:
    """A valid file with one other value, and the old hash: every field counts."""
    row = filled(root)[2]
    old = getattr(row, field)
    new = (
        old + 1 if isinstance(old, int) else old + timedelta(microseconds=1) if isinstance(old, datetime) else old + "x"
    )
    overwrite(root, dataclasses.replace(row, **{field: new}), at=3)
    refused(root, "row 3 has been changed")


def test_an_edited_row_with_a_new_hash_breaks_the_chain(root: Root) -> None:
    """Who also computes the hash anew is found by the next row."""
    row = filled(root)[2]
    overwrite(root, rehashed(row, reason="another"))
    refused(root, "row 4 does not follow row 3")


def test_a_missing_row_is_refused(root: Root) -> None:
    """A gap is not an end: who read on from it would believe what was true before it."""
    filled(root)
    file(root, 3).unlink()
    refused(root, "row 3 is missing")
    with pytest.raises(Refused, match="row 3 is missing"):
        approve(root)
    assert not file(root, 3).exists()


def test_the_first_row_may_not_be_missing_either(root: Root) -> None:
    """A ledger that begins at 2 is not empty."""
    filled(root)
    file(root, 1).unlink()
    refused(root, "row 1 is missing")


def test_swapped_rows_are_refused(root: Root) -> None:
    """Two files under each other's names, and two rows under each other's numbers."""
    rows = filled(root)
    overwrite(root, rows[2], at=4)
    overwrite(root, rows[3], at=3)
    refused(root, "row 3 has been changed")
    overwrite(root, rehashed(rows[3], seq=3))
    overwrite(root, rehashed(rows[2], seq=4))
    refused(root, "row 3 does not follow row 2")


def test_an_inserted_row_is_refused(root: Root) -> None:
    """A row written by hand after the last, or one repeated, does not follow."""
    rows = filled(root)
    overwrite(root, rows[5], at=7)
    refused(root, "row 7 has been changed")
    overwrite(root, rehashed(rows[5], seq=7))
    refused(root, "row 7 does not follow row 6")


def test_two_rows_in_one_file_are_refused(root: Root) -> None:
    """One row a file, or the file is not one of the ledger's."""
    rows = filled(root)
    file(root, 3).write_bytes(ledger._bytes(rows[2:4]))
    refused(root, "0000000003.parquet holds 2 rows")


def test_a_row_of_a_newer_assay_is_refused(root: Root) -> None:
    """A well-chained row whose action is unknown here is not skipped."""
    rows = filled(root, 2)
    overwrite(root, rehashed(rows[1], action="package.blessed"))
    with pytest.raises(Refused, match=r"'package\.blessed'.*newer assay"):
        ledger.verify(root)


def test_a_process_that_has_read_on_notices_a_tail_that_was_replaced(root: Root) -> None:
    """It knew six rows; another history of seven does not follow them."""
    filled(root)
    assert ledger.head(root) == 6
    for seq in (5, 6):
        file(root, seq).unlink()
    old = ledger._caches.pop(root.path)
    for number in range(3):
        approve(root, f"other {number}")
    ledger._caches[root.path] = old
    with pytest.raises(Refused, match="row 7 has been changed or does not follow"):
        ledger.rows(root)


# Checkpoints


@pytest.fixture
def checkpointed(root: Root, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    monkeypatch.setattr(ledger, "CHECKPOINT_EVERY", 4)
    return filled(root, 10)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are parsed from here on."""
    found: list[str] = []
    real = ledger._parsed

    def parsed(data: bytes, path: Path) -> list[Row]:
        found.append(str(path.relative_to(path.parents[path.parent.name == "checkpoints"])))
        return real(data, path)

    monkeypatch.setattr(ledger, "_parsed", parsed)
    return found


def checkpoint(root: Root, seq: int) -> Path:
    return root.ledger / "checkpoints" / file(root, seq).name


def test_a_checkpoint_is_the_rows(root: Root, checkpointed: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process reads the newest checkpoint, the row it ends in, and what came since: the same rows from fewer files."""
    assert sorted(path.name for path in checkpoint(root, 4).parent.iterdir()) == [
        file(root, 4).name,
        file(root, 8).name,
    ]
    found = reads(monkeypatch)
    assert fresh(root) == checkpointed
    assert found == ["checkpoints/0000000008.parquet", *(file(root, seq).name for seq in (8, 9, 10))]


@pytest.mark.parametrize("harm", ["empty", "cut", "flipped", "edited", "another", "forked"])
def test_a_damaged_checkpoint_is_not_believed(root: Root, checkpointed: list[Row], harm: str, tmp_path: Path) -> None:
    """It is only a cache: whatever is wrong with it, the single files are read, and requests are known as before."""
    path, foreign = checkpoint(root, 8), checkpointed
    good = path.read_bytes()
    if harm == "another":
        foreign = filled(Root.open(tmp_path / "other"), 8)
        path.write_bytes(ledger._bytes(foreign))
    else:
        edited = [*checkpointed[:6], dataclasses.replace(checkpointed[6], reason="another"), checkpointed[7]]
        forked = [*checkpointed[:7], rehashed(checkpointed[7], reason="another")]
        path.write_bytes(
            {
                "empty": b"",
                "cut": good[:500],
                "flipped": good[:900] + bytes([good[900] ^ 1]) + good[901:],
                "edited": ledger._bytes(edited),
                "forked": ledger._bytes(forked),
            }[harm]
        )
    assert fresh(root) == checkpointed
    assert approve(root, "9", request=checkpointed[8].request) == checkpointed[8]
    assert approve(root, "1", request=foreign[0].request).seq == (11 if harm == "another" else 1)
    assert ledger.verify(root) == ledger.head(root)


def test_a_checkpoint_is_not_ahead_of_its_row(root: Root, checkpointed: list[Row]) -> None:
    """If the files end before a checkpoint's number, rows were cut off at the end: refused, not written over."""
    for seq in (8, 9, 10):
        file(root, seq).unlink()
    refused(root, "row 8 is missing")


def test_verifying_reads_the_rows_and_no_checkpoint(root: Root, checkpointed: list[Row]) -> None:
    """A row damaged below a checkpoint is found though readers do not need its file."""
    file(root, 2).write_bytes(b"")
    assert fresh(root) == checkpointed
    with pytest.raises(Refused, match="0000000002"):
        ledger.verify(root)


def test_a_ledger_without_its_checkpoints_is_whole(root: Root, checkpointed: list[Row]) -> None:
    """They may be deleted at any time."""
    shutil.rmtree(root.ledger / "checkpoints")
    assert fresh(root) == checkpointed


# Reading


def test_only_new_files_are_read(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process has read it keeps; what others appended since comes file by file."""
    filled(root, 3)
    fresh(root)
    found = reads(monkeypatch)
    assert len(ledger.rows(root)) == 3
    assert found == []
    ours = ledger._caches.pop(root.path)
    approve(root, "theirs")
    found.clear()
    ledger._caches[root.path] = ours
    assert ledger.rows(root)[-1].body.version == "theirs"
    assert found == [file(root, 4).name]


def test_rows_that_were_handed_out_do_not_grow(root: Root) -> None:
    """A guard decides on what it was given, whatever is appended meanwhile."""
    filled(root, 2)
    seen = ledger.rows(root)
    filled(root, 1)
    assert len(seen) == 2


def test_a_frame_has_every_row(root: Root) -> None:
    """Columns and dtypes are the schema's, times are UTC, and nothing is null."""
    rows = filled(root)
    frame = ledger.frame(root)
    assert frame.schema == ledger.SCHEMA
    assert [Row(*stored) for stored in frame.iter_rows()] == rows
    assert sum(frame.null_count().row(0)) == 0


def test_a_row_file_is_plain_parquet(root: Root) -> None:
    """Any reader opens it, and it is the row."""
    filled(root)
    assert pl.read_parquet(root.ledger / "*.parquet").sort("seq").equals(ledger.frame(root))


@REUSED
@given(
    action=st.sampled_from(["", "package.approved", "due.claimed", ("package.approved", "due.claimed")]),
    subject=st.sampled_from(["", "a", "b"]), digest=st.sampled_from(["", "1", "2"]), environment=st.sampled_from(["", "test"]),
)  # fmt: skip
def test_found_rows_match_everything_that_was_asked(
    root: Root, action: str | tuple[str, ...], subject: str, digest: str, environment: str
) -> None:
    """What is not given does not restrict; the order is the ledger's."""
    if not ledger.head(root):
        for number in range(12):
            asked = {
                "subject": "ab"[number % 2],
                "digest": "12"[number % 3 // 2],
                "environment": ["", "test"][number % 4 // 2],
            }
            body = PackageApproved(str(number)) if number % 5 else DueClaimed("1", "ada")
            ledger.append(
                root, "package.approved" if number % 5 else "due.claimed", body, **asked, actor="ada", now=NOW
            )
    expected = [
        row
        for row in ledger.rows(root)
        if row.action in (action or row.action)
        and row.subject == (subject or row.subject)
        and row.digest == (digest or row.digest)
        and row.environment == (environment or row.environment)
    ]
    assert ledger.find(root, action=action, subject=subject, digest=digest, environment=environment) == expected


def test_one_row_is_asked_by_number(root: Root) -> None:
    """From 1; any other number is NotFound and says how many there are."""
    rows = filled(root, 3)
    assert [ledger.one(root, seq) for seq in (1, 2, 3)] == rows
    for seq in (0, 4, -1):
        with pytest.raises(NotFound, match=f"no ledger row {seq}.*rows 1 to 3"):
            ledger.one(root, seq)


def test_every_refusal_says_what_to_do(root: Root) -> None:
    """A damaged ledger's error ends in its remedy."""
    filled(root)
    file(root, 3).unlink()
    with pytest.raises(AssayError) as caught:
        ledger.verify(root)
    assert caught.value.remedy == "Restore it from a copy."
