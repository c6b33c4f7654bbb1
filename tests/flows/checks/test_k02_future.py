"""K02: what becomes known later changes nothing that was asked before."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import polars as pl

from flows.checks import k02_future
from flows.checks.check import Verdict, judge
from flows.pipeline import Facts, Window
from store.errors import InvalidInput
from tests.flows.checks import shop


def _finding(world):
    return judge(k02_future.CHECK, world)


def _with_moods(world, derive):
    derived = {"mood": dataclasses.replace(shop.MOODS, derive=derive)}
    return dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))


def test_a_clean_pipeline_passes_and_the_rows_after_the_cutoffs_change(clean):
    finding = _finding(clean)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.control > 500
    assert finding.numbers["late_rows"] == 3
    assert finding.numbers["late_cells"] > 0


def test_cutoffs_are_on_the_grid_at_a_question_and_off_both(clean):
    grid, question, odd = k02_future.chosen(clean)
    on_grid = [(cutoff - shop.START) % shop.CADENCE == timedelta(0) for cutoff in (grid, question, odd)]

    assert on_grid == [True, False, False]
    assert question in clean.spine["event_time"].to_list()
    assert odd not in clean.spine["event_time"].to_list()


def test_a_derivation_that_ignores_known_time_is_seen(clean):
    def hasty(read, ticks):
        known = pl.col("event_time").alias("known_time")
        return shop.moods(lambda group, window: read(group, window).with_columns(known), ticks)

    finding = _finding(_with_moods(clean, hasty))

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["cells_before"] > 0
    assert "mood_" in finding.sentence


def test_one_late_row_in_a_thousand_let_through_is_seen(clean):
    def one_in_a_thousand(read, ticks):
        def leaking(group, window):
            rows = read(group, window)
            late = pl.col("known_time") - pl.col("event_time") > timedelta(minutes=30)
            let = late & (pl.col("event_time").dt.epoch("us").hash(3) % 1000 == 0)
            return rows.with_columns(pl.when(let).then("event_time").otherwise("known_time").alias("known_time"))

        return shop.moods(leaking, ticks)

    finding = _finding(_with_moods(clean, one_in_a_thousand))

    assert finding.verdict is Verdict.FAIL
    assert 0 < finding.numbers["cells_before"] < 100


def test_a_value_filled_backward_over_the_cutoff_is_seen(clean):
    def filled(read, window):
        rows = shop.dataset(read, window).with_columns((pl.col("due") - timedelta(hours=5)).alias("at")).sort("at")
        sales = read("sales", window).select("shop", "amount", at="event_time").sort("at")
        ahead = rows.join_asof(sales, on="at", by="shop", strategy="forward", check_sortedness=False)
        return ahead.with_columns(pl.col("amount").fill_null(0).alias("size")).drop("amount", "at")

    finding = _finding(clean.planted(dataclasses.replace(shop.PIPELINE, dataset=filled)))

    assert finding.verdict is Verdict.FAIL
    assert "most in size" in finding.sentence


def test_a_fact_known_a_microsecond_after_each_question_is_seen_where_no_cutoff_falls_between(clean):
    answers = dataclasses.replace(shop.OUTCOMES, name="answers")

    def peeking(read, window):
        told = read("answers", window).select("order_id", told="minutes")
        orders = shop.dataset(read, window).join(told, on="order_id", how="left", maintain_order="left")
        return orders.with_columns(pl.col("told").alias("size")).drop("told")

    catalog = dataclasses.replace(
        clean.catalog,
        facts=clean.catalog.facts | {"answers": Facts(answers)},
        digests=clean.catalog.digests | {"answers": "0" * 64},
    )
    world = dataclasses.replace(
        clean,
        catalog=catalog,
        facts={**clean.facts, "answers": _answers(clean.facts["orders"])},
        asked=clean.asked | {"answers"},
        pipeline=dataclasses.replace(shop.PIPELINE, dataset=peeking),
    )
    finding = _finding(world)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Values replaced by their known_time came through later than T")


def _answers(orders):
    known = (pl.col("event_time") + timedelta(microseconds=1)).alias("known_time")
    return orders.select("order_id", "event_time", known, pl.lit(1.0).alias("minutes"))


def test_a_pipeline_that_refuses_second_rows_of_a_sale_is_no_false_alarm(clean):
    def strict(read, ticks):
        sales = read("sales", Window(ticks[0] - 2 * shop.DAY, ticks[-1]))
        if sales.select("shop", pl.col("event_time").dt.truncate("1m")).is_duplicated().any():
            raise InvalidInput("A shop sold twice in a minute.")
        return shop.moods(read, ticks)

    finding = _finding(_with_moods(clean, strict))

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.control > 500


def test_orders_that_were_recorded_an_hour_late_are_no_false_alarm(clean):
    late = clean.facts["orders"].with_columns(pl.col("known_time") + timedelta(hours=1))
    finding = _finding(dataclasses.replace(clean, facts={**clean.facts, "orders": late}))

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.control > 500


def test_a_label_may_look_later_and_is_not_compared(clean):
    def hindsight(read, window):
        total = read("outcomes", window)["minutes"].sum()
        return shop.dataset(read, window).with_columns((pl.col("label") * total).alias("label"))

    finding = _finding(clean.planted(dataclasses.replace(shop.PIPELINE, dataset=hindsight)))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_pipeline_of_which_nothing_can_change_is_vacuous(clean):
    constant = dataclasses.replace(
        shop.PIPELINE,
        prepare=lambda rows: shop.prepare(rows).with_columns(pl.lit(1.0).alias("size")),
        inputs=("size",),
        features=(),
    )
    finding = _finding(clean.planted(constant))

    assert finding.verdict is Verdict.VACUOUS
    assert finding.control == 0
