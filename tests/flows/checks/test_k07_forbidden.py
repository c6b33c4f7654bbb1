"""K07: a column that nobody declared is seen by nobody."""

from __future__ import annotations

import dataclasses

import polars as pl
import polars.selectors as cs

from flows.building import split, tune
from flows.checks import k07_forbidden
from flows.checks.check import Verdict, judge
from flows.pipeline import Tuned, Window
from store.errors import InvalidInput
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k07_forbidden.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _with_moods(world, derive):
    derived = {"mood": dataclasses.replace(shop.MOODS, derive=derive)}
    return judge(
        k07_forbidden.CHECK, dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))
    )


def test_a_clean_pipeline_is_handed_the_label_and_does_not_look(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control == finding.numbers["cells"] > 700


def test_a_score_over_all_numbers_of_a_row_is_seen(clean):
    def scored(rows):
        numbers = cs.float() - cs.by_name("label")
        return shop.prepare(rows).with_columns(pl.sum_horizontal(numbers).alias("size"))

    finding = _finding(clean, prepare=scored)

    assert finding.verdict is Verdict.FAIL
    assert "changed the dataset's rows" in finding.sentence
    assert "most in size" in finding.sentence


def test_the_second_column_of_the_source_is_seen(clean):
    def dataset(read, window):
        given = read("orders", window)
        second = given.select("order_id", second=given.to_series(1).to_physical().cast(pl.Float64))
        rows = shop.dataset(read, window).join(second, on="order_id", how="left", maintain_order="left")
        return rows.with_columns(pl.col("second").alias("size")).drop("second")

    assert _finding(clean, dataset=dataset).verdict is Verdict.FAIL


def test_a_derivation_of_every_number_is_seen(clean):
    def all_numbers(read, ticks):
        def wide(group, window):
            return read(group, window).with_columns(amount=pl.sum_horizontal(cs.numeric()))

        return shop.moods(wide, ticks)

    finding = _with_moods(clean, all_numbers)

    assert finding.verdict is Verdict.FAIL
    assert "changed what mood derives" in finding.sentence


def test_a_derivation_that_hands_on_every_column_is_seen(clean):
    def hands_on(read, ticks):
        usual = read("sales", Window(ticks[0] - shop.DAY, ticks[-1])).group_by("shop").agg(cs.numeric().mean())
        return shop.moods(read, ticks).join(usual.drop("amount"), on="shop")

    finding = _with_moods(clean, hands_on)

    assert finding.verdict is Verdict.FAIL
    assert "most in surplus" in finding.sentence


def test_a_split_by_whatever_the_rows_hold_is_seen(clean):
    def by_content(rows):
        parts = split.by_time(rows, shop.PIPELINE.split)
        odd = rows.hash_rows() % 5 == 0
        return pl.Series([None if skip else part for part, skip in zip(parts, odd, strict=True)], dtype=pl.String)

    finding = _finding(clean, split=by_content)

    assert finding.verdict is Verdict.FAIL
    assert "changed the split" in finding.sentence


def test_a_search_that_takes_all_columns_is_seen_and_one_that_names_them_is_not(clean):
    def best(train, columns):
        numbers = train.select(columns).select(cs.float() - cs.by_name("label"))
        return max(numbers.columns, key=lambda name: abs(train.select(pl.corr(name, "label")).item() or 0))

    def greedy(pipeline, train, validation):
        return Tuned({"C": float(1 + len(best(train, train.columns)))}, [])

    def honest(pipeline, train, validation):
        return Tuned(
            {"C": float(1 + len(best(train, pipeline.columns)))}, tune.tune(pipeline, train, validation).trials
        )

    seen, passed = (_finding(clean, tune=one) for one in (greedy, honest))

    assert seen.verdict is Verdict.FAIL
    assert "changed the search" in seen.sentence
    assert passed.verdict is Verdict.PASS, passed.sentence


def test_who_refuses_an_unknown_column_has_not_looked(clean):
    def strict(read, window):
        if len(read("orders", window).columns) != 6:
            raise InvalidInput("The orders have another number of columns.")
        return shop.dataset(read, window)

    finding = _finding(clean, dataset=strict)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert "was refused: The orders have another number of columns" in finding.sentence


def test_a_pipeline_that_reads_no_facts_does_not_apply(clean):
    finding = judge(k07_forbidden.CHECK, dataclasses.replace(clean, facts={}))

    assert (finding.verdict, finding.sentence) == (Verdict.NOT_APPLICABLE, "shop_late reads no facts.")


def test_where_nothing_was_handed_over_nothing_is_shown(clean):
    finding = _finding(
        dataclasses.replace(clean, catalog=dataclasses.replace(clean.catalog, derived={})),
        dataset=lambda read, window: clean.spine.drop("event_time", "hour"),
    )

    assert finding.verdict is Verdict.VACUOUS
