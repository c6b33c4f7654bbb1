"""Faults of search and training: what only the test rows should judge is chosen or fitted on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import polars as pl

from flows.building import split, tune
from flows.building.fit import matrix
from flows.checks import k10_tuner
from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.faults.heldout import Peeking
from flows.pipeline import Pipeline, TimeSplit, Tuned


def tuned_on_the_test_rows(pipeline: Pipeline) -> dict[str, Any]:
    """The search judges its trials on the test rows."""
    peeking = Peeking(pipeline)

    def search(planted: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
        return tune.tune(planted, train, peeking.part(split.TEST))

    return {"split": peeking, "tune": search}


def fitted_on_the_test_rows(pipeline: Pipeline) -> dict[str, Any]:
    """The model is fitted on the test rows as well."""
    peeking = Peeking(pipeline)

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
        test = peeking.part(split.TEST)
        data = pl.concat([data, matrix(pipeline, test)])
        labels = np.concatenate([labels, test.get_column("label").to_numpy()])
        return pipeline.fit(model, data, labels) if pipeline.fit else model.fit(data, labels)

    return {"split": peeking, "fit": fit}


# ---- the search itself -------------------------------------------------------------------------------------------

Search = Callable[[Pipeline, pl.DataFrame, pl.DataFrame], Tuned]


def _searched(
    change: Callable[[Search, Pipeline, pl.DataFrame, pl.DataFrame], Tuned],
) -> Callable[[Pipeline], dict[str, Any]]:
    """A search that calls the honest one its own way."""

    def planted(pipeline: Pipeline) -> dict[str, Any]:
        honest = pipeline.tune or tune.tune
        return {"tune": lambda asked, train, validation: change(honest, asked, train, validation)}

    planted.__doc__ = change.__doc__
    return planted


def sign_flipped(honest: Search, pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """More is taken for better where less is, and the other way round."""
    other: Literal["higher", "lower"] = "lower" if pipeline.metric.better == "higher" else "higher"
    metric = dataclasses.replace(pipeline.metric, better=other)
    return honest(dataclasses.replace(pipeline, metric=metric), train, validation)


def worst_chosen(honest: Search, pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """The best is found, and the worst goes on."""
    found = honest(pipeline, train, validation)
    return Tuned(dict(_ranked(pipeline, found)[-1]["parameters"]), found.trials)


def best_not_refitted(honest: Search, pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """The best is found, and the first goes on."""
    found = honest(pipeline, train, validation)
    return Tuned(dict(found.trials[0]["parameters"]), found.trials)


def last_trial_ignored(honest: Search, pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """The best of all trials but the last."""
    found = honest(pipeline, train, validation)
    ranked = _ranked(pipeline, Tuned({}, found.trials[:-1] or found.trials))
    return Tuned(dict(ranked[0]["parameters"]), found.trials) if ranked else found


def edge_dropped(honest: Search, pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """The last value of each parameter is never tried."""
    space = {name: values[:-1] if len(values) > 1 else values for name, values in pipeline.search.space.items()}
    return honest(
        dataclasses.replace(pipeline, search=dataclasses.replace(pipeline.search, space=space)), train, validation
    )


def judged_on_training_rows(honest: Search, pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """Trials are judged on the rows they were fitted on."""
    return honest(pipeline, train, train)


def folds_ignore_time(honest: Search, pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """Trials are fitted on newer rows and judged on older ones."""
    return honest(pipeline, validation, train)


def never_passed(pipeline: Pipeline) -> dict[str, Any]:
    """One parameter is searched and never given to the estimator."""
    lost = next(name for name, values in pipeline.search.space.items() if len(values) > 1)

    def estimator(parameters: dict[str, Any]) -> Any:
        return pipeline.estimator({name: value for name, value in parameters.items() if name != lost})

    return {"estimator": estimator}


def _ranked(pipeline: Pipeline, found: Tuned) -> list[dict[str, Any]]:
    """The trials that have a value, best first; of equal ones the earlier."""
    usable = [trial for trial in found.trials if trial["value"] == trial["value"]]
    return sorted(usable, key=lambda trial: trial["value"], reverse=pipeline.metric.better == "higher")


def _no_search(world: World) -> str | None:
    return None if k10_tuner.searches(world.pipeline) else f"{world.pipeline.name} searches nothing."


def _no_script(world: World) -> str | None:
    if why := _no_search(world):
        return why
    return None if k10_tuner.scriptable(world) else f"{world.pipeline.name}'s search asks no metric of the contract."


def _no_choice(world: World) -> str | None:
    several = any(len(values) > 1 for values in world.pipeline.search.space.values())
    return None if several else f"{world.pipeline.name} searches no parameter of several values."


def _no_edge(world: World) -> str | None:
    return _no_choice(world) or _no_script(world)


def _own_folds(world: World) -> str | None:
    """A search that judges on training rows or fits on validation rows makes folds of its own: which rows are which is nothing to it."""
    if why := _no_script(world):
        return why
    stage = k10_tuner.Stage.of(world)
    asked, first = stage.run("All alike", lambda parameters: 0.5).asked, stage.train.height
    own = any((judged < first).any() or (fitted >= first).any() for fitted, judged in asked)
    return f"the search of {world.pipeline.name} makes folds of its own." if own else None


def _no_time(world: World) -> str | None:
    by_time = isinstance(world.pipeline.split, TimeSplit)
    return _own_folds(world) if by_time else f"{world.pipeline.name} is not split by time."


FAULTS = (
    Fault("F06", "tuned on the test rows", "K04", pipeline_fault(tuned_on_the_test_rows)),
    Fault("F07", "fitted on the test rows too", "K04", pipeline_fault(fitted_on_the_test_rows)),
    Fault("F40", "the sign of the metric flipped", "K10", pipeline_fault(_searched(sign_flipped)), _no_script),
    Fault("F41", "the worst trial chosen", "K10", pipeline_fault(_searched(worst_chosen)), _no_search),
    Fault("F42", "the best not refitted", "K10", pipeline_fault(_searched(best_not_refitted)), _no_script),
    Fault("F43", "the last trial ignored", "K10", pipeline_fault(_searched(last_trial_ignored)), _no_script),
    Fault("F44", "the edge of the grid dropped", "K10", pipeline_fault(_searched(edge_dropped)), _no_edge),
    Fault(
        "F45", "trials judged on training rows", "K10", pipeline_fault(_searched(judged_on_training_rows)), _own_folds
    ),
    Fault("F46", "folds that ignore time", "K10", pipeline_fault(_searched(folds_ignore_time)), _no_time),
    Fault("F47", "a parameter never passed on", "K10", pipeline_fault(never_passed), _no_choice),
)
