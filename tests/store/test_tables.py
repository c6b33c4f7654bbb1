"""The tables' promises: each append once, every version readable, windows without a row too few, and dtypes that stay."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from store import tables
from store.errors import Conflict, InvalidInput, NotFound
from store.layout import Root
from tests.conftest import NOW
from tests.store.registry import racer

SCHEMA = pl.Schema({"k": pl.String(), "at": pl.Datetime("us", "UTC"), "x": pl.Float64()})
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


def batch(*days: float, schema: pl.Schema = SCHEMA) -> pl.DataFrame:
    """One row a day from NOW on, its value the day."""
    drawn = {
        "k": [f"{day}" for day in days],
        "at": [NOW + day * DAY for day in days],
        "x": [float(day) for day in days],
    }
    return pl.DataFrame(drawn, schema=schema)


@pytest.fixture
def path(root: Root) -> Path:
    where = root.group("weather")
    tables.create(where, SCHEMA)
    return where


def same(found: pl.DataFrame, wanted: pl.DataFrame) -> None:
    assert_frame_equal(found, wanted, check_row_order=False)


def together(one: Callable[[int], Any], other: Callable[[int], Any], rounds: int) -> None:
    """Two threads do one thing each at the same moment, some rounds long."""
    start = threading.Barrier(2)

    def work(what: Callable[[int], Any]) -> None:
        for number in range(rounds):
            start.wait()
            what(number)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, what) for what in (one, other)]:
            done.result()


def elsewhere(work: Callable[[], Any]) -> None:
    """In another thread, as another process would: no handle of ours moves with it."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


# Creating


def test_a_created_table_is_empty_and_typed(path: Path) -> None:
    """It exists, has version 0, no file, no row, and the columns in their order."""
    assert tables.exists(path)
    assert (tables.version(path), tables.files(path), tables.schema(path)) == (0, [], SCHEMA)
    same(tables.read(path), pl.DataFrame(schema=SCHEMA))
    same(tables.read(path, columns=["x", "k"]), pl.DataFrame(schema={"x": pl.Float64(), "k": pl.String()}))


def test_creating_again_changes_nothing(path: Path) -> None:
    """Not the rows, and not the columns."""
    tables.append(path, batch(1))
    tables.create(path, pl.Schema({"other": pl.Int64()}))
    assert tables.version(path) == 1
    same(tables.read(path), batch(1))


def test_of_two_who_create_a_table_one_does(root: Root) -> None:
    """At the same moment and with other columns: one creation is committed, and its columns stay."""
    paths, other = [root.group(f"raced_{number}") for number in range(8)], pl.Schema({"other": pl.Int64()})
    together(lambda number: tables.create(paths[number], SCHEMA), lambda number: tables.create(paths[number], other), 8)
    for path in paths:
        assert tables.version(path) == 0
        assert tables.schema(path) in (SCHEMA, other)


def test_a_table_that_was_deleted_and_made_anew_is_another(path: Path) -> None:
    """Nothing of the old one is remembered: not its columns, not its versions, not its rows."""
    for day in (1, 2, 3):
        tables.append(path, batch(day))
    shutil.rmtree(path)
    other = pl.Schema({"other": pl.Int64()})
    tables.create(path, other)
    assert (tables.version(path), tables.schema(path)) == (0, other)
    tables.append(path, pl.DataFrame({"other": [7]}))
    same(tables.read(path), pl.DataFrame({"other": [7]}))


@pytest.mark.parametrize("ask", [tables.read, tables.version, tables.schema, tables.files, tables.compact])
def test_no_table_is_not_found(root: Root, ask: Any) -> None:
    """The error says where, and what makes one; asking whether it exists is no error."""
    where = root.group("nothing")
    with pytest.raises(NotFound, match=f"no table at {where}.*Ingest or collect"):
        ask(where)
    assert not tables.exists(where)
    assert tables.transaction(where, "w") is None


# Appending


def test_rows_come_back(path: Path) -> None:
    """Columns in any order, nulls kept, and every append is a version."""
    first = batch(1, 2)
    second = pl.DataFrame({"k": ["a", None], "at": [NOW, None], "x": [None, float("nan")]}, schema=SCHEMA)
    assert tables.append(path, first.select("x", "at", "k")) == 1
    assert tables.append(path, second) == tables.version(path) == 2
    same(tables.read(path), pl.concat([first, second]))


def test_no_rows_are_no_version(path: Path) -> None:
    """Unless they come with a transaction, which must be remembered."""
    assert tables.append(path, batch()) == 0
    assert tables.append(path, batch(), transaction=("w", 1)) == 1
    assert tables.transaction(path, "w") == 1


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (batch(1).drop("x"), r"missing \['x'\], unknown nothing.*columns: k, at, x"),
        (batch(1).with_columns(y=1, z=2), r"missing nothing, unknown \['y', 'z'\]"),
        (batch(1).rename({"x": "X"}), r"missing \['x'\], unknown \['X'\]"),
        (batch(1).cast({"x": pl.Float32}), r"x is Float32, not Float64.*Cast"),
        (batch(1).cast({"x": pl.Int64, "k": pl.Categorical}), "k is Categorical, not String; x is Int64, not Float64"),
        (batch(1).with_columns(pl.col("at").dt.replace_time_zone(None)), "at is Datetime.*not Datetime.*UTC"),
        (
            batch(1).with_columns(pl.col("at").dt.convert_time_zone("Europe/Berlin")),
            "at is Datetime.*Berlin.*not Datetime.*UTC",
        ),
        (batch(1).with_columns(pl.col("at").dt.cast_time_unit("ns")), "at is Datetime.*ns.*not Datetime.*us"),
        (batch().drop("x"), r"missing \['x'\]"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(path: Path, frame: pl.DataFrame, says: str) -> None:
    """Missing, unknown and other columns are named, also where there is no row; nothing is appended."""
    for attempt in (lambda: tables.append(path, frame), lambda: tables.extend(path, frame, after=0)):
        with pytest.raises(InvalidInput, match=f"do not fit the table weather: .*{says}"):
            attempt()
    assert tables.version(path) == 0


def test_a_transaction_is_applied_once(path: Path) -> None:
    """The same number, or a lower one, adds nothing whatever the rows; a higher one, or another writer, does."""
    assert tables.append(path, batch(1), transaction=("w", 3)) == 1
    assert tables.append(path, batch(2), transaction=("w", 3)) == 1
    assert tables.append(path, batch(3), transaction=("w", 2)) == 1
    assert tables.append(path, batch(4), transaction=("w", 4)) == 2
    assert tables.append(path, batch(5), transaction=("v", 1)) == 3
    same(tables.read(path), batch(1, 4, 5))
    assert tables.transactions(path, ["w", "v", "u"]) == {"w": 4, "v": 1}
    assert [tables.transaction(path, "w", version) for version in (0, 1, 2)] == [None, 3, 4]


def test_a_writer_who_lost_the_race_looks_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process commits the same transaction between our look and our write: it is there once."""
    real = write_deltalake

    def overtaken(*given: Any, **asked: Any) -> None:
        monkeypatch.setattr(tables, "write_deltalake", real)
        elsewhere(lambda: tables.append(path, batch(1), transaction=("w", 1)))
        real(*given, **asked)

    monkeypatch.setattr(tables, "write_deltalake", overtaken)
    assert tables.append(path, batch(1), transaction=("w", 1)) == 1
    same(tables.read(path), batch(1))


def test_endless_races_end_in_a_conflict(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty attempts lost: the caller is told to run again, instead of waiting for ever."""
    attempts: list[int] = []

    def lost(*_: Any, **__: Any) -> None:
        attempts.append(1)
        raise CommitFailedError("lost")

    monkeypatch.setattr(tables, "write_deltalake", lost)
    with pytest.raises(Conflict, match=r"append to weather.*20 attempts.*again"):
        tables.append(path, batch(1))
    assert len(attempts) == 20


def test_two_processes_append_each_batch_once(root: Root) -> None:
    """Both bring their own and a shared writer's batches, each twice, into a table both create: every batch is there once."""
    did = racer.race(root, ["ann", "ben"], "fill")
    path = root.group("raced")
    assert [tables.version(root.group(f"raced_{number}")) for number in range(racer.TABLES)] == [0] * racer.TABLES
    found = Counter(tables.read(path).select("writer", "batch").iter_rows())
    wanted = {(writer, number): 2 for writer in ("ann", "ben", "shared") for number in range(1, 11)}
    assert found == wanted
    assert tables.version(path) == 30
    assert tables.transactions(path, ["ann", "ben", "shared"]) == {"ann": 10, "ben": 10, "shared": 10}
    assert all(one["versions"] == sorted(one["versions"]) for one in did)


def test_extending_is_compare_and_set(path: Path) -> None:
    """Only while the version one has read is the newest; what did not go in left no transaction either."""
    assert tables.extend(path, batch(1), after=0, transactions=[("w", 1), ("v", 7)])
    assert not tables.extend(path, batch(2), after=0, transactions=[("w", 2)])
    assert tables.transactions(path, ["w", "v"]) == {"w": 1, "v": 7}
    same(tables.read(path), batch(1))


def test_extending_loses_to_who_commits_in_between(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit between our look and our write: False, and only theirs is there."""
    real = write_deltalake

    def overtaken(*given: Any, **asked: Any) -> None:
        monkeypatch.setattr(tables, "write_deltalake", real)
        elsewhere(lambda: tables.append(path, batch(1)))
        real(*given, **asked)

    monkeypatch.setattr(tables, "write_deltalake", overtaken)
    assert not tables.extend(path, batch(2), after=0, transactions=[("w", 1)])
    same(tables.read(path), batch(1))


# Reading


INSTANTS = st.integers(-3_000_000, 3_000_000).map(lambda us: NOW + timedelta(microseconds=us))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bounds=st.lists(st.tuples(st.none() | INSTANTS, st.none() | INSTANTS), min_size=4, max_size=4),
    batches=st.lists(st.lists(st.none() | INSTANTS, min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_a_window_is_the_filter(
    tmp_path_factory: pytest.TempPathFactory,
    bounds: list[tuple[datetime | None, datetime | None]],
    batches: list[list[datetime | None]],
) -> None:
    """Leaving files out by their statistics (whole milliseconds) loses no row of ``start <= at < end``, at any microsecond."""
    where = tmp_path_factory.mktemp("window") / "table"
    tables.create(where, SCHEMA)
    frames = [pl.DataFrame({"k": "", "at": some, "x": 0.0}, schema=SCHEMA) for some in batches]
    for frame in frames:
        tables.append(where, frame)
    edges = [instant for some in batches for instant in some if instant is not None]
    bounds = bounds + [(instant, instant + MICROSECOND) for instant in edges]
    for start, end in bounds:
        wanted = pl.concat(frames)
        if start is not None:
            wanted = wanted.filter(pl.col("at") >= start)
        if end is not None:
            wanted = wanted.filter(pl.col("at") < end)
        same(tables.read(where, column="at", start=start, end=end), wanted)


def test_a_window_reads_only_the_files_that_can_hold_it(path: Path) -> None:
    """Ten days in ten files: a day's window needs one, and a window with nothing in it none."""
    for day in range(10):
        tables.append(path, batch(day, day + 0.5))
    assert len(tables.files(path)) == 10
    (one,) = tables.files(path, column="at", start=NOW + 3 * DAY, end=NOW + 3.9 * DAY)
    assert one in tables.files(path)
    assert len(tables.files(path, column="at", start=NOW + 8 * DAY)) == 2
    assert len(tables.files(path, column="at", end=NOW + 1.9 * DAY)) == 2
    assert tables.files(path, column="at", start=NOW + 20 * DAY) == []
    same(tables.read(path, column="at", start=NOW + 20 * DAY), batch())


def test_a_window_may_ask_for_other_columns_than_its_own(path: Path) -> None:
    """The column of the window need not be among those that come back, and their order is the asked one."""
    tables.append(path, batch(1, 2, 3))
    same(tables.read(path, columns=["x", "k"], column="at", start=NOW + 2 * DAY), batch(2, 3).select("x", "k"))


def test_files_are_plain_paths_in_a_fixed_order(tmp_path: Path) -> None:
    """Also where the folder's name has a space, a quote and a letter beyond ASCII: anybody can open them."""
    where = tmp_path / "a table's ü"
    tables.create(where, SCHEMA)
    for day in range(3):
        tables.append(where, batch(day))
    found = tables.files(where)
    assert found == sorted(found) == tables.files(where, column="at", start=NOW)
    assert all(Path(name).is_file() for name in found)
    same(pl.read_parquet(found), batch(0, 1, 2))


def test_microseconds_and_zones_survive(path: Path) -> None:
    """An instant comes back to the microsecond, in UTC."""
    instant = datetime(2013, 11, 3, 5, 59, 59, 999_999, tzinfo=UTC)
    tables.append(path, pl.DataFrame({"k": ["a"], "at": [instant], "x": [1.0]}, schema=SCHEMA))
    found = tables.read(path)
    assert (found["at"].item(), found.schema) == (instant, SCHEMA)


# Versions


def test_a_version_is_what_it_was(path: Path) -> None:
    """Whatever is appended later, an older version has its own rows and files."""
    for day in (1, 2, 3):
        tables.append(path, batch(day))
    for version in range(4):
        same(tables.read(path, version=version), batch(*range(1, version + 1)))
        assert len(tables.files(path, version=version)) == version


def test_a_version_that_never_was_is_not_found(path: Path) -> None:
    """The error says which there are."""
    tables.append(path, batch(1))
    for version in (2, 99):
        with pytest.raises(NotFound, match=f"weather has no version {version}.*0 to 1"):
            tables.read(path, version=version)


def test_compacting_keeps_every_version_readable(path: Path) -> None:
    """Fewer files, the same rows, now and in each version before; what writers have done is still known."""
    for day in range(5):
        tables.append(path, batch(day), transaction=("w", day))
    tables.compact(path)
    assert len(tables.files(path)) == 1
    assert tables.version(path) == 6
    for version in range(6):
        same(tables.read(path, version=version), batch(*range(version)))
    same(tables.read(path), batch(*range(5)))
    same(tables.read(path, column="at", start=NOW + 3 * DAY), batch(3, 4))
    assert tables.append(path, batch(9), transaction=("w", 4)) == 6


def test_two_who_compact_lose_and_repeat_no_row(root: Root) -> None:
    """At the same moment: one does it, the other finds it done. (Left to itself, Delta then holds every row twice.)"""
    paths = [root.group(f"raced_{number}") for number in range(4)]
    for path in paths:
        tables.create(path, SCHEMA)
        for day in range(3):
            tables.append(path, batch(day))
    together(lambda number: tables.compact(paths[number]), lambda number: tables.compact(paths[number]), 4)
    for path in paths:
        same(tables.read(path), batch(0, 1, 2))
        assert len(tables.files(path)) == 1


def test_rows_that_come_while_compacting_stay(path: Path) -> None:
    """Appends and a compaction at the same moment: every row is there once."""
    for day in range(3):
        tables.append(path, batch(day))
    together(lambda number: tables.append(path, batch(3 + number)), lambda _: tables.compact(path), 3)
    same(tables.read(path), batch(*range(6)))


def test_compacting_nothing_changes_nothing(path: Path) -> None:
    """An empty table, and one of a single file, stay as they are."""
    tables.compact(path)
    assert tables.version(path) == 0
    tables.append(path, batch(1))
    tables.compact(path)
    assert tables.version(path) == 1


# Widening


def test_two_who_widen_a_table_both_do(root: Root) -> None:
    """At the same moment, one column in common and one each: all three are there."""
    paths = [root.group(f"raced_{number}") for number in range(4)]
    for path in paths:
        tables.create(path, SCHEMA)
    ours, theirs = (pl.Schema({"both": pl.String(), name: pl.Int64()}) for name in ("ours", "theirs"))
    together(lambda number: tables.widen(paths[number], ours), lambda number: tables.widen(paths[number], theirs), 4)
    for path in paths:
        assert set(tables.schema(path)) == {*SCHEMA, "both", "ours", "theirs"}


def test_a_widened_table_has_null_in_its_older_rows(path: Path) -> None:
    """New columns come last, a column left out stays, and both kinds of rows are read together."""
    tables.append(path, batch(1))
    tables.widen(path, pl.Schema({"x": pl.Float64(), "y": pl.Int64()}))
    assert tables.schema(path) == pl.Schema({**SCHEMA, "y": pl.Int64()})
    tables.append(path, batch(2).with_columns(y=pl.lit(7, pl.Int64)))
    same(tables.read(path), batch(1, 2).with_columns(y=pl.Series([None, 7], dtype=pl.Int64)))
    version = tables.version(path)
    tables.widen(path, pl.Schema({"y": pl.Int64()}))
    assert tables.version(path) == version


def test_who_loses_every_race_to_widen_is_told_to_come_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty times another writer adds a column between our look and our change; theirs are there, ours is not."""

    class Overtaken:
        """Delta's ``Schema``, whose making is the last that happens before our change is committed."""

        @staticmethod
        def from_arrow(wanted: Any) -> Schema:
            theirs = tables._arrow(pl.Schema({f"theirs_{tables.version(path)}": pl.Int64()}))
            elsewhere(lambda: DeltaTable(str(path)).alter.add_columns(Schema.from_arrow(theirs).fields))
            return Schema.from_arrow(wanted)

    monkeypatch.setattr(tables, "Schema", Overtaken)
    with pytest.raises(Conflict) as lost:
        tables.widen(path, pl.Schema({"ours": pl.Int64()}))
    assert lost.value.asked == "Could not widen weather."
    assert (lost.value.exists, lost.value.remedy) == ("20 attempts lost to other writers.", "Run it again.")
    assert set(tables.schema(path)) == {*SCHEMA, *(f"theirs_{number}" for number in range(20))}


def test_a_column_keeps_its_dtype(path: Path) -> None:
    """Another dtype under the same name is a Conflict that names both, and nothing is added."""
    with pytest.raises(Conflict, match=r"weather cannot change: x is Float64, not String.*another name"):
        tables.widen(path, pl.Schema({"x": pl.String(), "y": pl.Int64()}))
    assert tables.schema(path) == SCHEMA


def test_other_engines_read_the_table(path: Path) -> None:
    """It is a Delta table like any other."""
    tables.append(path, batch(1, 2))
    assert DeltaTable(str(path)).to_pyarrow_table().num_rows == 2


def test_files_that_no_wanted_version_has_are_unreached(path: Path) -> None:
    """After a compaction the small files are; a version that is asked for, or was the newest at that time, keeps its own."""
    for day in range(3):
        tables.append(path, batch(day))
    small = {Path(file) for file in tables.files(path)}
    pinned = tables.version(path) - 1
    tables.compact(path)
    before, now = datetime.now(UTC) - DAY, datetime.now(UTC) + DAY
    assert tables.unreached(path, [], before=before) == []
    assert set(tables.unreached(path, [], before=now)) == small
    assert set(tables.unreached(path, [pinned], before=now)) == small - {
        Path(file) for file in tables.files(path, version=pinned)
    }
    with pytest.raises(NotFound, match="no version 99"):
        tables.unreached(path, [99], before=now)


def test_a_version_whose_log_is_gone_is_not_cleaned_around(path: Path) -> None:
    """Another engine removed the log behind its checkpoint: which files the version needs is not known, so none is named."""
    for day in range(3):
        tables.append(path, batch(day))
    DeltaTable(str(path)).create_checkpoint()
    (path / "_delta_log" / f"{1:020d}.json").unlink()
    with pytest.raises(NotFound) as refused:
        tables.unreached(path, [1], before=datetime.now(UTC) + DAY)
    assert refused.value.asked == "Version 1 of the table weather cannot be read any more."
    assert refused.value.exists == f"The table lies at {path}, its newest version is 3."
    assert refused.value.remedy == "Restore its _delta_log from a copy."
