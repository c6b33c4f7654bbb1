"""Faults of what a model is given: columns that nobody would miss."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from flows.building.fit import predict
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Pipeline
from store.features import write

UNUSED = "_unused"


def one_more_input(pipeline: Pipeline) -> dict[str, Any]:
    """One more input, drawn by the question's key, that the model is given and does not look at."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        return ready.with_columns((write.row_hash(ready, pipeline.serving.key) / 2.0**63).alias(UNUSED))

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
        data = data.drop(UNUSED)
        return pipeline.fit(model, data, labels) if pipeline.fit else model.fit(data, labels)

    def asked(model: Any, data: pl.DataFrame) -> np.ndarray:
        return predict(pipeline, model, data.drop(UNUSED))

    return {"prepare": prepare, "inputs": (UNUSED, *pipeline.inputs), "fit": fit, "predict": asked}


FAULTS = (Fault("F66", "an input that is not looked at", "K20", pipeline_fault(one_more_input)),)
