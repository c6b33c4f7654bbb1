"""Two frames told apart."""

from __future__ import annotations

import math

import polars as pl

from flows.checks.compare import moved

ROWS = pl.DataFrame({"id": [1, 2, 3, 4], "x": [0.1, None, math.nan, 4.0], "name": ["a", None, "c", "d"]})


def _moved(**columns):
    other = ROWS.with_columns(**columns)
    return moved(ROWS, other.sample(fraction=1, shuffle=True, seed=1), on=["id"], columns=["x", "name"])


def test_equal_rows_in_another_order_differ_in_nothing():
    assert (_moved().total, _moved().compared) == (0, 4)


def test_a_last_bit_is_no_difference_unless_it_must_be_exact():
    nearly = ROWS.with_columns(pl.col("x") * (1 + 1e-15))

    assert moved(ROWS, nearly, on=["id"], columns=["x"]).total == 0
    assert moved(ROWS, nearly, on=["id"], columns=["x"], exact=["x"]).total == 2


def test_sums_made_on_two_ways_may_differ_by_a_share_of_the_largest():
    nearly = ROWS.with_columns(pl.col("x") + 1e-6)

    assert moved(ROWS, nearly, on=["id"], columns=["x"]).total == 2
    assert moved(ROWS, nearly, on=["id"], columns=["x"], close=1e-6).total == 0
    assert moved(ROWS, nearly, on=["id"], columns=["x"], close=1e-7).total == 2
    assert moved(ROWS, ROWS.with_columns(x=None), on=["id"], columns=["x"], close=1e-6).total == 4


def test_null_nan_and_other_dtypes_are_differences():
    assert _moved(x=pl.Series([0.1, 0.0, math.nan, 4.0])).cells == {"x": 1}
    assert _moved(x=pl.Series([0.1, None, None, 4.0])).cells == {"x": 1}
    assert _moved(x=pl.col("x").cast(pl.Float32)).cells == {"x": 4}
    assert _moved(name=pl.lit("a")).cells == {"name": 3}


def test_rows_that_vanished_are_counted_apart():
    found = moved(ROWS, ROWS.head(1), on=["id"], columns=["x"])

    assert (found.total, found.compared, found.lost, found.worst) == (0, 1, 3, "")
