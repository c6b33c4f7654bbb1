"""A signal planted: rows whose model columns carry the label, so that whatever learns at all must find it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import polars as pl

from flows.checks.poison import plantable
from flows.pipeline import Pipeline

HIGH = "_high"
T = TypeVar("T")


def carried(pipeline: Pipeline, rows: pl.DataFrame, every_text: bool = False) -> pl.DataFrame:
    """The labelled rows with every column of the model's that may be rewritten (numbers, texts and truths) in the label's order: of
    numbers each row gets one of the column's own, the larger the larger its label; of texts one of the two most frequent, or with
    ``every_text`` one of the upper half of all in order of the alphabet where its label is high, else of the lower."""
    return carried_by(rows.filter(pl.col("label").is_not_null()), plantable(pipeline), every_text)


def carried_by(rows: pl.DataFrame, columns: Sequence[str], every_text: bool = False) -> pl.DataFrame:
    """Labelled rows with these columns in the label's order; one that is no number, text or truth stays as it is."""
    labels = rows.get_column("label")
    marked = rows.with_columns((pl.col("label") > pl.col("label").mean()).alias(HIGH))
    return marked.with_columns(_carrying(rows.get_column(name), labels, every_text) for name in columns).drop(HIGH)


def learned(learn: Callable[[pl.DataFrame], T], carrying: Callable[[bool], pl.DataFrame]) -> T:
    """What comes of a training on rows that carry the label. ``carrying(every_text)`` gives them: two texts are learned by the weakest
    model, but some trainings need as many columns as all texts make (components to be kept, columns to be chosen)."""
    try:
        return learn(carrying(False))
    except Exception:  # if all texts are refused as well, that is the finding
        return learn(carrying(True))


def in_order(column: pl.Series, score: pl.Series) -> pl.Series:
    """The column's own values dealt to its rows in the order of a score, the smallest to the smallest; rows of one score keep their order,
    and what is null or NaN stays where it is."""
    known = column.is_not_null().to_numpy()
    if column.dtype.is_float():
        known &= ~column.is_nan().fill_null(value=True).to_numpy()
    places = np.flatnonzero(known)
    values = column.gather(pl.Series(places)).sort()
    order = np.lexsort((column.gather(pl.Series(places)).rank("ordinal").to_numpy(), score.to_numpy()[places]))
    return column.scatter(pl.Series(places[order]), values)


def _carrying(column: pl.Series, labels: pl.Series, every_text: bool) -> pl.Expr | pl.Series:
    name, dtype = column.name, column.dtype
    if dtype.is_numeric():
        return in_order(column, labels)
    if dtype == pl.Boolean:
        return pl.col(HIGH).alias(name)
    if dtype == pl.String:
        return _text(column, every_text)
    return pl.col(name)


def _text(column: pl.Series, every_text: bool) -> pl.Expr:
    usual = column.drop_nulls().value_counts(sort=True).get_column(column.name).to_list()
    if not every_text or len(usual) < 2:
        one, other = [*usual, "one", "other"][:2]
        return pl.when(HIGH).then(pl.lit(one)).otherwise(pl.lit(other)).alias(column.name)
    known, half = sorted(usual), len(usual) // 2
    lower = {text: known[place % half] for place, text in enumerate(known)}
    upper = {text: known[place if place >= half else place + half] for place, text in enumerate(known)}
    text = pl.col(column.name)
    high, low = text.replace_strict(upper, default=known[-1]), text.replace_strict(lower, default=known[0])
    return pl.when(HIGH).then(high).otherwise(low)
