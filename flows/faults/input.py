"""Faults of what cannot be used: it is answered all the same, or too slowly.

All but one stand where production's parts stand (``World.road``); a model behind a wrapper is the pipeline's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from flows.building.fit import predict
from flows.checks import k15_input
from flows.checks.world import World
from flows.faults.deploy import served_with
from flows.faults.fault import Fault
from flows.pipeline import Pipeline
from flows.serving.predict import Answered, Predictor
from flows.serving.schema import Asked, Schema
from store.errors import AssayError

LOADS = int(2.4 * k15_input.SLOWEST)


class Swallowing(Predictor):
    """A service's road on which whatever goes wrong is answered with one half."""

    def answer(self, model: Any, asked: Asked) -> Answered:
        """One half, where there is an error."""
        try:
            return super().answer(model, asked)
        except AssayError:
            return Answered([0.5] * len(asked.rows), [{} for _ in asked.rows])


def exceptions_swallowed(world: World) -> World:
    """The service answers one half where it should refuse."""
    return world.but(road=dataclasses.replace(world.road, predictor=Swallowing))


class Lenient(Schema):
    """A schema of before the last fields: what is missing is null."""

    def asked(self, body: Mapping[str, Any]) -> Asked:
        """The body, with nulls for what is not there."""
        rows = body.get("rows")
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            body = {**body, "rows": [{**dict.fromkeys(self.request), **row} for row in rows]}
        return super().asked(body)


def old_schema_accepted(world: World) -> World:
    """The service takes requests of an older application, and null for the fields that they lack."""
    return world.but(road=dataclasses.replace(world.road, schema=Lenient))


def silent_nan(world: World) -> World:
    """The service says 0 where the model says NaN."""
    pipeline = world.pipeline
    return served_with(world, predict=lambda model, data: np.nan_to_num(_unchecked(pipeline, model, data)))


def _unchecked(pipeline: Pipeline, model: Any, data: pl.DataFrame) -> np.ndarray:
    """As ``fit.predict``, whatever comes."""
    if pipeline.predict:
        return np.asarray(pipeline.predict(model, data), dtype=np.float64)
    found = model.predict_proba(data)[:, 1] if pipeline.task == "classification" else model.predict(data)
    return np.asarray(found, dtype=np.float64)


def errors_hidden_behind_a_wrapper(world: World) -> World:
    """A wrapper around the model says one half where the model raises."""
    pipeline = world.pipeline

    def asked(model: Any, data: pl.DataFrame) -> np.ndarray:
        try:
            return predict(pipeline, model, data)
        except Exception:  # the fault itself
            return np.full(data.height, 0.5)

    return world.but(pipeline=dataclasses.replace(pipeline, predict=asked))


def slow_to_answer(world: World) -> World:
    """Each answer does the work of hundreds besides its own."""
    pipeline = world.pipeline

    def asked(model: Any, data: pl.DataFrame) -> np.ndarray:
        k15_input.load(LOADS)
        return predict(pipeline, model, data)

    return served_with(world, predict=asked)


def _nothing_but_a_key(world: World) -> str | None:
    more = set(world.pipeline.serving.request) - set(world.pipeline.serving.key)
    return None if more else f"a request of {world.pipeline.name} has nothing but its key."


def _zero_is_usual(world: World) -> str | None:
    few = world.judged.get_column("prediction").n_unique() <= 2
    return f"{world.pipeline.name} says little but 0." if few or k15_input.standing(world)[-1] == 0 else None


FAULTS = (
    Fault("F78", "exceptions swallowed", "K15", exceptions_swallowed),
    Fault("F79", "an old schema accepted", "K15", old_schema_accepted, _nothing_but_a_key),
    Fault("F80", "a silent NaN", "K15", silent_nan, _zero_is_usual),
    Fault("F81", "errors hidden behind a wrapper", "K15", errors_hidden_behind_a_wrapper),
    Fault("F82", "slow to answer", "K15", slow_to_answer),
)
