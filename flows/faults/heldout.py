"""A split that remembers what it saw, so that the components after it can be made to peek."""

from __future__ import annotations

import polars as pl

from flows.building import split
from flows.pipeline import Pipeline


class Peeking:
    """A pipeline's own split, which keeps the rows it was last asked about and their parts."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.rows = pl.DataFrame()

    def __call__(self, rows: pl.DataFrame) -> pl.Series:
        """The parts of the rows, as the pipeline's own split gives them."""
        parts = split.parts(self.pipeline, rows)
        self.rows = rows.with_columns(parts)
        return parts

    def part(self, name: str) -> pl.DataFrame:
        """The labelled rows of a part."""
        return self.rows.filter(pl.col("part") == name, pl.col("label").is_not_null()).drop("part")
