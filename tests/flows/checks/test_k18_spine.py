"""K18: which questions there are does not depend on what became known after they were asked."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import polars as pl
import pytest

from flows.checks import k18_spine
from flows.checks.check import Verdict, judge
from flows.pipeline import TIME, Serving
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k18_spine.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _told_at_once(world):
    """The world of a file in which each answer is known with its question."""
    asked = world.facts["orders"].select("order_id", "event_time", "known_time")
    told = world.facts["outcomes"].drop("event_time", "known_time").join(asked, on="order_id")
    return dataclasses.replace(world, facts={**world.facts, "outcomes": told.select(world.facts["outcomes"].columns)})


def test_a_clean_pipeline_keeps_its_questions_while_labels_change(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control > 250
        assert 0 < finding.numbers["share_missing"] < 0.05


@pytest.mark.parametrize("kept", [pl.col("minutes") < 30, pl.col("came") - pl.col("due") < timedelta(minutes=20)])
def test_orders_kept_by_how_they_ended_are_seen(clean, kept):
    def ended_well(read, window):
        ends = read("outcomes", window).select("order_id", "minutes", came="event_time")
        rows = shop.dataset(read, window).join(ends, on="order_id", how="left", maintain_order="left")
        return rows.filter(kept).drop("minutes", "came")

    finding = _finding(clean, dataset=ended_well)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["lost"] > 0
    assert "one without an answer has a null label" in finding.sentence


def test_one_question_in_a_hundred_left_out_by_its_outcome_is_seen(clean):
    def without_the_worst(read, window):
        ends = read("outcomes", window)
        worst = ends.filter(pl.col("minutes") > ends["minutes"].quantile(0.99)).select("order_id")
        return shop.dataset(read, window).join(worst, on="order_id", how="anti")

    finding = _finding(clean, dataset=without_the_worst)

    assert finding.verdict is Verdict.FAIL
    assert 1 <= finding.numbers["lost"] < 10


def test_a_neighbours_later_facts_that_choose_the_questions_are_seen(clean):
    def busy_tomorrow(read, window):
        sales = read("sales", window).group_by("shop", day=pl.col("event_time").dt.truncate("1d"))
        rows = shop.dataset(read, window).with_columns((pl.col("due") + shop.DAY).dt.truncate("1d").alias("day"))
        rows = rows.join(sales.agg(pl.col("amount").sum()), on=["shop", "day"], how="left", maintain_order="left")
        return rows.filter(pl.col("amount").fill_null(600) > 590).drop("amount", "day")

    world = dataclasses.replace(clean, asked=clean.asked | {"sales"})
    finding = _finding(world, dataset=busy_tomorrow)

    assert finding.verdict is Verdict.FAIL


def test_an_order_left_out_for_another_orders_earlier_end_is_no_false_alarm(clean):
    def after_a_good_one(read, window):
        """Asked only where the last order that had ended by then had ended well."""
        ends = read("outcomes", window).select("minutes", at="event_time").sort("at")
        rows = shop.dataset(read, window).with_columns((pl.col("due") - timedelta(hours=5)).alias("at")).sort("at")
        rows = rows.join_asof(ends, on="at", allow_exact_matches=False)
        return rows.filter(pl.col("minutes").fill_null(0) < 15).drop("minutes", "at")

    finding = _finding(clean, dataset=after_a_good_one)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["lost_for_other_keys"] > 0


def test_hours_whose_next_measurement_holds_nothing_are_left_out_without_alarm(clean):
    """A shop's sales to come, predicted of its sales: what has no next sale is left out."""
    facts = clean.facts["sales"].with_columns(pl.when(pl.int_range(pl.len()) % 9 > 0).then("amount").alias("amount"))

    def next_sales(read, window):
        sales = read("sales", window).sort("shop", "event_time").select("shop", "amount", at="event_time")
        following = sales.with_columns(pl.col("amount", "at").shift(-1).over("shop").name.prefix("next_")).drop_nulls()
        return following.select("shop", "at", size="amount", label="next_amount", label_time="next_at")

    serving = Serving({"shop": pl.String(), "at": TIME, "size": pl.Float64()}, {}, ("shop", "at"))
    world = dataclasses.replace(clean, facts={**clean.facts, "sales": facts}, asked=frozenset({"sales"}))
    finding = _finding(
        world,
        serving=serving,
        dataset=next_sales,
        prepare=lambda rows: rows.with_columns(event_time="at", due="at", hour=pl.lit(0)),
    )

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.control > 0


def test_orders_that_are_kept_if_they_have_any_answer_are_counted_and_no_false_alarm(clean):
    def answered(read, window):
        return shop.dataset(read, window).join(read("outcomes", window), on="order_id", how="semi")

    holes = clean.facts["outcomes"].gather_every(2)
    world = dataclasses.replace(clean, facts={**clean.facts, "outcomes": holes})
    finding = _finding(world, dataset=answered)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["share_missing"] > 0.4


def test_a_filter_by_what_was_known_when_it_was_asked_is_no_false_alarm(clean):
    def small(read, window):
        return shop.dataset(read, window).filter(pl.col("size") < 0)

    finding = _finding(clean, dataset=small)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_where_the_answer_stands_in_the_questions_own_row_its_column_counts_as_later(minutes):
    world = _told_at_once(minutes)
    honest = _finding(world)
    quick = world.pipeline.dataset
    chosen = _finding(world, dataset=lambda read, window: quick(read, window).filter(pl.col("label") < 30))

    assert honest.verdict is Verdict.PASS, honest.sentence
    assert honest.control > 100
    assert chosen.verdict is Verdict.FAIL


def test_where_only_one_kind_of_answer_is_kept_the_column_that_chose_it_is_seen(clean):
    world = _told_at_once(clean)
    finding = _finding(world, dataset=lambda read, window: shop.dataset(read, window).filter(pl.col("label") == 0))

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["lost"] > 20


def test_labels_that_come_from_no_source_show_nothing(clean):
    def constant(read, window):
        return shop.dataset(read, window).with_columns(pl.lit(1.0).alias("label"))

    finding = _finding(clean, dataset=constant)

    assert finding.verdict is Verdict.VACUOUS
