"""Faults of company: answers that depend on the rows beside, and on their order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from flows.building.fit import predict
from flows.checks.world import World
from flows.faults.derived import Derive, countable, derivations, no_derived
from flows.faults.fault import Fault, pipeline_fault
from flows.faults.preprocess import no_numeric_input
from flows.pipeline import Derived, Pipeline, Read
from store.features.group import EVENT_TIME


def centred_in_its_batch(pipeline: Pipeline) -> dict[str, Any]:
    """Predictions are moved by the mean of those they are asked with."""

    def asked(model: Any, data: pl.DataFrame) -> np.ndarray:
        found = predict(pipeline, model, data)
        return found - found.mean() / 2

    return {"predict": asked}


def leaning_on_the_row_before(pipeline: Pipeline) -> dict[str, Any]:
    """A tenth of each prediction is the one before it."""

    def asked(model: Any, data: pl.DataFrame) -> np.ndarray:
        found = predict(pipeline, model, data)
        return 0.9 * found + 0.1 * np.roll(found, 1)

    return {"predict": asked}


def ranked_among_the_rows(pipeline: Pipeline) -> dict[str, Any]:
    """``prepare`` gives numeric inputs as their ranks among the rows it is given."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        numbers = [name for name in pipeline.inputs if ready.schema[name].is_numeric()]
        return ready.with_columns(pl.col(name).rank().cast(ready.schema[name]).alias(name) for name in numbers)

    return {"prepare": prepare}


def counted_by_tick(world: World) -> World:
    """A derived number grows with the tick's place among those asked for; other values are there at the first only."""

    def plant(derived: Derived) -> Derive:
        name, dtype = countable(derived)

        def derive(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
            rows = derived.derive(read, ticks)
            place = rows.get_column(EVENT_TIME).rank("dense").cast(pl.Int64) - 1
            value = pl.col(name) + place if dtype.is_numeric() else pl.when(place == 0).then(name)
            return rows.with_columns(value.cast(dtype).alias(name))

        return derive

    return derivations(world, plant)


FAULTS = (
    Fault("F24", "predictions centred in their batch", "K08", pipeline_fault(centred_in_its_batch)),
    Fault("F25", "predictions leaning on the row before", "K08", pipeline_fault(leaning_on_the_row_before)),
    Fault("F26", "a value that counts ticks", "K08", counted_by_tick, no_derived),
    Fault("F33", "inputs ranked among the rows", "K08", pipeline_fault(ranked_among_the_rows), no_numeric_input),
)
