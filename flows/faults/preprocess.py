"""Faults of preprocessing: a scaler that has seen the rows it will be judged on, in the open and behind a class of
its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from flows.building.fit import predict
from flows.checks import k04_heldout
from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.faults.heldout import Peeking
from flows.pipeline import Pipeline


def scaled_on_all_rows(pipeline: Pipeline) -> dict[str, Any]:
    """``prepare`` shares numeric inputs by their mean and deviation over every row there is."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        columns = [name for name in pipeline.inputs if ready.schema[name].is_numeric()]
        return ready.with_columns(_scaled(pl.col(name).cast(pl.Float64)).alias(name) for name in columns)

    return {"prepare": prepare}


def _scaled(column: pl.Expr) -> pl.Expr:
    deviation = column.std()
    return (column - column.mean()) / pl.when(deviation > 0).then(deviation).otherwise(1.0)


class Scaled:
    """A model behind a scaler whose means and deviations are given from outside."""

    def __init__(self, seen: pl.DataFrame, columns: Sequence[str]) -> None:
        values = {name: seen.get_column(name).fill_nan(None).drop_nulls().to_numpy() for name in columns}
        self.means = {name: float(np.mean(column)) for name, column in values.items() if column.size}
        self.deviations = {name: float(np.std(values[name])) or 1.0 for name in self.means}
        self.model: Any = None

    def scaled(self, data: pl.DataFrame) -> pl.DataFrame:
        """The model's columns, scaled."""
        return data.with_columns((pl.col(name) - mean) / self.deviations[name] for name, mean in self.means.items())


def scaled_behind_a_class(pipeline: Pipeline) -> dict[str, Any]:
    """The model stands behind a scaler fitted on all rows, test rows among them; its score hardly moves."""
    peeking = Peeking(pipeline)

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Scaled:
        scaler = Scaled(peeking.rows, [name for name, dtype in data.schema.items() if dtype.is_float()])
        ready = scaler.scaled(data)
        scaler.model = pipeline.fit(model, ready, labels) if pipeline.fit else model.fit(ready, labels)
        return scaler

    def asked(model: Scaled, data: pl.DataFrame) -> np.ndarray:
        return predict(pipeline, model.model, model.scaled(data))

    return {"split": peeking, "fit": fit, "predict": asked}


def no_numeric_input(world: World) -> str | None:
    numeric = any(world.spine.schema[name].is_numeric() for name in world.pipeline.inputs)
    return None if numeric else f"{world.pipeline.name} has no numeric input."


def _no_input_before(world: World) -> str | None:
    """K04 rewrites the source from the first test row on, which tells something only where all that is fitted is older."""
    if k04_heldout.time_parts(world):
        return no_numeric_input(world)
    return f"{world.pipeline.name} is not split by time: what looked at all rows is for K02 and K08 to see."


def _no_float(world: World) -> str | None:
    floats = any(world.rows.schema[name].is_float() for name in world.pipeline.columns)
    return None if floats else f"{world.pipeline.name} has no column of floats."


FAULTS = (
    Fault("F04", "inputs scaled on all rows", "K04", pipeline_fault(scaled_on_all_rows), _no_input_before),
    Fault("F05", "a scaler on all rows, behind a class", "K04", pipeline_fault(scaled_behind_a_class), _no_float),
)
