"""Faults of search and training: what only the test rows should judge is chosen or fitted on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from flows.building import split, tune
from flows.building.fit import matrix
from flows.faults.fault import Fault, pipeline_fault
from flows.faults.heldout import Peeking
from flows.pipeline import Pipeline, Tuned


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


FAULTS = (
    Fault("F06", "tuned on the test rows", "K04", pipeline_fault(tuned_on_the_test_rows)),
    Fault("F07", "fitted on the test rows too", "K04", pipeline_fault(fitted_on_the_test_rows)),
)
