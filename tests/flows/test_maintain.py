"""Housekeeping removes what nobody can reach, says so first, and nothing else."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from flows import maintain
from flows.pipeline import Use
from store import blobs, clock, ledger, tables
from store.actions import PackageApproved, PackageRefused, ReportDrawn
from store.errors import InvalidInput, NotFound, Refused
from store.features import snapshot, write
from store.layout import Root, write_atomically
from store.registry import aliases
from store.traffic import collect, outcomes, predictions, spool
from tests.flows.building import DAY, END, HOUR, ORDERS, SALES, START, orders, sales

LONG_AGO = timedelta(days=30)
MANIFEST = {
    "request": {"shop": "String"}, "outcome": {"sold": "Float64"}, "key": ["shop"], "columns": ["shop"],
}  # fmt: skip


def aged(path: Path, by: timedelta = LONG_AGO) -> Path:
    """The file or folder as if it had been written so long ago."""
    then = clock.wall().timestamp() - by.total_seconds()
    for one in [*path.rglob("*"), path]:
        os.utime(one, (then, then))
    return path


def put(root: Root, data: bytes, by: timedelta = LONG_AGO) -> str:
    sha = blobs.put(root, data)
    aged(blobs.path(root, sha), by)
    return sha


def refused(root: Root, digest: str, sentence: str = "") -> None:
    """A ledger row that names a digest."""
    body = PackageRefused("1", "", [], sentence)
    ledger.append(root, "package.refused", body, subject="tiny", digest=digest, actor="test", now=START)


def contents(root: Root) -> dict[str, tuple[int, int]]:
    """Every file's size and time; its bytes are not read, for that is what keeps a cache."""
    found = {str(path.relative_to(root.path)): path.stat() for path in root.path.rglob("*") if path.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


# ---- blobs ----------------------------------------------------------------------------------------------------------


def test_a_blob_that_no_row_reaches_goes_and_every_other_stays(root: Root) -> None:
    """Named by a row, named in its payload, named by a JSON blob that is named: all reached. The orphan is not."""
    deep = put(root, b"the spine of a snapshot")
    manifest = put(root, blobs.canonical({"spine_blob": deep, "uses": []}))
    top = put(root, blobs.canonical([{"manifest": manifest}]))
    spoken = put(root, b"named in a sentence")
    orphan = put(root, b"left by a killed run")
    refused(root, top, f"see {spoken}")
    found = maintain.run(root)
    assert set(blobs.listed(root)) == {deep, manifest, top, spoken, ledger.rows(root)[-1].digest}
    assert (found.removed["blobs"], found.bytes) == (1, len(b"left by a killed run"))
    with pytest.raises(NotFound):
        blobs.get(root, orphan)


def test_a_binary_blob_reaches_nothing(root: Root) -> None:
    """Only JSON names blobs: digits in a model are no reference."""
    orphan = put(root, b"left")
    refused(root, put(root, b"PK " + orphan.encode()))
    maintain.run(root)
    assert orphan not in blobs.listed(root)


def test_what_is_younger_than_the_grace_stays(root: Root) -> None:
    """Its row may be about to be written; the grace is the caller's."""
    young, old = put(root, b"a day old", DAY), put(root, b"three days old", 3 * DAY)
    maintain.run(root)
    assert set(blobs.listed(root)) == {young, old}
    maintain.run(root, grace=2 * DAY)
    assert young in blobs.listed(root)
    assert old not in blobs.listed(root)


def test_a_grace_under_an_hour_is_refused(root: Root) -> None:
    """A flow may take that long between bytes and row."""
    with pytest.raises(InvalidInput, match="too short"):
        maintain.run(root, grace=timedelta(minutes=59))


def test_a_list_of_what_went_reaches_nothing_but_stays_itself(root: Root) -> None:
    """Else what was removed once could never be removed again; and the row's own blob is there to be read."""
    sha = put(root, b"left")
    maintain.run(root)
    (row,) = ledger.find(root, action="root.maintained")
    (listed,) = blobs.get_json(root, row.digest)
    assert (listed["name"], listed["kind"], listed["bytes"]) == (sha, "blobs", 4)
    aged(blobs.path(root, row.digest))
    put(root, b"left")
    maintain.run(root)
    assert sha not in blobs.listed(root)
    assert row.digest in blobs.listed(root)


def test_a_blob_taken_up_again_meanwhile_stays(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the list and the removal somebody renews it."""
    sha = put(root, b"wanted after all")
    recorded = maintain.record

    def renewing(*given: object) -> None:
        recorded(*given)
        os.utime(blobs.path(root, sha))

    monkeypatch.setattr(maintain, "record", renewing)
    maintain.run(root)
    assert blobs.get(root, sha) == b"wanted after all"


# ---- tables ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def fragmented(bakery_copy: Root) -> Root:
    """The bakeries with twenty more commits of sales, and a training set frozen in their midst."""
    for number in range(20):
        if number == 10:
            frozen(bakery_copy)
        start = END + number * HOUR
        write.write(bakery_copy, SALES, sales(start, start + HOUR), now=start + DAY)
    return bakery_copy


def frozen(root: Root) -> snapshot.Snapshot:
    spine = orders().select("order_id", "shop", "event_time")
    return snapshot.freeze(
        root,
        spine,
        [Use("sales", ("amount",))],
        pipeline="bakery",
        window_start=START,
        window_end=END,
        actor="test",
        now=END,
    )


def test_a_table_of_many_small_files_becomes_few_and_says_the_same(fragmented: Root) -> None:
    """Its rows and its table name are told; one of few files is left as it is."""
    path = fragmented.group("sales")
    before, orders_version = tables.read(path), tables.version(fragmented.group(ORDERS.name))
    found = maintain.run(fragmented)
    assert found.compacted == {"features/sales": 21}
    assert len(tables.files(path)) == 1
    assert_frame_equal(tables.read(path), before, check_row_order=False)
    assert tables.version(fragmented.group(ORDERS.name)) == orders_version


def test_files_of_a_frozen_training_set_stay_and_those_nobody_needs_go(fragmented: Root) -> None:
    """Ten files are the snapshot's; the others of the twenty went into the compacted one."""
    taken = frozen_id(fragmented)
    content = snapshot.rebuild(fragmented, taken)
    path = fragmented.group("sales")
    assert maintain.run(fragmented).removed["table_files"] == 0  # they were there a moment ago
    aged(path)
    found = maintain.run(fragmented)
    assert found.removed["table_files"] == 10
    assert len(list(path.glob("*.parquet"))) == 12
    assert_frame_equal(snapshot.rebuild(fragmented, taken), content)
    assert tables.read(path).height == 288 + 40


def frozen_id(root: Root) -> str:
    (row,) = ledger.find(root, action="snapshot.frozen")
    return row.digest


def test_a_version_that_was_the_newest_within_the_grace_keeps_its_files(fragmented: Root) -> None:
    """A reader may still hold it, however old its files are."""
    path = fragmented.group("sales")
    before = tables.files(path)
    maintain.run(fragmented)
    for file in path.glob("*.parquet"):
        aged(file)
    assert maintain.run(fragmented).removed["table_files"] == 0
    assert all(Path(file).exists() for file in before)


def test_what_a_killed_writer_never_committed_goes(fragmented: Root) -> None:
    """A parquet file of no version."""
    stray = aged_file(fragmented.group("orders") / "part-00000-stray.parquet")
    assert maintain.run(fragmented).removed["table_files"] == 1
    assert not stray.exists()


def test_a_table_whose_pinned_version_cannot_be_read_is_left_alone(fragmented: Root) -> None:
    """What is there may be what is left of it."""
    maintain.run(fragmented)
    path = fragmented.group("sales")
    aged(path)
    DeltaTable(str(path)).create_checkpoint()
    for log in sorted((path / "_delta_log").glob("*.json"))[:-1]:
        log.unlink()
    before = sorted(path.glob("*.parquet"))
    assert maintain.run(fragmented).removed["table_files"] == 0
    assert sorted(path.glob("*.parquet")) == before


def aged_file(path: Path, data: bytes = b"left") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return aged(path)


# ---- spool ----------------------------------------------------------------------------------------------------------


def spooled(root: Root, *numbers: int, kind: str = "prediction") -> None:
    writer = spool.Writer(root, "production", "tiny")
    for n in numbers:
        asked = predictions.record(
            prediction_id=f"p{n}", received_at=START, recorded_at=START, model="m", package="k", request={"shop": "east"},
            served={"shop": "east"}, prediction=1.0,
        )  # fmt: skip
        told = outcomes.record(
            outcome_id=f"o{n}", received_at=START, recorded_at=START, prediction_id=f"p{n}", outcome={"sold": 1.0}
        )
        writer.append([orjson.dumps(asked if kind == "prediction" else told)])
    writer.close()


def test_a_collected_segment_goes_and_one_that_is_only_in_the_spool_stays(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever kind its records are: a segment of outcomes alone counts only when the outcomes are in their table."""
    spooled(root, 1, 2)
    with monkeypatch.context() as killed:  # a collection that was killed before it deleted what it had
        killed.setattr(spool, "remove_consumed", lambda *_: [])
        collect.drain(root, "production", "tiny", MANIFEST)
    spooled(root, 3)
    spooled(root, 4, kind="outcome")
    assert len(spool.segments(root, "production", "tiny")) == 3
    found = maintain.run(root)
    assert found.removed["segments"] == 1
    assert len(spool.segments(root, "production", "tiny")) == 2
    drained = collect.drain(root, "production", "tiny", MANIFEST)
    assert (drained.predictions.height, drained.outcomes.height) == (1, 1)
    assert predictions.read(root, "production", "tiny")["prediction_id"].to_list() == ["p1", "p2", "p3"]


def test_a_segment_that_a_service_still_writes_stays(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds a lock on it."""
    spooled(root, 1)
    with monkeypatch.context() as killed:
        killed.setattr(spool, "remove_consumed", lambda *_: [])
        collect.drain(root, "production", "tiny", MANIFEST)
    (segment,) = spool.segments(root, "production", "tiny")
    with open(segment) as held:
        maintain_flock(held.fileno())
        assert maintain.run(root).removed["segments"] == 0
    assert maintain.run(root).removed["segments"] == 1
    assert not segment.exists()


def maintain_flock(file: int) -> None:
    spool.fcntl.flock(file, spool.fcntl.LOCK_EX)


def test_a_damaged_segment_is_left_for_collect_to_name(root: Root) -> None:
    """Housekeeping goes on; nothing of it is removed."""
    spooled(root, 1)
    collect.drain(root, "production", "tiny", MANIFEST)
    spooled(root, 2)
    (segment,) = spool.segments(root, "production", "tiny")
    segment.write_bytes(segment.read_bytes().replace(b"east", b"west"))
    orphan = put(root, b"left")
    maintain.run(root)
    assert segment.exists()
    assert orphan not in blobs.listed(root)
    with pytest.raises(Refused, match=segment.name):
        collect.drain(root, "production", "tiny", MANIFEST)


# ---- caches, leftovers, the ledger ----------------------------------------------------------------------------------


def test_cached_code_goes_unless_an_alias_points_at_its_package(root: Root) -> None:
    """A service of that package may import from there at any time. What was read within the grace stays too."""
    deployed, other = put(root, b"a wheel"), put(root, b"another wheel")
    publish(root, deployed)
    for name in (f"packages/{deployed}", f"packages/{other}", "sources/tiny-1234", "sources/tiny-5678"):
        aged_file(root.cache / name / "tiny" / "__init__.py")
        aged(root.cache / name)
    os.utime(root.cache / "sources" / "tiny-5678" / "tiny" / "__init__.py", (clock.wall().timestamp(), 0))
    assert maintain.run(root).removed["caches"] == 2
    assert sorted(path.name for path in root.cache.glob("*/*")) == sorted([deployed, "tiny-5678"])


def publish(root: Root, digest: str) -> None:
    """The wheel as the package production runs."""
    golden = Path(__file__).parent.parent / "store" / "golden_ledger.json"
    stored = next(one for one in orjson.loads(golden.read_bytes()) if one["action"] == "package.published")
    body = maintain.ledger.actions.payload("package.published", orjson.loads(stored["payload"]))
    ledger.append(root, "package.published", body, subject="tiny", digest=digest, actor="test", now=START)
    aliases.move(
        root, "package.delivered", pipeline="tiny", environment="production", alias=aliases.DEPLOYED, digest=digest, label="1",
        expected=None, actor="test", now=START, reason="a test",
    )  # fmt: skip


def test_temporary_files_of_killed_writers_go_and_the_inbox_is_left_alone(root: Root) -> None:
    """What each writer writes under before it has its name; a claimed batch of the inbox is work that ingest finishes."""
    left = [
        aged_file(root.path / name)
        for name in (
            ".clock.4711.140", "online/pace/.4711.140.sqlite", "ledger/0000000042.parquet#1", f"blobs/sha256/ab/{'ab' * 32}#2",
            "features/pace/_delta_log/_commit_1f2e.json.tmp", "cache/packages/.filling-x1/content/a.py",
            "spool/production/tiny/.1700000000-4711-0a1b2c3d.jsonl",
        )
    ]  # fmt: skip
    aged(root.cache / "packages" / ".filling-x1")
    kept = [
        aged_file(root.path / name)
        for name in ("inbox/sales/.taken-1f2e/.a.1.2", "inbox/sales/.lock", "inbox/sales/new.parquet", "clock")
    ]
    write_atomically(root.path / "online" / "pace" / "pace.json", b"{}")
    young = root.path / ".young.1.2"
    young.write_bytes(b"")
    kept[-1].write_text(START.isoformat())
    found = maintain.run(root)
    assert found.removed["leftovers"] == len(left)
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in (*kept, young, root.path / "online" / "pace" / "pace.json"))


def test_the_ledger_is_checkpointed_when_enough_rows_came_and_verifies(root: Root) -> None:
    """A process that has read nothing begins at the checkpoint; of older ones, one stays."""
    for round in range(3):
        for number in range(maintain.CHECKPOINT_AFTER):
            body = PackageApproved(f"{round}.{number}")
            ledger.append(root, "package.approved", body, subject="tiny", actor="test", now=START)
        assert maintain.run(root).checkpoint == (round + 1) * maintain.CHECKPOINT_AFTER
    assert maintain.run(root).checkpoint is None
    stems = sorted(int(path.stem) for path in (root.ledger / "checkpoints").glob("*"))
    assert stems == [128, 192]
    ledger._caches.clear()
    assert ledger.verify(root) == len(ledger.rows(root)) == 192


# ---- the run --------------------------------------------------------------------------------------------------------


def untidy(root: Root) -> Root:
    """One thing of each kind to remove, and a table to compact."""
    maintain.run(root)
    aged(root.group("sales"))
    put(root, b"left")
    aged_file(root.path / ".clock.1.2")
    aged_file(root.cache / "sources" / "tiny-1" / "tiny" / "__init__.py")
    aged(root.cache / "sources" / "tiny-1")
    return root


def test_a_dry_run_tells_what_a_run_then_does_and_changes_nothing(fragmented: Root) -> None:
    """The same counts and bytes."""
    root = untidy(fragmented)
    for number in range(20, 20 + maintain.MANY_FILES):
        write.write(root, SALES, sales(END + number * HOUR, END + (number + 1) * HOUR), now=END + 2 * DAY)
    before = contents(root)
    told = maintain.run(root, dry_run=True)
    assert contents(root) == before
    done = maintain.run(root)
    assert (told.removed, told.bytes, told.compacted) == (done.removed, done.bytes, done.compacted)
    assert list(done.compacted) == ["features/sales"]
    assert min(done.removed[kind] for kind in ("blobs", "table_files", "caches", "leftovers")) > 0
    assert ("would go" in told.sentence, "removed" in done.sentence) == (True, True)


def test_a_second_run_finds_nothing_and_writes_no_row(fragmented: Root) -> None:
    """A daily run of a tidy root leaves no trace."""
    root = untidy(fragmented)
    maintain.run(root)
    head = ledger.head(root)
    assert sum(maintain.run(root).removed.values()) == 0
    assert ledger.head(root) == head


def test_what_goes_is_in_the_ledger_before_it_goes(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, everything is still there, and the next run lists and removes it."""
    sha = put(root, b"left")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(maintain, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            maintain.run(root)
    (row,) = ledger.find(root, action="root.maintained")
    assert (row.body.blobs, row.body.bytes, row.body.grace_seconds) == (1, 4, maintain.GRACE.total_seconds())
    assert sha in blobs.listed(root)
    maintain.run(root)
    assert sha not in blobs.listed(root)


def test_a_root_that_was_maintained_still_answers(fragmented: Root) -> None:
    """Ledger, snapshot and facts, read afresh."""
    report = put(fragmented, b"<html>")
    body = ReportDrawn("drift", "", "", 1, 1)
    ledger.append(fragmented, "report.drawn", body, subject="bakery", digest=report, actor="test", now=END)
    facts = write.rows(fragmented, SALES, START, END + 20 * HOUR)
    root = untidy(fragmented)
    maintain.run(root)
    ledger._caches.clear()
    ledger.verify(root)
    assert_frame_equal(write.rows(root, SALES, START, END + 20 * HOUR), facts)
    assert snapshot.rebuild(root, frozen_id(root)).height == orders().height
    assert blobs.get(root, report) == b"<html>"
