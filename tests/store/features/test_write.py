"""The write door's promises: one declaration a version, one row a fact, instants in UTC, dtypes without loss."""

from __future__ import annotations

import dataclasses
import itertools
import math
import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from store import ledger, tables
from store.errors import Conflict, InvalidInput, NotFound
from store.features import group as groups
from store.features.group import ROW_HASH, TIME, Group
from store.features.join import Use, join
from store.features.write import OFF_RULE, TIED, declare, row_hash, rows, write
from store.layout import Root
from tests.store.features import oracle

NOW = datetime(2020, 1, 1, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
GROUP = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, delay=DAY)
FOREVER = (NOW - 9_999 * DAY, NOW + 9_999 * DAY)


def declared(root: Root, group: Group = GROUP) -> Group:
    declare(root, group, derivation="d" * 64, actor="test", now=NOW)
    return group


def batch(*days: int, **columns: Any) -> pl.DataFrame:
    """One row a day from NOW, key 1, value = day, unless said otherwise."""
    count = len(days)
    drawn = {"k": [1] * count, "event_time": [NOW + day * DAY for day in days], "v": list(days)}
    return pl.DataFrame({**drawn, **columns})


def stored(root: Root, group: Group = GROUP) -> int:
    return tables.read(groups.path(root, group)).height


# Declaring


def test_a_declaration_is_recorded_once(root: Root) -> None:
    """The same again changes nothing, another description neither; the table has the group's schema."""
    declared(root)
    declared(root)
    declared(root, dataclasses.replace(GROUP, description="in words"))
    (row,) = ledger.find(root, action="group.declared")
    assert (row.subject, row.digest, row.body.version) == ("weather", "d" * 64, 1)
    assert tables.schema(groups.path(root, GROUP)) == GROUP.schema
    assert groups.load(root, "weather") == GROUP


@pytest.mark.parametrize(
    "change",
    [
        {"values": {"v": pl.Int32()}},
        {"keys": {"l": pl.Int64()}},
        {"ttl": DAY},
        {"delay": timedelta(0)},
        {"zone": "UTC"},
    ],
)
def test_a_version_stands_for_one_declaration(root: Root, change: dict[str, Any]) -> None:
    """Other columns, ttl, delay or zone under the same version are refused, at declaring and at writing."""
    declared(root)
    with pytest.raises(Conflict, match=rf"stands with another {next(iter(change))}.*Raise `version` to 2"):
        declared(root, dataclasses.replace(GROUP, **change))
    with pytest.raises(Conflict, match=r"another declaration of weather@1.*higher `version`"):
        write(root, dataclasses.replace(GROUP, **change), batch(1), now=NOW)
    assert len(ledger.rows(root)) == 1


def test_another_derivation_needs_another_version(root: Root) -> None:
    """Refused with the way out; under the next version it gets a table of its own, and the old one goes on."""
    declared(root)
    with pytest.raises(Conflict, match=r"stands with another derivation.*Raise `version` to 2.*table of its own"):
        declare(root, GROUP, derivation="e" * 64, actor="test", now=NOW)
    second = dataclasses.replace(GROUP, version=2)
    declare(root, second, derivation="e" * 64, actor="test", now=NOW)
    write(root, second, batch(1), now=NOW)
    write(root, GROUP, batch(1, 2), now=NOW)
    assert (stored(root, second), stored(root, GROUP)) == (1, 2)
    assert groups.load(root, "weather") == second
    assert groups.load(root, "weather@1") == GROUP
    declared(root)
    assert groups.load(root, "weather") == second


def test_a_lower_version_is_refused(root: Root) -> None:
    """What nobody declared before the newest version cannot be declared after it."""
    declared(root, dataclasses.replace(GROUP, version=3))
    with pytest.raises(Conflict, match=r"Its newest version is 3\. Raise `version` to 4"):
        declared(root, dataclasses.replace(GROUP, version=2))


def test_a_group_killed_before_its_table_was_made_gets_it_on_the_next_try(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger's row comes first; declaring again completes it."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tables, "create", killed)
        with pytest.raises(KeyboardInterrupt):
            declared(root)
    declared(root)
    assert write(root, GROUP, batch(1), now=NOW) == 1
    assert len(ledger.rows(root)) == 1


def declare_racing(root: Root, derivation: str) -> str:
    try:
        declare(root, GROUP, derivation=derivation * 64, actor="test", now=NOW)
    except Conflict:
        return "refused"
    return derivation


def test_of_racing_declarations_one_stands(root: Root) -> None:
    """Four threads, two derivations: one row, and everybody with the other derivation is refused."""
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(declare_racing, [root] * 4, "abab"))
    (row,) = ledger.find(root, action="group.declared")
    assert sorted(ends) == sorted([row.digest[0], row.digest[0], "refused", "refused"])


# Rows, once


def test_the_same_batch_twice_leaves_each_row_once(root: Root) -> None:
    """Case 17: with or without a batch number, and with the rows in another order."""
    group = declared(root)
    assert write(root, group, batch(1, 2, 3), now=NOW) == 3
    assert write(root, group, batch(3, 1, 2), now=NOW) == 0
    assert write(root, group, batch(1, 2, 3), now=NOW, batch=("writer", 0)) == 0
    assert stored(root) == 3


def test_half_a_batch_and_then_all_of_it_leaves_each_row_once(root: Root) -> None:
    """Case 17: what is there is left out; the rest is added."""
    group = declared(root)
    assert write(root, group, batch(1, 2), now=NOW) == 2
    assert write(root, group, batch(1, 2, 3, 4), now=NOW) == 2
    assert write(root, group, batch(4, 4, 5, 5), now=NOW) == 1
    assert rows(root, group, *FOREVER).get_column("v").to_list() == [1, 2, 3, 4, 5]


def test_rows_that_differ_in_anything_are_other_rows(root: Root) -> None:
    """Key, event time, known time and every value, null and NaN among them, tell rows apart."""
    group = declared(root, Group("weather", {"k": pl.Int64()}, {"v": pl.Float64(), "s": pl.String()}))
    distinct = [
        (1, 0, 0, 1.0, "a"), (2, 0, 0, 1.0, "a"), (1, 1, 1, 1.0, "a"), (1, 0, 1, 1.0, "a"), (1, 0, 0, 2.0, "a"),
        (1, 0, 0, None, "a"), (1, 0, 0, math.nan, "a"), (1, 0, 0, 1.0, None), (1, 0, 0, 1.0, ""), (1, 0, 0, -0.0, ""),
        (1, 0, 0, 0.0, ""),
    ]  # fmt: skip
    frame = pl.DataFrame(distinct, schema=["k", "event_time", "known_time", "v", "s"], orient="row")
    frame = frame.with_columns((pl.col("event_time", "known_time") * MICROSECOND + NOW).name.keep())
    assert write(root, group, frame, now=NOW) == len(distinct)
    assert write(root, group, frame, now=NOW) == 0


def test_rows_a_microsecond_apart_are_found_again(root: Root) -> None:
    """Delta keeps a file's time range in milliseconds: rows between two of them are there all the same."""
    group = declared(root)
    for offset in (
        timedelta(microseconds=999_999),
        timedelta(microseconds=-1),
        -40_000 * DAY - timedelta(microseconds=1_501),
    ):
        frame = batch(1).with_columns(pl.col("event_time") + offset)
        assert write(root, group, frame, now=NOW) == 1
        assert write(root, group, frame, now=NOW) == 0
        event = frame.item(0, "event_time")
        assert rows(root, group, event, event + MICROSECOND).height == 1


def test_a_batch_number_counts_once_whatever_its_rows(root: Root) -> None:
    """Exactly once: a number already brought, or a lower one, adds nothing; another writer's number is another's."""
    group = declared(root)
    assert write(root, group, batch(1), now=NOW, batch=("writer", 0)) == 1
    assert write(root, group, batch(2), now=NOW, batch=("writer", 0)) == 0
    assert write(root, group, batch(3), now=NOW, batch=("writer", 2)) == 1
    assert write(root, group, batch(4), now=NOW, batch=("writer", 1)) == 0
    assert write(root, group, batch(5), now=NOW, batch=("other", 1)) == 1
    assert write(root, group, batch(1), now=NOW, batch=("writer", 3)) == 0
    assert write(root, group, batch(6), now=NOW, batch=("writer", 3)) == 0
    assert rows(root, group, *FOREVER).get_column("v").to_list() == [1, 3, 5]


def write_racing(path: Path, seed: int) -> int:
    days = list(range(40))
    random.Random(seed).shuffle(days)
    return sum(
        write(Root.open(path), GROUP, batch(*days[first : first + 10]), now=NOW) for first in range(0, len(days), 10)
    )


def test_concurrent_writers_of_the_same_rows_leave_each_once(root: Root) -> None:
    """Three processes write the same forty facts in different pieces: together they added forty."""
    declared(root)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        added = pool.starmap(write_racing, [(root.path, seed) for seed in range(3)])
    assert sum(added) == stored(root) == 40
    assert rows(root, GROUP, *FOREVER).get_column("v").to_list() == list(range(40))


def test_a_write_that_never_gets_its_turn_says_so(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losing every attempt is a Conflict, not a silent loss."""
    group = declared(root)
    monkeypatch.setattr(tables, "extend", lambda *_, **__: False)
    with pytest.raises(Conflict, match=r"100 attempts lost.*again"):
        write(root, group, batch(1), now=NOW)


# Times


def test_bulk_history_is_known_after_the_delay(root: Root) -> None:
    """Without a known_time of their own, rows are known ``delay`` after they were true."""
    group = declared(root)
    write(root, group, batch(1), now=NOW + 99 * DAY)
    assert rows(root, group, *FOREVER).select("event_time", "known_time").rows() == [(NOW + DAY, NOW + 2 * DAY)]


def test_instants_become_microseconds_in_utc(root: Root) -> None:
    """Other zones are converted, nanoseconds cut off, naive times read in the declared zone."""
    group = declared(root, Group("weather", {"k": pl.Int64()}, {"v": pl.Int64(), "t": TIME}, zone="Etc/GMT-1"))
    event = pl.Series(["2020-01-01T01:00:00.000000999"]).str.to_datetime(time_unit="ns")
    known = pl.Series([NOW]).dt.convert_time_zone("US/Pacific").dt.cast_time_unit("ms")
    frame = pl.DataFrame({"k": [1], "v": [1], "event_time": event, "known_time": known, "t": event})
    write(root, group, frame, now=NOW)
    expected = pl.DataFrame({"k": [1], "event_time": [NOW], "known_time": [NOW], "v": [1], "t": [NOW]})
    assert_frame_equal(rows(root, group, *FOREVER), expected.cast({pl.Datetime: TIME}))


@pytest.mark.parametrize("column", ["event_time", "known_time"])
def test_a_naive_time_is_refused(root: Root, column: str) -> None:
    """Unless the group declares its zone."""
    group = declared(root)
    frame = batch(1, known_time=[NOW]).with_columns(pl.col(column).dt.replace_time_zone(None))
    with pytest.raises(InvalidInput, match=rf"weather\.{column} is naive.*`zone`"):
        write(root, group, frame, now=NOW)


@pytest.mark.parametrize("local", [datetime(2020, 10, 25, 2, 30), datetime(2020, 3, 29, 2, 30)])  # noqa: DTZ001
def test_a_local_time_that_is_twice_or_never_is_refused(root: Root, local: datetime) -> None:
    """A guess at a change of the clocks would move the row by an hour."""
    group = declared(root, Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, zone="Europe/Berlin"))
    with pytest.raises(
        InvalidInput, match=r"weather\.event_time cannot be read in Europe/Berlin: 2020.*twice or never.*UTC"
    ):
        write(root, group, batch(1, event_time=[local]), now=NOW)


def test_a_zone_that_does_not_exist_is_named(root: Root) -> None:
    """Not a stack trace of the library's."""
    group = declared(root, Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, zone="Mars/Olympus"))
    with pytest.raises(InvalidInput, match=r"weather\.event_time cannot be read in the zone 'Mars/Olympus'"):
        write(root, group, batch(1).with_columns(pl.col("event_time").dt.replace_time_zone(None)), now=NOW)


@pytest.mark.parametrize("column", ["k", "event_time", "known_time"])
def test_a_missing_key_or_time_is_refused(root: Root, column: str) -> None:
    """The error names the column and counts the rows; nothing is written."""
    group = declared(root)
    frame = batch(1, 2, known_time=[NOW, NOW])
    frame = frame.with_columns(pl.when(pl.col("v") > 1).then(pl.col(column)))
    with pytest.raises(InvalidInput, match=rf"weather\.{column} is missing in 1 of 2 rows.*never null"):
        write(root, group, frame, now=NOW)
    assert stored(root) == 0


def test_a_key_that_is_not_a_number_is_refused(root: Root) -> None:
    """NaN in a key is as good as null."""
    group = declared(root, Group("weather", {"k": pl.Float64()}, {"v": pl.Int64()}))
    with pytest.raises(InvalidInput, match=r"weather\.k is missing in 1 of 1 rows"):
        write(root, group, batch(1, k=[math.nan]), now=NOW)


def test_now_has_a_zone(root: Root) -> None:
    """As everywhere."""
    group = declared(root)
    with pytest.raises(InvalidInput, match="no zone"):
        write(root, group, batch(1), now=NOW.replace(tzinfo=None))


def test_a_group_that_was_never_declared_is_not_written(root: Root) -> None:
    """The way in is to declare it."""
    with pytest.raises(NotFound, match="no feature group named 'weather'"):
        write(root, GROUP, batch(1), now=NOW)


# Dtypes


@pytest.mark.parametrize(
    ("given_dtype", "values", "dtype"),
    [
        (pl.UInt8(), [200, None], pl.Int16()),
        (pl.Int64(), [-128, None], pl.Int8()),
        (pl.Int64(), [2**53, None], pl.Float64()),
        (pl.Float32(), [0.1, None], pl.Float64()),
        (pl.Categorical(), ["a", None], pl.String()),
        (pl.Enum(["a"]), ["a", None], pl.String()),
        (pl.Null(), [None, None], pl.Boolean()),
    ],
)
def test_a_column_is_converted_where_nothing_is_lost(
    root: Root, given_dtype: pl.DataType, values: list[Any], dtype: pl.DataType
) -> None:
    """Wider integers, integers that fit, exact floats, categories, columns of nulls."""
    group = declared(root, Group("weather", {"k": pl.Int64()}, {"v": dtype}))
    column = pl.Series("v", values, dtype=given_dtype)
    write(root, group, batch(1, 2, v=column), now=NOW)
    assert_frame_equal(rows(root, group, *FOREVER).select("v"), column.cast(dtype).to_frame())


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pl.Series([128]), pl.Int8()),
        (pl.Series([2**53 + 1]), pl.Float64()),
        (pl.Series([2**63 - 1]), pl.Float64()),
        (pl.Series([1.0]), pl.Int64()),
        (pl.Series([0.1]), pl.Float32()),
        (pl.Series(["1"]), pl.Int64()),
        (pl.Series([1]), pl.String()),
        (pl.Series([1]), pl.Boolean()),
        (pl.Series([True]), pl.Int64()),
        (pl.Series([date(2020, 1, 1)]), TIME),
    ],
)
def test_a_column_that_would_lose_something_is_refused(root: Root, values: pl.Series, dtype: pl.DataType) -> None:
    """By name, with what it is and what the group declares."""
    group = declared(root, Group("weather", {"k": pl.Int64()}, {"v": dtype}))
    with pytest.raises(InvalidInput, match=rf"weather\.v is {values.dtype}"):
        write(root, group, batch(1, v=values), now=NOW)


@pytest.mark.parametrize(
    ("renamed", "missing", "unknown"),
    [({"v": "w"}, r"\['v'\]", r"\['w'\]"), ({}, "nothing", r"\['w'\]"), ({"k": "known_time"}, r"\['k'\]", "nothing")],
)
def test_missing_and_unknown_columns_are_named(root: Root, renamed: dict[str, str], missing: str, unknown: str) -> None:
    """Either, or both at once, with what the group has."""
    group = declared(root)
    frame = batch(1).rename(renamed) if renamed else batch(1, w=[1])
    with pytest.raises(InvalidInput, match=rf"missing {missing}, unknown {unknown}.*k, event_time, v, and optionally"):
        write(root, group, frame, now=NOW)


def test_integers_without_sign_cannot_be_declared() -> None:
    """Delta would store 200 as -56."""
    with pytest.raises(InvalidInput, match=r"weather\.v cannot be a UInt8.*Int16"):
        Group("weather", {"k": pl.Int64()}, {"v": pl.UInt8()})


# Reading


def test_rows_are_those_of_the_window_in_order(root: Root) -> None:
    """Start in, end out, sorted, without the hash."""
    group = declared(root)
    for day in (3, 1, 2, 4):
        write(root, group, batch(day, day, k=[2, 1]), now=NOW)
    got = rows(root, group, NOW + DAY, NOW + 3 * DAY)
    assert got.columns == ["k", "event_time", "known_time", "v"]
    assert got.select("v", "k").rows() == [(1, 1), (1, 2), (2, 1), (2, 2)]


# Marks and hashes


@pytest.mark.parametrize("delay", [timedelta(0), DAY])
def test_marks_say_what_the_join_must_reckon_with(root: Root, delay: timedelta) -> None:
    """None while every row is on the rule and alone at its instant; each comes with the first row that needs it."""
    group = declared(root, dataclasses.replace(GROUP, delay=delay))
    path = groups.path(root, group)

    def marks() -> set[str]:
        return {mark for mark in (OFF_RULE, TIED) if tables.transaction(path, mark) is not None}

    write(root, group, batch(1, 2), now=NOW)
    write(root, group, batch(1, 2), now=NOW)
    assert marks() == set()
    write(root, group, batch(1, known_time=[NOW + DAY + delay + MICROSECOND], v=[5]), now=NOW)
    assert marks() == {OFF_RULE}
    write(root, group, batch(2, v=[5]), now=NOW)
    assert marks() == {OFF_RULE, TIED}
    version = tables.version(path)
    assert [[tables.transaction(path, mark, v) for mark in (OFF_RULE, TIED)] for v in range(version + 1)] == [
        [None, None], [None, None], [1, None], [1, 1],
    ]  # fmt: skip
    tables.compact(path)
    assert marks() == {OFF_RULE, TIED}


def test_forecasts_of_one_event_are_ties_on_the_rule(root: Root) -> None:
    """Without delay, both are effective when the event comes true, so the join must compare known times."""
    group = declared(root, dataclasses.replace(GROUP, delay=timedelta(0)))
    write(root, group, batch(5, 5, known_time=[NOW, NOW + DAY], v=[1, 2]), now=NOW)
    assert tables.transaction(groups.path(root, group), TIED) == 1
    assert tables.transaction(groups.path(root, group), OFF_RULE) is None
    questions = pl.DataFrame({"k": [1], "event_time": [NOW + 5 * DAY]})
    assert join(root, questions, [Use("weather", ("v",))]).item(0, "v") == 2


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            st.none() | st.floats(),
            st.none() | st.booleans(),
            st.none() | st.dates(),
        ),
        max_size=5,
    )
)
def test_the_content_hash_is_the_documented_one(drawn: list[tuple[Any, ...]]) -> None:
    """The columns at once give what the plain computation gives one value at a time."""
    schema = {"i": pl.Int64(), "s": pl.String(), "f": pl.Float64(), "b": pl.Boolean(), "d": pl.Date()}
    frame = pl.DataFrame(drawn, schema=schema, orient="row")
    days = [[*row[:4], None if row[4] is None else (row[4] - date(1970, 1, 1)).days] for row in drawn]
    assert row_hash(frame, list(schema)).to_list() == [oracle.row_hash(row) for row in days]
    assert row_hash(frame, list(schema)).dtype == pl.Int64


def test_one_nan_is_like_another() -> None:
    """Whatever bits a computation left in it."""
    odd = np.array([0x7FF8000000000000, 0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    assert row_hash(pl.DataFrame({"f": odd}), ["f"]).n_unique() == 1


def test_the_content_hash_never_changes() -> None:
    """These values are on disk: a change would settle old ties anew and take old rows for new ones."""
    frame = pl.DataFrame(
        {"i": [1, None], "s": ["é", None], "f": [0.5, math.nan], "t": [NOW, None]}, schema_overrides={"t": TIME}
    )
    assert row_hash(frame, frame.columns).to_list() == [-2354517827039880995, 4259161028550112202]
    assert (
        row_hash(frame.rename({"i": "j"}), ["j", "s", "f", "t"]).to_list() == row_hash(frame, frame.columns).to_list()
    )
    pairs = itertools.combinations(
        [row_hash(frame, list(order)).to_list() for order in itertools.permutations("isft")], 2
    )
    assert all(one != other for one, other in pairs)


def test_the_hash_column_is_what_the_table_stores(root: Root) -> None:
    """Of the values alone, in the group's order, whatever the frame's."""
    group = declared(root, Group("weather", {"k": pl.Int64()}, {"v": pl.Int64(), "s": pl.String()}))
    write(root, group, batch(1, s=["a"]).select("s", "v", "event_time", "k"), now=NOW)
    assert tables.read(groups.path(root, group)).get_column(ROW_HASH).to_list() == [oracle.row_hash([1, "a"])]
