"""Faults of deployment: the service does otherwise than the training, in what it loads, looks up, prepares or asks the model with.

They stand where production's parts stand (``World.road``): the pipeline itself, and what was trained of it, is as it was.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from flows.building.fit import fit, predict
from flows.checks import compare, k12_parity
from flows.checks.learned import reached
from flows.checks.world import World
from flows.faults.fault import Fault, numeric_inputs
from flows.pipeline import Pipeline
from flows.serving.predict import Predictor
from store.layout import Root

Served = Callable[[World], World]
Data = Callable[[pl.DataFrame], pl.DataFrame]
"""What the model is asked with at serving, made of what it should be."""
DAY = timedelta(days=1)
PAIRS = 40


def _with(
    made: Callable[..., Predictor], components: Mapping[str, Any], root: Root, pipeline: Pipeline, versions: Mapping[str, int]
) -> Predictor:  # fmt: skip
    return made(root, dataclasses.replace(pipeline, **components), versions)


def served_with(world: World, **components: Any) -> World:
    """The world whose service has other components than what was trained."""
    predictor = functools.partial(_with, world.road.predictor, components)
    return world.but(road=dataclasses.replace(world.road, predictor=predictor))


# ---- the model ----------------------------------------------------------------------------------------------------


def another_model(world: World) -> World:
    """The service loads a model of another training: of every other row, its labels the other way round."""
    return _loading(world, _other(world))


def _other(world: World) -> Any:
    rows = world.trained.train.filter(pl.col("label").is_not_null()).gather_every(2)
    return fit(world.pipeline, world.trained.tuned.parameters, rows.with_columns(pl.col("label").reverse()))


def scaler_skipped(world: World) -> World:
    """What scalers have learned is lost on the way: at serving they do nothing."""
    return _loading(world, _rescaled(world, _forgetful))


def another_ddof(world: World) -> World:
    """At serving, deviations are those of a sample (n - 1), in training those of all there is (n)."""
    return _loading(world, _rescaled(world, _of_a_sample))


def _loading(world: World, model: Any) -> World:
    return world.but(road=dataclasses.replace(world.road, load=lambda data, **_: model))


def _rescaled(world: World, change: Callable[[Any, int], None]) -> Any:
    """The model, read back, with the scalers in it changed; ``change`` is told how many rows they were fitted on."""
    model = world.road.load(world.stored, trusted=world.pipeline.trusted, package=world.pipeline.name)
    rows = world.trained.train.get_column("label").count()
    for scaler in _scalers(model):
        change(scaler, rows)
    return model


def _scalers(model: Any) -> list[Any]:
    """Whatever holds means and deviations by column, as standard scalers do."""
    return [one for one in reached(model) if _numbers(one, "mean_") and _numbers(one, "scale_")]


def _numbers(one: Any, name: str) -> bool:
    found = vars(one).get(name)
    return isinstance(found, np.ndarray) and found.dtype.kind == "f"


def _forgetful(scaler: Any, rows: int) -> None:
    scaler.mean_, scaler.scale_ = np.zeros_like(scaler.mean_), np.ones_like(scaler.scale_)


def _of_a_sample(scaler: Any, rows: int) -> None:
    scaler.scale_ = scaler.scale_ * math.sqrt(rows / (rows - 1))


# ---- what it is asked with ----------------------------------------------------------------------------------------


def _asking(world: World, change: Data) -> World:
    pipeline = world.pipeline
    return served_with(world, predict=lambda model, data: predict(pipeline, model, change(data)))


def nothing_is_zero(world: World) -> World:
    """At serving, a number that is missing is taken for 0."""
    return _asking(world, _zeros)


def _zeros(data: pl.DataFrame) -> pl.DataFrame:
    return data.with_columns(
        pl.col(name).fill_nan(0).fill_null(0) if dtype.is_float() else pl.col(name).fill_null(0)
        for name, dtype in data.schema.items()
        if dtype.is_numeric()
    )


def columns_swapped(world: World) -> World:
    """At serving, two columns of one type stand in each other's place."""
    pair = _pair(world)
    assert pair is not None
    return _asking(world, functools.partial(_swapped, pair))


def _swapped(pair: tuple[str, str], data: pl.DataFrame) -> pl.DataFrame:
    one, other = pair
    return data.with_columns(pl.col(other).alias(one), pl.col(one).alias(other))


def _pair(world: World) -> tuple[str, str] | None:
    """The first two columns of one type that the model does not take for each other."""
    schema, asked = world.rows.select(world.pipeline.columns).schema, k12_parity.questions(world)
    alike = [pair for pair in itertools.combinations(schema, 2) if schema[pair[0]] == schema[pair[1]]]
    return next((pair for pair in alike[:PAIRS] if _moves(world, functools.partial(_swapped, pair), asked)), None)


def refitted_on_each_request(world: World) -> World:
    """At serving, numbers are centred anew on the rows of each request."""
    means = world.trained.train.select(pl.col(_floats(world)).fill_nan(None).mean()).row(0, named=True)
    return _asking(world, functools.partial(_centred, means))


def _centred(means: Mapping[str, float | None], data: pl.DataFrame) -> pl.DataFrame:
    moved = {name: pl.col(name) - pl.col(name).mean() + mean for name, mean in means.items() if mean is not None}
    return data.with_columns(value.cast(data.schema[name]).alias(name) for name, value in moved.items())


def _floats(world: World) -> list[str]:
    return [name for name in world.pipeline.columns if world.rows.schema[name].is_float()]


# ---- how it is prepared and looked up -----------------------------------------------------------------------------


def _preparing(world: World, change: Data) -> World:
    prepare = world.pipeline.prepare
    return served_with(world, prepare=lambda rows: change(prepare(rows)))


def joined_a_day_before(world: World) -> World:
    """At serving, features are looked up as of a day before the question."""
    return _preparing(world, lambda rows: rows.with_columns(pl.col("event_time") - DAY))


def another_base(world: World) -> World:
    """At serving, numeric inputs are logarithms (or whatever they are) to the base of ten, in training natural ones."""
    names = numeric_inputs(world.pipeline, world.spine)
    return _preparing(world, lambda rows: rows.with_columns(pl.col(name) / math.log(10) for name in names))


# ---- where they do not apply --------------------------------------------------------------------------------------


def _moves(world: World, change: Data, asked: list[k12_parity.Question]) -> bool:
    """Whether a prediction, or what is refused, is another when the model is asked so."""
    usual = world.judged.get_column("prediction").to_numpy()
    for question in asked:
        if question.data is None:
            continue
        try:
            found = predict(world.pipeline, world.trained.model, change(question.data))
        except Exception:  # a refusal is an answer as well
            found = None
        if (found is None) != bool(question.why):
            return True
        if found is not None and compare.far(np.array([question.prediction]), found, usual).any():
            return True
    return False


def _unmoved(change: Callable[[World], Data]) -> Callable[[World], str | None]:
    def excuse(world: World) -> str | None:
        moves = _moves(world, change(world), k12_parity.questions(world))
        return None if moves else f"no prediction of {world.pipeline.name} depends on it."

    return excuse


def _same_model(other: Callable[[World], Any]) -> Callable[[World], str | None]:
    def excuse(world: World) -> str | None:
        data = [
            question.data for question in k12_parity.questions(world) if question.data is not None and not question.why
        ]
        if not data:
            return f"the batch of {world.pipeline.name} answers nothing."
        found = [predict(world.pipeline, model, pl.concat(data)) for model in (world.trained.model, other(world))]
        return None if compare.far(*found).any() else f"{world.pipeline.name} predicts the same without it."

    return excuse


def _no_scaler(change: Callable[[Any, int], None]) -> Callable[[World], str | None]:
    def excuse(world: World) -> str | None:
        if not _scalers(world.trained.model):
            return f"no scaler stands in the model of {world.pipeline.name}."
        return _same_model(lambda world: _rescaled(world, change))(world)

    return excuse


def _no_pair(world: World) -> str | None:
    return None if _pair(world) else f"no two columns of {world.pipeline.name} can be taken for each other."


def _nothing_changes_in_a_day(world: World) -> str | None:
    if not world.pipeline.features:
        return f"{world.pipeline.name} uses no features."
    rows = world.spine.with_columns(pl.col("event_time") - DAY)
    features = [name for name in world.pipeline.columns if name not in world.pipeline.inputs]
    before = world.joined(world.thinned(rows)).select(features)
    return (
        f"no feature of {world.pipeline.name} changes in a day." if before.equals(world.rows.select(features)) else None
    )


def _no_float(world: World) -> str | None:
    return None if _floats(world) else f"{world.pipeline.name} has no column of floats."


def _no_numeric_input(world: World) -> str | None:
    return None if numeric_inputs(world.pipeline, world.spine) else f"{world.pipeline.name} has no numeric input."


FAULTS = (
    Fault("F70", "another model loaded", "K12", another_model, _same_model(_other)),
    Fault("F71", "a missing number is 0 at serving", "K12", nothing_is_zero, _unmoved(lambda world: _zeros)),
    Fault("F72", "a value joined a day before", "K12", joined_a_day_before, _nothing_changes_in_a_day),
    Fault("F73", "columns swapped at serving", "K12", columns_swapped, _no_pair),
    Fault("F74", "the scaler skipped at serving", "K12", scaler_skipped, _no_scaler(_forgetful)),
    Fault("F75", "another base of logarithms at serving", "K12", another_base, _no_numeric_input),
    Fault("F76", "another ddof at serving", "K12", another_ddof, _no_scaler(_of_a_sample)),
    Fault("F77", "refitted on each request", "K12", refitted_on_each_request, _no_float),
)
