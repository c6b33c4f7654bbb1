"""Rows split by time: train … | gap | validation | gap | test, newest last."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from flows.pipeline import Pipeline, TimeSplit
from store.errors import InvalidInput

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def parts(pipeline: Pipeline, rows: pl.DataFrame) -> pl.Series:
    """One of train, validation, test or null (left out) for every row, as a String series named ``part``.

    InvalidInput when a part is empty: a pipeline without evaluation rows has nothing to be judged by.
    """
    found: pl.Series = by_time(rows, pipeline.split) if isinstance(pipeline.split, TimeSplit) else pipeline.split(rows)
    found = found.alias("part")
    labelled = rows.get_column("label").is_not_null()
    counts = {name: int(((found == name) & labelled).sum()) for name in (TRAIN, VALIDATION, TEST)}
    if empty := [name for name, count in counts.items() if not count]:
        raise InvalidInput(
            f"The split of {pipeline.name} leaves no labelled rows for {', '.join(empty)}.",
            f"It has {rows.height:,} rows from {rows['event_time'].min()!s} to {rows['event_time'].max()!s}: {counts}.",
            "Train on a longer window, or declare a shorter validation, test or gap.",
        )
    return found


def by_time(rows: pl.DataFrame, split: TimeSplit) -> pl.Series:
    """The part of each row by its ``event_time``. A row whose label was not known when the next part starts is left out."""
    last = rows.get_column("event_time").max()
    if not isinstance(last, datetime):
        raise InvalidInput("There are no rows to split.", remedy="Ask for a window that holds data.")
    test = last - split.test
    validation_end = test - split.gap
    validation = validation_end - split.validation
    train_end = validation - split.gap
    when, known = pl.col("event_time"), pl.col("label_time")
    return rows.select(
        pl.when(when > test)
        .then(pl.lit(TEST))
        .when((when > validation) & (when <= validation_end) & (known <= test))
        .then(pl.lit(VALIDATION))
        .when((when <= train_end) & (known <= validation))
        .then(pl.lit(TRAIN))
        .alias("part")
    ).to_series()
