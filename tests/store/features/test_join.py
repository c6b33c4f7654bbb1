"""The join's promises, one by one, with the numbers of the cases that implementations get wrong."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from store import tables
from store.errors import InvalidInput, NotFound
from store.features import group as groups
from store.features import join as module
from store.features.group import TIME, Group
from store.features.join import Use, join, query_digest
from store.features.write import declare, write
from store.layout import Root
from tests.store.features import oracle

NOW = datetime(2020, 1, 1, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
PLAIN = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()})


def stored(root: Root, group: Group, *columns: list[Any], known: bool = True) -> Group:
    """Declare the group and write one batch; ``columns`` are keys, event_time, known_time (if ``known``), values."""
    names = [*group.keys, "event_time", *(["known_time"] if known else []), *group.values]
    schema = {name: group.schema[name] for name in names}
    declare(root, group, derivation="d" * 64, actor="test", now=NOW)
    write(root, group, pl.DataFrame(dict(zip(names, columns, strict=True)), schema=schema), now=NOW)
    return group


def spine(*columns: list[Any], names: tuple[str, ...] = ("k", "event_time")) -> pl.DataFrame:
    frame = pl.DataFrame(dict(zip(names, columns, strict=True)))
    return frame.with_columns(pl.col(names[-1]).cast(TIME))


def asked(root: Root, group: Group, *columns: list[Any], feature: str = "v") -> list[Any]:
    return join(root, spine(*columns), [Use(group.name, (feature,))]).get_column(feature).to_list()


@pytest.mark.parametrize("zone", [None, "UTC", "Etc/GMT-1", "US/Pacific"])
@pytest.mark.parametrize("mine", [None, "UTC", "Etc/GMT-1", "US/Pacific"])
@pytest.mark.parametrize("unit", ["ns", "ms"])
def test_times_of_any_zone_meet_at_the_right_instant(root: Root, zone: str | None, mine: str | None, unit: str) -> None:
    """Case 1: naive with a declared zone, UTC, +01:00 and US/Pacific, in the group and in the spine, in any unit."""
    group = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, zone="Asia/Tokyo")
    declare(root, group, derivation="d" * 64, actor="test", now=NOW)

    def at(instant: datetime, zone: str | None) -> pl.Series:
        series = pl.Series("event_time", [instant]).dt.convert_time_zone(zone or "Asia/Tokyo").dt.cast_time_unit(unit)  # type: ignore[arg-type]
        return series if zone else series.dt.replace_time_zone(None)

    write(root, group, pl.DataFrame({"k": [1], "v": [7]}).with_columns(at(NOW, zone)), now=NOW)
    questions = pl.concat(
        pl.DataFrame({"k": [1]}).with_columns(at(NOW + shift, mine)) for shift in (-DAY / 86_400, DAY / 86_400, 0 * DAY)
    )
    got = join(root, questions, [Use("weather", ("v",))], zone="Asia/Tokyo")
    assert got.get_column("v").to_list() == [None, 7, 7]
    assert_frame_equal(got.drop("v"), questions)


def test_a_correction_counts_from_when_it_was_known(root: Root) -> None:
    """Case 2: one event known now as 10 and a day later as 20: 20 after two days, 10 in between."""
    group = stored(root, PLAIN, [1, 1], [NOW, NOW], [NOW, NOW + DAY], [10, 20])
    assert asked(root, group, [1] * 4, [NOW + 2 * DAY, NOW + DAY, NOW + DAY - MICROSECOND, NOW]) == [20, 20, 10, 10]


def test_the_newer_event_wins_over_the_later_known(root: Root) -> None:
    """Case 3: (now, known +1d, 30) and (+1d, known now, 40) give 40 after two days."""
    group = stored(root, PLAIN, [1, 1], [NOW, NOW + DAY], [NOW + DAY, NOW], [30, 40])
    assert asked(root, group, [1, 1], [NOW + 2 * DAY, NOW + DAY - MICROSECOND]) == [40, None]


def test_what_nobody_knew_yet_is_null_and_never_another_keys(root: Root) -> None:
    """Case 4: all candidates known only after T."""
    group = stored(root, PLAIN, [1, 2], [NOW, NOW], [NOW + DAY, NOW], [10, 20])
    assert asked(root, group, [1, 2, 3], [NOW, NOW, NOW]) == [None, 20, None]


def test_ttl_and_known_time_together(root: Root) -> None:
    """Case 5: ttl ten days over three keys, one of them a year old, one corrected backwards."""
    first = datetime(2020, 1, 1, tzinfo=UTC)
    group = stored(
        root,
        Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, ttl=10 * DAY),
        [1, 1, 1, 2, 3, 3],
        [first - DAY, first + DAY, first + 2 * DAY, first - 365 * DAY, first, first],
        [first - DAY, first + DAY, first + 2 * DAY, first - 365 * DAY, first + 2 * DAY, first + DAY],
        [11, 22, 33, 22, 10, 20],
    )
    assert asked(root, group, [1, 1, 2, 3], [first, first + DAY, first, first + 2 * DAY]) == [11, 22, None, 10]


def test_ttl_counts_back_from_the_question(root: Root) -> None:
    """Case 6: event_time = T and = T - ttl are in, one microsecond beyond either is out."""
    group = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, ttl=DAY)
    stored(root, group, [1], [NOW], [NOW], [5])
    times = [NOW, NOW - MICROSECOND, NOW + DAY, NOW + DAY + MICROSECOND]
    assert asked(root, group, [1] * 4, times) == [5, None, 5, None]


def test_files_too_old_for_one_question_still_answer_another(root: Root) -> None:
    """With a ttl, whole files are left out only if they are too old for the earliest question."""
    group = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, ttl=DAY)
    for days in (0, 50, 100):
        stored(root, group, [1], [NOW + days * DAY], [NOW + days * DAY], [days])
    times = [NOW + days * DAY for days in (100, 50, 0, 2)]
    assert asked(root, group, [1] * 4, times) == [100, 50, 0, None]


@pytest.mark.parametrize("seed", range(3))
def test_of_late_rows_known_at_one_instant_the_newest_event_answers(root: Root, seed: int) -> None:
    """As live collection brings them: many old events of many keys, all known at the same moment, in any order."""
    keys, days = zip(*itertools.product(range(200), range(5)), strict=True)
    frame = pl.DataFrame({"k": keys, "event_time": [NOW + day * DAY for day in days], "v": days})
    frame = frame.with_columns(known_time=pl.lit(NOW + 9 * DAY)).sample(fraction=1, shuffle=True, seed=seed)
    group = stored(root, PLAIN, *([] for _ in range(4)))
    for part in frame.iter_slices(250):
        write(root, group, part, now=NOW)
    assert asked(root, group, list(range(200)), [NOW + 9 * DAY] * 200) == [4] * 200


def test_one_irregular_row_an_instant_is_left(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dominance leaves the ASOF join no choice, so it need not be trusted to make the right one."""
    keys, days, ties = zip(*itertools.product(range(20), range(5), range(2)), strict=True)
    group = stored(root, PLAIN, keys, [NOW + day * DAY for day in days], [NOW + 9 * DAY] * 200, ties)
    monkeypatch.setattr(module, "_asof", lambda _group, facts, *_: facts)
    with module._connection(root) as connection:
        files = tables.files(groups.path(root, group))
        left = connection.sql(module._irregular(group), params={"files": files}).pl()
    effective = pl.max_horizontal("_event", "_known")
    assert left.select("_k0", effective).n_unique() == left.height == 20


def test_ttl_looks_at_the_event_even_of_a_late_row(root: Root) -> None:
    """Event 0, known 9, ttl 5, asked at 10: too old, though it has only just become known."""
    group = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, ttl=5 * DAY)
    stored(root, group, [1], [NOW], [NOW + 9 * DAY], [5])
    assert asked(root, group, [1], [NOW + 10 * DAY]) == [None]


def test_a_late_row_never_displaces_a_newer_event(root: Root) -> None:
    """Case 7: an older event known later gives way to the newer one, and answers only before that one is true."""
    group = stored(
        root,
        PLAIN,
        [1, 1, 2, 2],
        [NOW, NOW + 2 * DAY, NOW, NOW + 2 * DAY],
        [NOW + 3 * DAY, NOW + 2 * DAY, NOW + DAY, NOW + 2 * DAY],
        [1, 2, 1, 2],
    )
    assert asked(root, group, [1, 2, 2], [NOW + 4 * DAY, NOW + DAY, NOW + 4 * DAY]) == [2, 1, 2]


def test_a_forecast_is_not_used_before_it_is_true(root: Root) -> None:
    """Case 7: known today about tomorrow."""
    group = stored(root, PLAIN, [1, 1], [NOW, NOW + DAY], [NOW, NOW], [1, 2])
    assert asked(root, group, [1, 1], [NOW + DAY - MICROSECOND, NOW + DAY]) == [1, 2]


def test_one_group_is_joined_twice_under_two_names(root: Root) -> None:
    """Case 8: the weather of the origin and of the destination."""
    stored(root, PLAIN, [1, 2], [NOW, NOW], [NOW, NOW], [10, 20])
    flights = spine([1, 2], [2, 1], [NOW, NOW], names=("origin", "dest", "event_time"))
    uses = [Use("weather", ("v",), {"k": "origin"}, "origin_"), Use("weather", ("v",), {"k": "dest"}, "dest_")]
    got = join(root, flights, uses)
    assert got.columns == ["origin", "dest", "event_time", "origin_v", "dest_v"]
    assert got.select("origin_v", "dest_v").rows() == [(10, 20), (20, 10)]


def test_two_outputs_of_one_name_are_refused_with_the_way_out(root: Root) -> None:
    """Case 8: without names, an error that says so; the same for a column that the spine already has."""
    stored(root, PLAIN, [1], [NOW], [NOW], [10])
    flights = spine([1], [1], [NOW], names=("origin", "v", "event_time"))
    with pytest.raises(InvalidInput, match=r"'v'.*there twice.*prefix"):
        join(root, flights, [Use("weather", ("v",), {"k": "origin"})])
    uses = [Use("weather", ("v",), {"k": "origin"}, "x_")] * 2
    with pytest.raises(InvalidInput, match=r"'x_v'.*there twice.*prefix"):
        join(root, flights, uses)


def test_composite_keys_stay_distinct(root: Root) -> None:
    """Case 9: (1, 11) and (11, 1), ('a', 'bc') and ('ab', 'c')."""
    numbers = Group("numbers", {"k": pl.Int64(), "l": pl.Int64()}, {"v": pl.Int64()})
    stored(root, numbers, [1, 11], [11, 1], [NOW] * 2, [NOW] * 2, [1, 2])
    texts = Group("texts", {"a": pl.String(), "b": pl.String()}, {"w": pl.Int64()})
    stored(root, texts, ["a", "ab"], ["bc", "c"], [NOW] * 2, [NOW] * 2, [3, 4])
    questions = spine(
        [11, 1, 1], [1, 11, 1], ["ab", "a", "a"], ["c", "bc", "c"], [NOW] * 3, names=("k", "l", "a", "b", "event_time")
    )
    got = join(root, questions, [Use("numbers", ("v",)), Use("texts", ("w",))])
    assert got.select("v", "w").rows() == [(2, 4), (1, 3), (None, None)]


@pytest.mark.parametrize("late", [timedelta(0), DAY])
def test_a_group_without_keys_joins_on_time(root: Root, late: timedelta) -> None:
    """Case 9, on the rule and off it."""
    group = stored(
        root, Group("calendar", {}, {"v": pl.Int64()}), [NOW, NOW + DAY], [NOW + late, NOW + DAY + late], [1, 2]
    )
    times = [NOW + late - MICROSECOND, NOW + late, NOW + 9 * DAY]
    assert asked(root, group, [0] * 3, times) == [None, 1, 2]


def test_alike_spine_rows_all_survive_in_their_order(root: Root) -> None:
    """Case 10: duplicates, and rows alike but for the label; the spine's columns come back untouched."""
    stored(root, PLAIN, [1], [NOW], [NOW], [10])
    questions = spine([2, 1, 1, 1, 2], [0.0, 0.5, 0.5, 1.0, 0.0], [NOW] * 5, names=("k", "label", "event_time"))
    got = join(root, questions, [Use("weather", ("v",))])
    assert_frame_equal(got.drop("v"), questions)
    assert got.get_column("v").to_list() == [None, 10, 10, 10, None]


def test_a_null_that_is_newest_is_the_answer(root: Root) -> None:
    """Case 11: null, not the value before it."""
    group = stored(root, PLAIN, [1, 1], [NOW, NOW + DAY], [NOW, NOW + DAY], [10, None])
    assert asked(root, group, [1, 1], [NOW, NOW + DAY]) == [10, None]


@pytest.mark.parametrize("late", [timedelta(0), DAY])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_exact_ties_give_one_answer(
    root: Root, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...], threads: int, late: timedelta
) -> None:
    """Case 12: whatever the file order, row order and number of threads, the greatest content hash wins."""
    group = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()})
    declare(root, group, derivation="d" * 64, actor="test", now=NOW)
    for value in order:
        frame = pl.DataFrame(
            {"k": range(50), "event_time": [NOW] * 50, "known_time": [NOW + late] * 50, "v": [value] * 50}
        )
        write(root, group, frame.sample(50, shuffle=True, seed=value), now=NOW)
    plain = module._connection

    def connection(root: Root) -> duckdb.DuckDBPyConnection:
        opened = plain(root)
        opened.execute(f"SET threads = {threads}")
        return opened

    monkeypatch.setattr(module, "_connection", connection)
    winner = max(range(3), key=lambda value: oracle.row_hash([value]))
    assert asked(root, group, list(range(50)), [NOW + DAY] * 50) == [winner] * 50


def test_nothing_asked_or_nothing_known_keeps_shape_and_dtypes(root: Root) -> None:
    """Case 13: an empty spine, an empty group, a spine entirely before the group."""
    values = {"i": pl.Int8(), "s": pl.String(), "b": pl.Boolean(), "f": pl.Float32(), "d": pl.Date(), "t": TIME}
    full, empty = Group("full", {"k": pl.Int64()}, values), Group("empty", {"k": pl.Int64()}, values)
    stored(root, full, [1], [NOW], [NOW], [1], ["a"], [True], [0.5], [NOW.date()], [NOW])
    stored(root, empty, [], [], [], [], [], [], [], [], [])
    uses = [Use(name, tuple(values), prefix=f"{name}_") for name in ("full", "empty")]
    early = spine([1, 2], [NOW - DAY, NOW - DAY])
    for questions in (early, early.clear()):
        got = join(root, questions, uses)
        assert got.schema == questions.schema | {f"{name}_{v}": values[v] for name in ("full", "empty") for v in values}
        assert_frame_equal(got.select(questions.columns), questions)
        assert got.select(pl.exclude(questions.columns).is_null().all()).row(0) == (True,) * 12


def test_dtypes_survive_the_way_through_the_store(root: Root) -> None:
    """An integer stays a (nullable) integer, a string a string, a date a date."""
    values = {"i": pl.Int8(), "s": pl.String(), "b": pl.Boolean(), "f": pl.Float32(), "d": pl.Date(), "t": TIME}
    group = stored(
        root,
        Group("full", {"k": pl.Int64()}, values),
        [1, 2], [NOW] * 2, [NOW] * 2,
        [-128, None], ["é", None], [True, None], [0.5, None], [NOW.date(), None], [NOW + MICROSECOND, None],
    )  # fmt: skip
    got = join(root, spine([1, 2, 3], [NOW] * 3), [Use("full", tuple(values))]).select(list(values))
    row = (-128, "é", True, 0.5, NOW.date(), NOW + MICROSECOND)
    assert_frame_equal(got, pl.DataFrame([row, (None,) * 6, (None,) * 6], schema=values, orient="row"))
    assert group.values == values


def test_what_cannot_be_joined_is_named(root: Root) -> None:
    """Case 14: asked, exists, to do: for keys of another type, missing columns, unknown names, naive or null times."""
    stored(root, PLAIN, [1], [NOW], [NOW], [10])
    use, good = [Use("weather", ("v",))], spine([1], [NOW])
    with pytest.raises(InvalidInput, match=r"spine's k is String, the key weather\.k is Int64.*Cast k to Int64"):
        join(root, good.with_columns(pl.col("k").cast(pl.String)), use)
    with pytest.raises(InvalidInput, match=r"spine's k is Float64"):
        join(root, good.with_columns(pl.col("k").cast(pl.Float64)), use)
    with pytest.raises(InvalidInput, match=r"no column 'k', the key k of weather\. Its columns: event_time\..*keys="):
        join(root, good.drop("k"), use)
    with pytest.raises(InvalidInput, match=r"no column 'at', the time to join at.*time="):
        join(root, good, use, time="at")
    with pytest.raises(NotFound, match=r"no feature of weather named 'w'.*Known: v"):
        join(root, good, [Use("weather", ("w",))])
    with pytest.raises(InvalidInput, match=r"No feature of weather is asked for\. Its features: v"):
        join(root, good, [Use("weather", ())])
    with pytest.raises(NotFound, match=r"no feature group named 'wether'.*Did you mean weather"):
        join(root, good, [Use("wether", ("v",))])
    with pytest.raises(InvalidInput, match=r"weather has no keys \['station'\].*Its keys: k"):
        join(root, good, [Use("weather", ("v",), {"station": "k"})])
    with pytest.raises(InvalidInput, match=r"event_time is naive.*zone"):
        join(root, good.with_columns(pl.col("event_time").dt.replace_time_zone(None)), use)
    with pytest.raises(InvalidInput, match="event_time is Date, not a Datetime"):
        join(root, good.with_columns(pl.col("event_time").cast(pl.Date)), use)
    with pytest.raises(InvalidInput, match="event_time is null in 1 of 1 rows"):
        join(root, good.with_columns(pl.lit(None, TIME).alias("event_time")), use)
    with pytest.raises(NotFound, match=r"weather@1 has no table version 9.*newest is 1"):
        join(root, good, use, versions={"weather": 9})
    with pytest.raises(InvalidInput, match=r"pinned for \['wether'\].*Joined: weather"):
        join(root, good, use, versions={"wether": 1})


def test_integers_of_any_width_are_one_kind_of_key(root: Root) -> None:
    """A key that does not fit the group's width is in no row of it; a null key matches nothing."""
    group = stored(root, Group("weather", {"k": pl.Int8()}, {"v": pl.Int64()}), [1, 44], [NOW] * 2, [NOW] * 2, [10, 20])
    keys = pl.Series("k", [1, 300, None], dtype=pl.UInt64)
    got = join(root, pl.DataFrame({"k": keys, "event_time": [NOW] * 3}), [Use(group.name, ("v",))])
    assert got.get_column("v").to_list() == [10, None, None]
    assert got.schema["k"] == pl.UInt64


def test_keys_of_floats_and_categories(root: Root) -> None:
    """NaN finds nothing, 0.0 and -0.0 are one key, a category is its string."""
    group = Group("weather", {"k": pl.Float64(), "s": pl.String()}, {"v": pl.Int64()})
    stored(root, group, [-0.0, 1.0], ["a", "a"], [NOW] * 2, [NOW] * 2, [1, 2])
    questions = pl.DataFrame(
        {"k": [0.0, float("nan"), 1.0], "s": pl.Series(["a"] * 3, dtype=pl.Categorical), "event_time": [NOW] * 3}
    )
    assert join(root, questions, [Use("weather", ("v",))]).get_column("v").to_list() == [1, None, 2]


def test_columns_may_have_any_name(root: Root) -> None:
    """Names that the join's own statements use, or that SQL reserves, are columns like any other."""
    group = stored(
        root,
        Group("odd", {"f": pl.Int64(), "select": pl.Int64()}, {"s": pl.Int64(), "at": pl.Int64()}),
        [1],
        [2],
        [NOW],
        [NOW],
        [3],
        [4],
    )
    questions = spine([1], [2], [7], [8], [NOW], names=("f", "select", "_row", "_k0", "_time"))
    got = join(root, questions, [Use(group.name, ("at", "s"))], time="_time")
    assert got.row(0) == (1, 2, 7, 8, NOW, 4, 3)


def test_windowed_aggregates_equal_the_naive_computation(root: Root) -> None:
    """Case 15: 1 h, 1 d and 30 d of 10,000 events at 10,000 times, as differences of a running total joined twice."""
    draw = np.random.default_rng(7)
    span = 60 * DAY // MICROSECOND
    events, amounts = np.sort(draw.integers(0, span, 10_000) // 10**9 * 10**9), draw.integers(0, 100, 10_000)
    times = np.concatenate([draw.integers(0, span, 9_000), events[:1_000]])
    totals = (
        pl.DataFrame({"at": events, "amount": amounts})
        .group_by("at", maintain_order=True)
        .agg(pl.len().alias("n"), pl.col("amount").sum())
        .select(pl.col("at"), pl.col("n").cum_sum().cast(pl.Int64), pl.col("amount").cum_sum())
    )
    group = Group("totals", {}, {"n": pl.Int64(), "amount": pl.Int64()})
    stored(
        root,
        group,
        (NOW + totals["at"].cast(pl.Duration("us"))).to_list(),
        totals["n"].to_list(),
        totals["amount"].to_list(),
        known=False,
    )
    uses = [Use("totals", ("n", "amount"))]
    for window in (timedelta(hours=1), DAY, 30 * DAY):
        width = window // MICROSECOND
        ends, starts = (
            join(root, pl.DataFrame({"event_time": NOW + pl.Series(at).cast(pl.Duration("us"))}), uses)
            .select("n", "amount")
            .fill_null(0)
            .to_numpy()
            for at in (times, times - width)
        )
        naive = np.array(
            [((inside := (events > at - width) & (events <= at)).sum(), amounts[inside].sum()) for at in times]
        )
        assert np.array_equal(ends - starts, naive)


def test_a_pinned_version_sees_only_what_was_there(root: Root) -> None:
    """Rows and marks of later versions make no difference, compaction neither."""
    group = stored(root, PLAIN, [1], [NOW], [NOW], [10])
    path, questions = groups.path(root, group), spine([1], [NOW + 2 * DAY])
    pinned = tables.version(path)
    late = pl.DataFrame({"k": [1, 1], "event_time": [NOW] * 2, "known_time": [NOW + DAY] * 2, "v": [20, 30]})
    write(root, group, late, now=NOW)
    tables.compact(path)
    for name in ("weather", "weather@1"):
        assert join(root, questions, [Use("weather", ("v",))], versions={"weather": pinned}).item(0, "v") == 10
        assert join(root, questions, [Use(name, ("v",))], versions={"weather@1": pinned}).item(0, "v") == 10
    assert join(root, questions, [Use("weather", ("v",))]).item(0, "v") in (20, 30)


def test_another_version_of_a_group_is_another_table(root: Root) -> None:
    """The plain name is the newest version; the old one goes on under its number."""
    stored(root, PLAIN, [1], [NOW], [NOW], [10])
    stored(root, Group("weather", {"k": pl.Int64()}, {"v": pl.String()}, version=2), [1], [NOW], [NOW], ["new"])
    questions = spine([1], [NOW])
    uses = [Use("weather", ("v",)), Use("weather@1", ("v",), prefix="old_"), Use("weather@2", ("v",), prefix="new_")]
    assert join(root, questions, uses).row(0)[2:] == ("new", 10, "new")
    with pytest.raises(NotFound, match=r"named 'weather@3'.*Known: weather@1, weather@2"):
        join(root, questions, [Use("weather@3", ("v",))])


def test_wide_groups_are_read_a_few_columns_at_a_time(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces come together as if read at once."""
    values = {f"v{number}": pl.Int64() for number in range(7)}
    group = stored(
        root, Group("wide", {"k": pl.Int64()}, values), [1, 2], [NOW] * 2, [NOW] * 2, *([n, n + 10] for n in range(7))
    )
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 4)
    got = join(root, spine([2, 3, 1], [NOW] * 3), [Use(group.name, tuple(values))])
    assert got.select(list(values)).rows() == [tuple(range(10, 17)), (None,) * 7, tuple(range(7))]


def test_the_query_digest_is_of_what_is_joined() -> None:
    """Stable for ever (this is its value), blind to keys that map to themselves, and to nothing else."""
    one = Use("weather", ("v", "w"), {"k": "origin"}, "origin_")
    assert query_digest([one]) == query_digest([Use("weather", ("v", "w"), {"l": "l", "k": "origin"}, "origin_")])
    others = [
        Use("weather@2", ("v", "w"), {"k": "origin"}, "origin_"),
        Use("weather", ("w", "v"), {"k": "origin"}, "origin_"),
        Use("weather", ("v", "w"), {"k": "dest"}, "origin_"),
        Use("weather", ("v", "w"), {"k": "origin"}, ""),
    ]
    assert len({query_digest([use]) for use in [one, *others]}) == 5
    assert query_digest([one]) == "8b599afbbdd532343e5430c242fbcec2c4e87758abe6636106fe4784c7634338"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), ttl=st.sampled_from([None, 0, 3]), delay=st.sampled_from([0, 2]))
def test_groups_without_keys_equal_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, ttl: int | None, delay: int
) -> None:
    """Any facts, any times, no keys: what the plain loop says."""
    offsets, values = st.integers(-4, 8), st.sampled_from([None, 0, 1])
    drawn = data.draw(st.lists(st.tuples(offsets, st.integers(-3, 5), values), max_size=8))
    group = Group("g", {}, {"v": pl.Int64()}, ttl=None if ttl is None else ttl * MICROSECOND, delay=delay * MICROSECOND)
    facts = [
        {"event_time": NOW + event * MICROSECOND, "known_time": NOW + (event + late) * MICROSECOND, "v": value}
        for event, late, value in drawn
    ]
    root = Root.open(tmp_path_factory.mktemp("root"))
    stored(root, group, *([fact[name] for fact in facts] for name in ("event_time", "known_time", "v")))
    questions = spine(
        [NOW + offset * MICROSECOND for offset in data.draw(st.lists(offsets, max_size=6))], names=("event_time",)
    )
    assert_frame_equal(join(root, questions, [Use("g", ("v",))]), oracle.joined(questions, facts, group))
