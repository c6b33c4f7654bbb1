"""K01: another schema is refused, or changes nothing."""

from __future__ import annotations

import dataclasses

import polars as pl
import polars.selectors as cs
import pytest

from flows.checks import k01_schema
from flows.checks.check import Verdict, judge
from flows.pipeline import Facts
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k01_schema.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _with_moods(world, derive):
    derived = {"mood": dataclasses.replace(shop.MOODS, derive=derive)}
    return judge(
        k01_schema.CHECK, dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))
    )


def _reading(how, dataset=shop.dataset):
    return lambda read, window: dataset(lambda group, asked: how(read(group, asked)), window)


def test_a_clean_pipeline_misses_every_column_it_names(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control == 9
        assert finding.numbers["refused"] > finding.control


@pytest.mark.parametrize(
    "how",
    [
        lambda rows: rows.with_columns(rows.to_series(4).alias("size")) if "size" in rows.columns else rows,
        lambda rows: rows.with_columns(rows.to_series(3).alias("shop")) if "shop" in rows.columns else rows,
        lambda rows: rows.with_columns(rows.to_series(-1).alias("due")) if "due" in rows.columns else rows,
    ],
    ids=["a number", "a name", "a time"],
)
def test_columns_taken_by_their_place_are_seen(clean, how):
    finding = _finding(clean, dataset=_reading(how))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Columns ")
    assert finding.numbers["cells"] + finding.numbers["questions_apart"] > 100


def test_a_derivation_that_counts_columns_is_seen(clean):
    def by_place(read, ticks):
        def named(group, window):
            rows = read(group, window)
            return pl.DataFrame(
                {
                    "shop": rows["shop"],
                    "event_time": rows.to_series(1),
                    "known_time": rows.to_series(2),
                    "amount": rows["amount"],
                }
            )

        return shop.moods(named, ticks)

    finding = _with_moods(clean, by_place)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("mood takes columns by their place")


def test_a_missing_column_that_is_made_up_is_seen(clean):
    def patient(rows):
        return rows if "size" in rows.columns or "minutes" in rows.columns else rows.with_columns(size=pl.lit(0.0))

    finding = _finding(clean, dataset=_reading(patient))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Size renamed in orders, and nothing refused it")


@pytest.mark.parametrize(
    "number",
    [
        pl.col("minutes").cast(pl.Float64, strict=False),
        pl.col("minutes").cast(pl.String).str.extract(r"^(-?[\d.]+)").cast(pl.Float64),
    ],
    ids=["cast", "extracted"],
)
def test_numbers_that_cannot_be_read_and_become_null_are_seen(minutes, number):
    def lenient(rows):
        return rows.with_columns(number.alias("minutes")) if "minutes" in rows.columns else rows

    finding = _finding(minutes, dataset=_reading(lenient, shop.minutes_dataset))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Minutes unreadable in outcomes")
    assert finding.numbers["cells"] > 20


def test_a_second_row_under_a_key_that_makes_a_question_of_its_own_is_seen(clean):
    def numbered(read, window):
        rows = shop.dataset(read, window)
        first = rows["order_id"].is_first_distinct()
        return rows.with_columns(
            pl.when(first).then("order_id").otherwise(pl.format("{}-again", "order_id")).alias("order_id")
        )

    finding = _finding(clean, dataset=numbered)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Keys doubled in orders")
    assert finding.numbers["questions_apart"] > 40


def test_a_wide_group_is_asked_about_some_of_its_columns_and_all_of_its_numbers(clean):
    names = [f"reading_{number}" for number in range(120)]
    wide = dataclasses.replace(shop.ORDERS, values={**shop.ORDERS.values, **dict.fromkeys(names, pl.Float64())})
    rows = clean.facts["orders"].with_columns(pl.col("size").alias(name) for name in names)
    catalog = dataclasses.replace(clean.catalog, facts=clean.catalog.facts | {"orders": Facts(wide)})
    world = dataclasses.replace(clean, catalog=catalog, facts={**clean.facts, "orders": rows})
    changes = [change.what for change in k01_schema.changes(world) if change.group == "orders"]

    def swallowing(rows):
        given = [name for name in rows.columns if name.startswith("reading_11")]
        return rows.with_columns(pl.col(name).cast(pl.Float64, strict=False) for name in given)

    last = (*shop.PIPELINE.inputs, "reading_119")
    finding = _finding(world, dataset=_reading(swallowing), inputs=last)

    assert len([what for what in changes if what.endswith("renamed")]) <= 3 + k01_schema.RENAMED
    assert len([what for what in changes if what.endswith("unreadable")]) <= k01_schema.BLOCKS
    assert _finding(world, inputs=last).verdict is Verdict.PASS
    assert finding.verdict is Verdict.FAIL
    assert "reading_119 unreadable in orders" in finding.sentence


def test_a_join_that_fans_out_is_counted(clean):
    def with_sales(read, window):
        sales = read("sales", window).select("shop", "amount", day=pl.col("event_time").dt.date())
        rows = shop.dataset(read, window).with_columns(day=pl.col("due").dt.date())
        return rows.join(sales, on=["shop", "day"], how="left").drop("day", "amount")

    finding = _finding(clean, dataset=with_sales)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["twice"] == finding.numbers["rows"] - 360 > 1000


@pytest.mark.parametrize(
    "how",
    [
        lambda rows: rows.drop_nulls(),
        lambda rows: rows.unique(maintain_order=True),
        lambda rows: rows.with_columns(cs.numeric().cast(pl.Float64)),
        lambda rows: rows.select(sorted(rows.columns)),
        lambda rows: rows.with_columns(pl.col(pl.Float64).round(6)),
    ],
    ids=["without nulls", "unique", "cast", "sorted", "rounded"],
)
def test_careless_and_sound_reading_is_no_false_alarm(clean, how):
    finding = _finding(clean, dataset=_reading(how))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_an_order_that_is_another_for_text_is_polars_way_and_no_false_alarm(clean):
    def placed(read, window):
        return shop.dataset(read, window).with_columns(pl.col("size").arg_sort().cast(pl.Float64))

    finding = _finding(clean, dataset=placed)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_dataset_that_reads_nothing_does_not_apply(clean):
    rows = clean.spine.drop("event_time", "hour")
    finding = judge(
        k01_schema.CHECK,
        dataclasses.replace(
            clean, asked=frozenset(), pipeline=dataclasses.replace(shop.PIPELINE, dataset=lambda read, window: rows)
        ),
    )

    assert (finding.verdict, finding.sentence) == (
        Verdict.NOT_APPLICABLE,
        "the dataset of shop_late reads no facts.",
    )


def test_a_dataset_that_uses_no_column_it_reads_shows_nothing(clean):
    rows = clean.spine.drop("event_time", "hour")

    def ignores(read, window):
        read("orders", window)
        return rows

    assert _finding(clean, dataset=ignores).verdict is Verdict.VACUOUS
