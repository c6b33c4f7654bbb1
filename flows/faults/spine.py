"""Faults of the spine: which questions there are."""

from __future__ import annotations

from typing import Any

import polars as pl

from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Pipeline, Read, Window
from store.features import write


def filtered_by_a_later_column(pipeline: Pipeline) -> dict[str, Any]:
    """The dataset leaves out half of the rows whose label turned out greater than the mean."""

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        rows = pipeline.dataset(read, window)
        half = write.row_hash(rows, pipeline.serving.key) % 2 == 0
        return rows.filter(~(half & (pl.col("label") > pl.col("label").mean())).fill_null(value=False))

    return {"dataset": dataset}


FAULTS = (Fault("F27", "the spine filtered by a later column", "K18", pipeline_fault(filtered_by_a_later_column)),)
