"""A signal planted: rows whose model columns carry the label, so that whatever learns at all must find it."""

from __future__ import annotations

import polars as pl

from flows.checks.poison import plantable
from flows.pipeline import Pipeline

STRENGTH = 3.0
HIGH = "_high"
PLACE = "_place"


def carried(pipeline: Pipeline, rows: pl.DataFrame) -> pl.DataFrame:
    """The labelled rows with every column of the model's that may be rewritten (numbers, texts and truths) in the label's order: numbers
    up to three standard deviations from their mean, texts one of their two most frequent values."""
    rows = rows.filter(pl.col("label").is_not_null())
    place = 2 * pl.col("label").rank("average") / pl.len() - 1
    high = pl.col("label") > pl.col("label").mean()
    marked = rows.with_columns(place.alias(PLACE), high.alias(HIGH))
    return marked.with_columns(_carrying(rows.get_column(name)) for name in plantable(pipeline)).select(rows.columns)


def _carrying(column: pl.Series) -> pl.Expr:
    name, dtype = column.name, column.dtype
    if dtype.is_numeric():
        finite = column.cast(pl.Float64).fill_nan(None).drop_nulls()
        mean, deviation = (float(finite.mean() or 0.0), float(finite.std() or 1.0)) if finite.len() > 1 else (0.0, 1.0)  # type: ignore[arg-type]
        value = mean + STRENGTH * max(deviation, 1.0 if dtype.is_integer() else 0.0) * pl.col(PLACE)
        return (value.round() if dtype.is_integer() else value).cast(dtype, strict=False).alias(name)
    if dtype == pl.Boolean:
        return pl.col(HIGH).alias(name)
    if dtype == pl.String:
        usual = column.drop_nulls().value_counts(sort=True).get_column(name).head(2).to_list()
        one, other = [*usual, "one", "other"][:2]
        return pl.when(HIGH).then(pl.lit(one)).otherwise(pl.lit(other)).alias(name)
    return pl.col(name)
