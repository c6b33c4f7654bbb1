"""Faults of the spine: which questions there are, and whose answer is taken for whose."""

from __future__ import annotations

from typing import Any

import polars as pl

from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Pipeline, Read, Window


def filtered_by_a_later_column(pipeline: Pipeline) -> dict[str, Any]:
    """The dataset keeps only the rows whose label turned out no greater than the mean."""

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        rows = pipeline.dataset(read, window)
        return rows.filter(pl.col("label") <= pl.col("label").mean())

    return {"dataset": dataset}


FAULTS = (Fault("F27", "the spine filtered by a later column", "K18", pipeline_fault(filtered_by_a_later_column)),)
