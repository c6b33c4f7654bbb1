"""What an author declared of single values, held against what the code gives."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import polars as pl
import pytest

from flows.checks import declared, k13_transforms
from flows.checks.check import Verdict, judge
from flows.pipeline import Aggregate, Worked
from tests.flows.checks import shop


def _aggregates(clean, **aggregates):
    """The broken ones, when these are declared of the moods."""
    moods = dataclasses.replace(shop.MOODS, aggregates=aggregates)
    catalog = dataclasses.replace(clean.catalog, derived={"mood": moods})
    return [cell.broken for cell in declared.aggregates(dataclasses.replace(clean, catalog=catalog)) if cell.broken]


def test_a_derived_group_equals_a_loop_over_the_rows_that_count(clean):
    cells = list(declared.aggregates(clean))

    assert len(cells) == 2 * len(shop.SHOPS) * len(shop.DECLARED)
    assert not any(cell.broken for cell in cells)
    assert all(cell.seen for cell in cells)


@pytest.mark.parametrize(
    ("how", "over"), [("count", shop.DAY / 2), ("count", shop.DAY + timedelta(hours=2)), ("sum", shop.DAY)]
)
def test_another_window_or_another_sum_is_told_with_the_row_and_the_tick(clean, how, over):
    broken = _aggregates(clean, sales_1d=Aggregate(shop.amounts, how, over))

    assert len(broken) == 2 * len(shop.SHOPS)
    assert broken[0].startswith("mood.sales_1d of amber at 2024-")
    assert "UTC is 11, not " in broken[0]


def test_smallest_and_largest_can_be_declared_too(clean):
    low, high = (Aggregate(shop.amounts, how, shop.DAY) for how in ("min", "max"))

    broken = _aggregates(clean, mean_1d=low) + _aggregates(clean, mean_1d=high)

    assert len(broken) == 4 * len(shop.SHOPS)


def test_what_is_not_known_by_the_tick_does_not_count(clean):
    """Declared without its known_time, a late sale counts for the loop, and not for the derivation."""

    def hasty(read, window):
        return shop.amounts(read, window).drop("known_time")

    assert _aggregates(clean, sales_1d=Aggregate(hasty, "count", shop.DAY))


def test_of_no_row_at_all_the_mean_is_null_and_the_count_is_zero(clean):
    def none(read, window):
        return shop.amounts(read, window).with_columns(pl.lit(None, pl.Float64).alias("value"))

    assert "not None" in _aggregates(clean, mean_1d=Aggregate(none, "mean", shop.DAY))[0]
    assert "not 0" in _aggregates(clean, sales_1d=Aggregate(none, "count", shop.DAY))[0]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"hour": 7}, ""),
        ({"hour": 8}, "hour of the row worked out by hand (1) is 7, not 8"),
        ({"shop": "amber", "size": 1.5}, ""),
        ({"shop": "birch"}, "shop of the row worked out by hand (1) is 'amber', not 'birch'"),
        ({"minute": 7}, "minute of the row worked out by hand (1) is 'not there', not 7"),
    ],
)
def test_a_row_worked_out_by_hand_is_prepared_as_it_says(clean, columns, said):
    one = Worked(shop.PIPELINE.worked[0].row, columns)
    pipeline = dataclasses.replace(shop.PIPELINE, worked=(one,))

    assert [cell.broken for cell in declared.worked(clean.planted(pipeline)) if cell.broken] == ([said] if said else [])


def test_k13_fails_where_a_declared_value_is_another(clean):
    wrong = Worked(shop.PIPELINE.worked[0].row, {"hour": 8})

    finding = judge(k13_transforms.CHECK, clean.planted(dataclasses.replace(shop.PIPELINE, worked=(wrong,))))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence == "1 of 13 declared values are not so: hour of the row worked out by hand (1) is 7, not 8."
