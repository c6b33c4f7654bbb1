"""Facts made otherwise."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows.checks import rewrite
from flows.pipeline import Group
from tests.flows.checks import shop

CUTOFF = shop.START + 20 * shop.DAY + timedelta(hours=7)
FACTS = shop.facts()


@pytest.mark.parametrize("group", [shop.SALES, shop.ORDERS, shop.OUTCOMES], ids=lambda group: group.name)
def test_what_was_known_before_stays_and_most_of_the_rest_changes(group):
    rows, past = FACTS[group.name], pl.col("known_time") < CUTOFF
    other = rewrite.otherwise(group, rows, rewrite.known_from(CUTOFF), spared=("order_id",))

    assert_frame_equal(other.filter(past), rows.filter(past))
    assert other.filter(~past).join(rows, on=rows.columns, how="semi").height == 0
    assert 0.8 < other.filter(~past).height / rows.filter(~past).height < 1.2


def test_late_rows_happened_before_the_cutoff_and_became_known_when_told():
    known = (CUTOFF, CUTOFF + rewrite.MICROSECOND)
    late = rewrite.late(shop.SALES, FACTS["sales"], CUTOFF, known, recent=shop.DAY)

    assert rewrite.LATE_ROWS <= late.height < 1.1 * rewrite.LATE_ROWS
    assert late["event_time"].max() < CUTOFF
    assert set(late["known_time"]) == set(known)
    assert late.is_unique().all()


def test_a_key_that_is_there_once_gets_no_second_row():
    rows = FACTS["orders"]
    late = rewrite.late(shop.ORDERS, rows, CUTOFF, (CUTOFF,), recent=shop.DAY)
    other = rewrite.otherwise(shop.ORDERS, rows, rewrite.known_from(CUTOFF))

    assert pl.concat([other, late])["order_id"].is_unique().all()


def test_numbers_for_keys_of_late_rows_are_none_of_those_given_to_second_rows():
    group = Group("visits", {"id": pl.Int64()}, {"size": pl.Float64()})
    rows = FACTS["orders"].select(pl.int_range(pl.len()).alias("id"), "event_time", "known_time", "size")
    other = rewrite.otherwise(group, rows, rewrite.known_from(CUTOFF))
    late = rewrite.late(group, rows, CUTOFF, (CUTOFF,), recent=shop.DAY, beside=other)

    assert other["id"].max() > rows["id"].max()
    assert pl.concat([other, late])["id"].is_unique().all()


def test_nulls_go_only_where_nulls_are_already():
    rows, future = FACTS["sales"], rewrite.known_from(CUTOFF)
    holey = rows.with_columns(pl.when(pl.int_range(pl.len()) > 5).then("amount").alias("amount"))

    assert rewrite.otherwise(shop.SALES, rows, future)["amount"].null_count() == 0
    assert rewrite.otherwise(shop.SALES, holey, future)["amount"].null_count() > 50


def test_dealt_out_rows_hold_what_another_row_said_and_the_rest_stays():
    rows, end = FACTS["orders"], shop.END
    chosen = pl.Series([100 <= place < 200 for place in range(rows.height)])
    dealt = rewrite.dealt_out(shop.ORDERS, rows, chosen, spared=("shop",), moved=end)
    more = rewrite.dealt_out(shop.ORDERS, rows, ~chosen | chosen, spared=("shop",), moved=end)

    assert_frame_equal(dealt.filter(~chosen), rows.filter(~chosen))
    assert_frame_equal(dealt.select("order_id", "shop"), rows.select("order_id", "shop"))
    assert_frame_equal(dealt.filter(chosen), more.filter(chosen))
    assert set(dealt["size"]) <= set(rows["size"])
    assert (dealt["size"] != rows["size"]).sum() > 90
    for time in ("event_time", "known_time", "due"):
        assert (dealt[time] - rows[time]).filter(chosen).to_list() == [rewrite.SHIFT, timedelta(0)] * 50


def test_a_null_moves_with_its_row_or_stays_where_it_is():
    rows = FACTS["orders"].with_columns(pl.when(pl.int_range(pl.len()) % 3 > 0).then("size").alias("size"))
    every = pl.repeat(True, rows.height, eager=True)
    moving, staying = (rewrite.dealt_out(shop.ORDERS, rows, every, holes=holes)["size"] for holes in (True, False))

    assert moving.null_count() == staying.null_count() == rows["size"].null_count()
    assert staying.is_null().equals(rows["size"].is_null())
    assert not moving.is_null().equals(rows["size"].is_null())
    assert (staying != rows["size"]).sum() > 150


def test_what_would_move_beyond_the_end_stays_in_time():
    rows, end = FACTS["outcomes"], FACTS["outcomes"]["event_time"].max()
    dealt = rewrite.dealt_out(shop.OUTCOMES, rows, pl.repeat(True, rows.height, eager=True), moved=end)

    assert dealt["event_time"].max() == end
    assert dealt["event_time"][0] == rows["event_time"][0] + rewrite.SHIFT


@pytest.mark.parametrize("group", [shop.SALES, shop.ORDERS], ids=lambda group: group.name)
def test_ancient_rows_happened_long_before_they_became_known(group):
    before = CUTOFF - 5 * shop.DAY
    found = rewrite.ancient(group, FACTS[group.name], before, CUTOFF, wanted=40)

    assert found.height == 40
    assert before - timedelta(seconds=1) < found["event_time"].min() <= found["event_time"].max() < before
    assert set(found["known_time"]) == {CUTOFF}
    assert found.select(*group.keys, "event_time").is_unique().all()


def test_a_stamped_value_is_its_own_known_time_to_the_microsecond():
    rows = FACTS["sales"].with_columns(pl.col("known_time") + timedelta(microseconds=1))
    stamped = rewrite.stamped(shop.SALES, rows, times=True)

    assert stamped["amount"].cast(pl.Int64).to_list() == rows["known_time"].to_physical().to_list()
