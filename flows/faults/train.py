"""Faults of the fit: it learns something else than it is given, or nothing, or from the rows that judge it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from flows.building import split
from flows.building.fit import matrix, predict
from flows.checks.k06_shuffled import some
from flows.checks.k14_learning import weighed
from flows.checks.ranks import concordance
from flows.checks.training import unsearched
from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.faults.heldout import Peeking
from flows.pipeline import Pipeline

SHARES = (0.4, 0.7, 1.0)


def fitted(pipeline: Pipeline, model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
    """What the pipeline itself makes of a model and rows."""
    return pipeline.fit(model, data, labels) if pipeline.fit else model.fit(data, labels)


def a_row_off(pipeline: Pipeline) -> dict[str, Any]:
    """Every training row gets the label of the row before."""
    return {"fit": lambda model, data, labels: fitted(pipeline, model, data, np.roll(labels, 1))}


def dead(pipeline: Pipeline) -> dict[str, Any]:
    """Nothing is fitted: everybody gets the mean of the training labels."""
    return {
        "fit": lambda model, data, labels: Calibrated(None, float(np.mean(labels))),
        "predict": lambda model, data: np.full(data.height, model.shift),
    }


class Deaf:
    """An estimator that takes weights and does not use them."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)

    def fit(self, data: Any, labels: Any, *more: Any, **named: Any) -> Any:
        """Without them."""
        heard = {name: value for name, value in named.items() if not name.endswith("sample_weight")}
        return self.model.fit(data, labels, *more, **heard)


def weights_ignored(pipeline: Pipeline) -> dict[str, Any]:
    """The estimator takes the weights that ``fit`` gives, and does not use them."""
    return {"estimator": lambda parameters: Deaf(pipeline.estimator(parameters))}


class Calibrated:
    """A model whose predictions are moved by a constant."""

    def __init__(self, model: Any, shift: float) -> None:
        self.model, self.shift = model, shift


def calibrated_on_the_test_rows(pipeline: Pipeline) -> dict[str, Any]:
    """The model's predictions are moved so that their mean over the test rows is that of the labels."""
    peeking = Peeking(pipeline)

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Calibrated:
        found, test = fitted(pipeline, model, data, labels), peeking.part(split.TEST)
        error = test.get_column("label").to_numpy() - predict(pipeline, found, matrix(pipeline, test))
        return Calibrated(found, float(error.mean()))

    def asked(model: Calibrated, data: pl.DataFrame) -> np.ndarray:
        return predict(pipeline, model.model, data) + model.shift

    return {"split": peeking, "fit": fit, "predict": asked}


def stopped_by_the_test_rows(pipeline: Pipeline) -> dict[str, Any]:
    """Of fits on more and more of the training rows the one goes on that orders the test rows best."""
    peeking, parameters = Peeking(pipeline), list[dict[str, Any]]()

    def estimator(given: dict[str, Any]) -> Any:
        parameters.append(given)
        return pipeline.estimator(given)

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
        test = peeking.part(split.TEST)
        truth, columns = test.get_column("label").to_numpy(), matrix(pipeline, test)
        tries = [
            fitted(
                pipeline,
                pipeline.estimator(parameters[-1]),
                data[-int(share * len(labels)) :],
                labels[-int(share * len(labels)) :],
            )
            for share in SHARES
        ]
        return max(tries, key=lambda one: concordance(truth, predict(pipeline, one, columns)))

    return {"split": peeking, "fit": fit, "estimator": estimator}


def _no_weights(world: World) -> str | None:
    trained = unsearched(world.pipeline, some(world))
    moved = weighed(world.pipeline, trained.train, trained.test)
    return None if moved else f"{world.pipeline.name} gives its model no weights."


FAULTS = (
    Fault("F38", "calibrated on the test rows", "K04", pipeline_fault(calibrated_on_the_test_rows)),
    Fault("F39", "stopped by the test rows", "K04", pipeline_fault(stopped_by_the_test_rows)),
    Fault("F63", "labels a row off in training", "K14", pipeline_fault(a_row_off)),
    Fault("F64", "a constant for a model", "K14", pipeline_fault(dead)),
    Fault("F65", "weights taken and not used", "K14", pipeline_fault(weights_ignored), _no_weights),
)
