"""The search: parameters tried on the validation rows, the best of the recorded trials chosen.

The default of a contract's ``tune``. The estimator's own defaults are always the first trial, so a search can never end worse
than none, as far as the validation rows can tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from sklearn.model_selection import ParameterSampler

from flows.building.fit import fit, matrix, predict
from flows.pipeline import Metric, Pipeline, Search, Tuned
from store.errors import InvalidInput

Objective = Callable[[dict[str, Any]], float]


def tune(pipeline: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
    """Fit each candidate on ``train``, judge it on ``validation`` by the contract's metric, and choose the best."""
    judged = validation.filter(pl.col("label").is_not_null())
    data, labels = matrix(pipeline, judged), judged.get_column("label").to_numpy()

    def objective(parameters: dict[str, Any]) -> float:
        return pipeline.metric.compute(labels, predict(pipeline, fit(pipeline, parameters, train), data))

    return search(pipeline.search, pipeline.metric, objective)


def search(space: Search, metric: Metric, objective: Objective) -> Tuned:
    """Try every candidate in order. Ties go to the earlier one; a trial that gives NaN is kept and never chosen."""
    trials: list[dict[str, Any]] = [
        {"parameters": parameters, "value": float(objective(parameters))} for parameters in candidates(space)
    ]
    usable = [trial for trial in trials if not math.isnan(trial["value"])]
    if not usable:
        raise InvalidInput(
            f"All {len(trials)} trials gave no {metric.name}.", remedy="Look at the validation rows and the estimator."
        )
    best = (max if metric.better == "higher" else min)(usable, key=lambda trial: trial["value"])
    return Tuned(dict(best["parameters"]), trials)


def candidates(space: Search) -> list[dict[str, Any]]:
    """The defaults, then ``trials`` combinations drawn without repetition, the same ones for the same seed."""
    if not space.trials or not space.space:
        return [{}]
    size = math.prod(len(values) for values in space.space.values())
    drawn = ParameterSampler(
        {name: list(values) for name, values in space.space.items()},
        min(space.trials, size),
        random_state=np.random.RandomState(space.seed),
    )
    return [{}, *(dict(one) for one in drawn)]
