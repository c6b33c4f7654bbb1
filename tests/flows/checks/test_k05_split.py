"""K05: what the model is fitted on ends before what judges it begins."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from flows.checks import k05_split
from flows.checks.check import Verdict, judge
from flows.checks.world import newest
from flows.faults.catalog import FAULTS
from flows.pipeline import TimeSplit
from tests.flows.checks import shop
from tests.power.series import every_reading, stations_ridge
from tests.power.unlike import weeks_ridge

FAULT_OF = {fault.code: fault for fault in FAULTS}


def _finding(world, **components):
    return judge(k05_split.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _labels(world, **labels):
    """The pipeline with columns of its dataset computed anew; ``came`` and ``minutes`` are there to compute with."""

    def dataset(read, window):
        ends = read("outcomes", window).select("order_id", "minutes", came="event_time")
        rows = world.pipeline.dataset(read, window).join(ends, on="order_id", how="left", maintain_order="left")
        return rows.with_columns(**labels).drop("minutes", "came")

    return _finding(world, dataset=dataset)


def by_shop(rows):
    part = pl.col("shop").replace_strict({"amber": "train", "birch": "validation", "cedar": "test"})
    return rows.select(part).to_series()


def test_a_clean_pipeline_is_parted_in_time_and_its_labels_keep_their_time(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control > 100
        assert finding.numbers["test"] > 80
        assert finding.numbers["days"] == 8


def test_rows_dealt_to_the_parts_by_chance_are_seen(clean):
    def shuffled(rows):
        random = np.random.default_rng(1)
        return pl.Series(random.choice(["train", "validation", "test"], rows.height, p=[0.6, 0.2, 0.2]))

    finding = _finding(clean, split=shuffled)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["open"] > 150


def test_a_single_training_label_that_is_open_when_evaluation_begins_is_seen(clean):
    def nearly(rows):
        parts = shop.by_place(rows, 0.5, 0.6)
        last = (parts == "test").arg_max() - 1
        return parts.scatter(last, "train")

    finding = _finding(clean, split=nearly)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["open"] == 1


def test_parts_in_order_of_time_with_a_wide_validation_between_are_no_false_alarm(clean):
    finding = _finding(clean, split=lambda rows: shop.by_place(rows, 0.5, 0.75))

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["open_validation"] > 0


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_declared_unit_on_both_sides_is_seen(clean, part):
    def leaking(rows):
        parts = by_shop(rows)
        return parts.scatter((parts == "test").arg_true()[:3], part)

    seen = _finding(clean, split=leaking, independent_unit="shop")
    timed = _finding(clean, independent_unit="shop")

    assert (seen.verdict, seen.numbers["units_shared"]) == (Verdict.FAIL, 1)
    assert (timed.verdict, timed.numbers["units_shared"]) == (Verdict.FAIL, 3)


def test_a_split_by_declared_units_need_not_follow_time_and_a_unit_of_its_own_for_every_row_need_not_either(clean):
    odd = pl.col("order_id").str.slice(1).cast(pl.Int64) % 5
    by_chance = odd.replace_strict({0: "train", 1: "train", 2: "train", 3: "validation", 4: "test"})

    for split, unit in ((by_shop, "shop"), (lambda rows: rows.select(by_chance).to_series(), "order_id")):
        finding = _finding(clean, split=split, independent_unit=unit)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control > 100


def test_labels_that_look_beyond_their_time_are_seen(minutes):
    finding = _labels(minutes, label_time=pl.col("due") - timedelta(hours=1))

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["labels_too_early"] > 0
    assert "it is too early, or the label looks beyond it" in finding.sentence


def test_one_label_in_fifty_that_comes_after_its_time_is_seen(minutes):
    hasty = pl.col("order_id").str.slice(1).cast(pl.Int64) % 50 == 0
    early = pl.when(hasty).then(pl.col("due") - timedelta(hours=2)).otherwise("due")
    finding = _labels(minutes, label_time=early)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["labels_too_early"] >= 1


def test_a_mean_of_later_labels_in_a_label_is_seen(minutes):
    def smoothed(read, window):
        rows = shop.minutes_dataset(read, window).sort("due")
        return rows.with_columns(pl.col("label").rolling_mean(5, center=True).fill_null(0.0))

    assert _finding(minutes, dataset=smoothed).verdict is Verdict.FAIL


def test_a_mean_of_earlier_labels_of_other_orders_in_a_label_is_no_false_alarm(minutes):
    def relative(read, window):
        rows = shop.minutes_dataset(read, window).sort("due")
        return rows.with_columns(pl.col("label") - pl.col("label").shift(1).fill_null(0.0))

    finding = _finding(minutes, dataset=relative)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_outcomes_that_were_recorded_days_late_are_no_false_alarm(clean):
    late = clean.facts["outcomes"].with_columns(pl.col("known_time") + timedelta(days=3))
    finding = _finding(dataclasses.replace(clean, facts={**clean.facts, "outcomes": late}))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_questions_asked_after_their_answer_are_seen(clean):
    def asked_when_recorded(rows):
        return shop.prepare(rows).with_columns((pl.col("due") + timedelta(minutes=10)).alias("event_time"))

    finding = _finding(clean, prepare=asked_when_recorded)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["asked_late"] > 300


@pytest.mark.parametrize(
    ("test", "classes"), [(timedelta(hours=3), "2"), (timedelta(hours=36), "2"), (timedelta(days=7), "1")]
)
def test_an_evaluation_too_small_to_judge_by_is_seen(clean, test, classes):
    label = (
        pl.col("label")
        if classes == "2"
        else pl.when(pl.col("due") < shop.END - 9 * shop.DAY).then("label").otherwise(0.0)
    )

    def dataset(read, window):
        return shop.dataset(read, window).with_columns(label.alias("label"))

    world = clean.planted(dataclasses.replace(clean.pipeline, dataset=dataset))
    finding = _finding(world, split=TimeSplit(validation=timedelta(days=7), test=test, gap=timedelta(days=1)))

    assert finding.verdict is Verdict.FAIL
    assert "judge nothing" in finding.sentence


def test_copies_of_a_row_in_two_parts_are_seen_where_the_parts_are_by_unit(clean):
    """Each order is there twice, under two customers; one of the customers is trained on, the other judges."""

    def twice(read, window):
        rows = shop.dataset(read, window).with_columns(customer=pl.col("order_id") + "-first")
        again = rows.with_columns(pl.col("order_id") + "-b", customer=pl.col("order_id") + "-second")
        return pl.concat([rows, again])

    def by_customer(rows):
        first, number = rows["customer"].str.ends_with("first"), rows["order_id"].str.extract(r"(\d+)").cast(pl.Int64)
        part = pl.when(pl.lit(number % 5 == 0)).then(pl.lit("validation")).when(pl.lit(first)).then(pl.lit("train"))
        return pl.select(part.otherwise(pl.lit("test"))).to_series()

    finding = _finding(clean, dataset=twice, split=by_customer, independent_unit="customer")

    assert finding.verdict is Verdict.FAIL
    assert "100.0% of the evaluation rows have a twin in training" in finding.sentence


def test_rows_that_are_alike_everywhere_are_no_false_alarm(clean):
    coarse = lambda rows: shop.prepare(rows).with_columns(pl.col("size").round(0))  # noqa: E731
    finding = _finding(clean, prepare=coarse, inputs=("shop", "size"), features=())

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["twins"] > 0.5


def test_a_split_by_a_feature_is_judged_on_the_joined_rows(clean):
    def steady(rows):
        parts = shop.by_place(rows, 0.5, 0.75)
        return parts.zip_with(
            rows["mood_sales_1d"].is_not_null(), pl.Series([None], dtype=pl.String).new_from_index(0, rows.height)
        )

    finding = _finding(clean, split=steady)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_labels_that_come_from_no_source_show_nothing(clean):
    finding = _labels(clean, label=(pl.col("order_id").str.slice(-1).cast(pl.Int64) % 2).cast(pl.Float64))

    assert finding.verdict is Verdict.VACUOUS


def test_what_happened_with_the_question_and_was_known_later_is_no_label_that_is_too_early(tmp_path):
    """Weeks of which only dates are known: the week asked about begins with its question, and ingestion lags by a week."""
    made = weeks_ridge(0)
    weekly = newest(made.fill(tmp_path / "root"), made.catalog, made.pipeline, made.end, within=tmp_path)
    at_once = FAULT_OF["F29"]

    assert judge(k05_split.CHECK, weekly).verdict is Verdict.PASS
    assert judge(k05_split.CHECK, at_once.plant(weekly)).verdict is Verdict.PASS
    assert at_once.excuse(weekly) == "no label of weeks_ridge is decided after its question."


def test_an_answer_within_the_day_of_its_question_is_not_known_with_it(tmp_path):
    """Asked at midnight, measured twelve hours later: no question is asked in between."""
    made = stations_ridge(0)

    def daily(read, window):
        rows = every_reading(read, window).filter(pl.col("at").dt.hour() == 0).drop("label")
        noon = read("readings", window).filter(pl.col("event_time").dt.hour() == 12)
        noon = noon.select("station", label="level", at=pl.col("event_time").dt.truncate("1d"))
        rows = rows.join(noon, on=["station", "at"], how="left", maintain_order="left")
        return rows.with_columns(label_time=pl.col("at") + timedelta(hours=13))

    days = TimeSplit(timedelta(days=12), timedelta(days=12), timedelta(days=1))
    pipeline = dataclasses.replace(made.pipeline, dataset=daily, split=days)
    world = newest(made.fill(tmp_path / "root"), made.catalog, pipeline, made.end, within=tmp_path)

    assert judge(k05_split.CHECK, world).verdict is Verdict.PASS
    assert FAULT_OF["F29"].excuse(world) is None
    assert judge(k05_split.CHECK, FAULT_OF["F29"].plant(world)).verdict is Verdict.FAIL
