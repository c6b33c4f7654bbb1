"""Faults of what a pipeline takes from the process it runs in: chance, the clock, the time zone, the order of sets."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from flows.building.fit import predict
from flows.checks.world import World
from flows.faults.fault import Fault, numeric_inputs, pipeline_fault
from flows.pipeline import Pipeline


def unseeded(pipeline: Pipeline) -> dict[str, Any]:
    """Each fit draws its rows anew, with a generator that nobody seeded."""

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
        kept = np.flatnonzero(np.random.default_rng().random(len(labels)) < 0.9)
        data, labels = data[kept], labels[kept]
        return pipeline.fit(model, data, labels) if pipeline.fit else model.fit(data, labels)

    return {"fit": fit}


def jittered(pipeline: Pipeline) -> dict[str, Any]:
    """A wrapper around the model breaks ties by chance."""

    def asked(model: Any, data: pl.DataFrame) -> np.ndarray:
        honest = predict(pipeline, model, data)
        return honest + np.random.default_rng().uniform(-1e-12, 1e-12, honest.size) * np.abs(honest)

    return {"predict": asked}


def _added(what: Callable[[pl.Series], pl.Series | int]) -> Callable[[Pipeline], dict[str, Any]]:
    """Something of the process is added to the first numeric input; ``what`` is given when each row is asked."""

    def planted(pipeline: Pipeline) -> dict[str, Any]:
        def prepare(rows: pl.DataFrame) -> pl.DataFrame:
            ready = pipeline.prepare(rows)
            name = numeric_inputs(pipeline, ready)[0]
            return ready.with_columns(
                (pl.col(name) + what(ready.get_column("event_time"))).cast(ready.schema[name]).alias(name)
            )

        return {"prepare": prepare}

    planted.__doc__ = what.__doc__
    return planted


def _now(asked: pl.Series) -> int:
    """Microseconds of the process's own clock are added to an input: seconds of whole numbers could be the other process's."""
    return time.monotonic_ns() // 1000


def _local_hour(asked: pl.Series) -> pl.Series:
    """The hour on the wall where the process runs is added to an input."""
    return pl.Series([datetime.fromtimestamp(one.timestamp()).astimezone().hour for one in asked], dtype=pl.Int64)


def _order(asked: pl.Series) -> int:
    """The place where a set happens to keep a name is added to an input."""
    names = [f"name {number}" for number in range(100)]
    return list(set(names)).index(names[0])


def _no_numeric_input(world: World) -> str | None:
    return None if numeric_inputs(world.pipeline, world.spine) else f"{world.pipeline.name} has no numeric input."


FAULTS = (
    Fault("F48", "rows drawn by an unseeded generator", "K09", pipeline_fault(unseeded)),
    Fault("F49", "jitter behind a wrapper", "K09", pipeline_fault(jittered)),
    Fault("F50", "now() in an input", "K09", pipeline_fault(_added(_now)), _no_numeric_input),
    Fault("F51", "the hour of the process's zone", "K09", pipeline_fault(_added(_local_hour)), _no_numeric_input),
    Fault("F52", "the order of a set", "K09", pipeline_fault(_added(_order)), _no_numeric_input),
)
