"""K03: a derived group remembers nothing older than it declares."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import polars as pl
import pytest

from flows.checks import k03_history
from flows.checks.check import Verdict, judge
from flows.pipeline import Window
from tests.flows.checks import shop


def _finding(world, derive=shop.moods, **declared):
    derived = {"mood": dataclasses.replace(shop.MOODS, derive=derive, **declared)}
    return judge(
        k03_history.CHECK, dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))
    )


def test_a_clean_pipeline_forgets_and_its_derivation_still_moves_with_what_it_may_know(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control == 12
        assert finding.numbers["facts_left_out"] > 1500


def test_a_running_total_is_seen(clean):
    def ever(read, ticks):
        totals = read("sales", Window(shop.START, ticks[-1])).group_by("shop").agg(total=pl.col("amount").sum())
        with_total = shop.moods(read, ticks).join(totals, on="shop", how="left", maintain_order="left")
        return with_total.with_columns(mean_1d=pl.col("total")).drop("total")

    finding = _finding(clean, ever)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["apart"] == 3
    assert "mood remembers what is older than its lookback of 2 days" in finding.sentence


def test_a_shop_kept_in_the_table_since_it_sold_long_ago_is_seen(clean):
    def closed(read, ticks):
        shops = read("sales", Window(shop.START, ticks[-1])).select("shop").unique().join(_grid(ticks), how="cross")
        return shops.join(shop.moods(read, ticks), on=["shop", "event_time"], how="left")

    old = pl.col("event_time") < shop.END - 5 * shop.DAY
    facts = {**clean.facts, "sales": clean.facts["sales"].filter((pl.col("shop") != "cedar") | old)}
    finding = _finding(dataclasses.replace(clean, facts=facts), closed)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["apart"] == 2


def _grid(ticks):
    return pl.DataFrame({"event_time": ticks}, schema={"event_time": pl.Datetime("us", "UTC")})


def test_a_window_longer_than_declared_is_seen(clean):
    finding = _finding(clean, lookback=timedelta(hours=12))

    assert finding.verdict is Verdict.FAIL


def test_facts_counted_by_when_they_came_in_are_seen_though_nothing_in_the_slice_is_that_late(clean):
    def came_in(read, ticks):
        sales = read("sales", Window(shop.START, ticks[-1] + timedelta(microseconds=1)))
        news = sales.with_columns(event_time=pl.col("known_time") - timedelta(minutes=30)).sort("event_time")
        return shop.moods(lambda group, window: news, ticks)

    finding = _finding(clean, came_in)

    assert finding.verdict is Verdict.FAIL


def test_a_longer_lookback_than_needed_and_everything_read_are_no_false_alarm(clean):
    def reads_all(read, ticks):
        everything = read("sales", Window(shop.START - 400 * shop.DAY, ticks[-1] + timedelta(microseconds=1)))
        return shop.moods(lambda group, window: everything, ticks)

    finding = _finding(clean, reads_all, lookback=timedelta(days=9))

    assert finding.verdict is Verdict.PASS, finding.sentence


@pytest.mark.parametrize("days", [400, 36500])
def test_where_nothing_is_older_than_the_lookback_it_does_not_apply(clean, days):
    finding = _finding(clean, lookback=timedelta(days=days))

    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert finding.sentence == f"The source holds nothing older than the lookback ({days} days, 0:00:00)."


def test_without_a_derived_group_it_does_not_apply(clean):
    bare = dataclasses.replace(clean, catalog=dataclasses.replace(clean.catalog, derived={}))
    finding = judge(k03_history.CHECK, bare)

    assert (finding.verdict, finding.sentence) == (Verdict.NOT_APPLICABLE, "shop_late uses no derived group.")


def test_a_derivation_that_gives_the_same_whatever_happened_shows_nothing(clean):
    def constant(read, ticks):
        return _grid(ticks).with_columns(shop=pl.lit("amber"), mean_1d=pl.lit(1.0), sales_1d=pl.lit(1, pl.Int64))

    assert _finding(clean, constant).verdict is Verdict.VACUOUS
