"""Evaluation rows poisoned in the joined frame: their features, or their labels, made what they were not.

Only the model's columns are touched: keys, times and the declared ``independent_unit`` say which row it is, and a
split may go by them.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flows.pipeline import Pipeline

HUGE = 1e6
SPARED = ("label", "label_time", "event_time")


def plantable(pipeline: Pipeline) -> list[str]:
    """The model's columns that say nothing of which row it is."""
    unit = {pipeline.independent_unit} if pipeline.independent_unit else set()
    return [name for name in pipeline.columns if name not in {*pipeline.serving.key, *SPARED, *unit}]


def features(
    pipeline: Pipeline, rows: pl.DataFrame, poisoned: pl.Series, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """The rows with the model's columns (or these) poisoned where ``poisoned``: numbers plus one times a million, text in
    new categories, booleans flipped; and every third row null in columns that have nulls elsewhere, NaN where they have
    those."""
    third = poisoned & (pl.int_range(rows.height, eager=True) % 3 == 0)
    others = rows.filter(~poisoned)
    return rows.with_columns(
        _poisoned(rows.get_column(name), others.get_column(name), poisoned, third)
        for name in (plantable(pipeline) if columns is None else columns)
    )


def labels(pipeline: Pipeline, rows: pl.DataFrame, poisoned: pl.Series) -> pl.DataFrame:
    """The rows with their labels flipped (1 - y), or for a regression turned and shifted, where ``poisoned``."""
    label = pl.col("label")
    other = 1 - label if pipeline.task == "classification" else 1000 - 3 * label
    return rows.with_columns(pl.when(poisoned).then(other).otherwise(label).alias("label"))


def _poisoned(column: pl.Series, elsewhere: pl.Series, poisoned: pl.Series, third: pl.Series) -> pl.Series:
    name, dtype = column.name, column.dtype
    changed = pl.when(poisoned).then(_other(pl.col(name), dtype)).otherwise(pl.col(name))
    if elsewhere.null_count():
        changed = pl.when(third).then(None).otherwise(changed)
    elif dtype.is_float() and elsewhere.is_nan().any():
        changed = pl.when(third).then(float("nan")).otherwise(changed)
    return column.to_frame().select(changed.cast(dtype).alias(name)).to_series()


def _other(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_integer():
        return ((column.cast(pl.Float64) + 1) * HUGE).cast(dtype, strict=False)
    if dtype.is_float():
        return (column + 1) * HUGE
    if dtype == pl.Boolean:
        return ~column
    if dtype == pl.String:
        return pl.lit("poison ") + column
    if dtype.is_temporal():
        return column.dt.offset_by("1y")
    return column
