"""A model fitted, and asked: the defaults of a contract's ``fit`` and ``predict``."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from flows.pipeline import Pipeline
from store.errors import InvalidInput


def matrix(pipeline: Pipeline, rows: pl.DataFrame) -> pl.DataFrame:
    """The model's columns, in the contract's order."""
    if missing := [column for column in pipeline.columns if column not in rows.columns]:
        raise InvalidInput(
            f"The rows lack {missing}.",
            f"{pipeline.name} needs {list(pipeline.columns)}.",
            "Give them in `dataset` or `prepare`.",
        )
    return rows.select(pipeline.columns)


def fit(pipeline: Pipeline, parameters: dict[str, Any], rows: pl.DataFrame) -> Any:
    """The contract's estimator with these parameters, fitted on the rows that have a label."""
    rows = rows.filter(pl.col("label").is_not_null())
    data, labels = matrix(pipeline, rows), rows.get_column("label").to_numpy()
    model = pipeline.estimator(parameters)
    return pipeline.fit(model, data, labels) if pipeline.fit else model.fit(data, labels)


def predict(pipeline: Pipeline, model: Any, data: pl.DataFrame) -> np.ndarray:
    """One finite Float64 a row: the probability of class 1, or the value. InvalidInput when the model gives anything else."""
    if pipeline.predict:
        found = pipeline.predict(model, data)
    elif pipeline.task == "classification":
        found = model.predict_proba(data)[:, 1]
    else:
        found = model.predict(data)
    found = np.asarray(found, dtype=np.float64)
    if found.shape != (data.height,) or not np.isfinite(found).all():
        raise InvalidInput(
            f"The model of {pipeline.name} gave predictions of shape {found.shape} for {data.height} rows.",
            f"{int((~np.isfinite(found)).sum())} of them are not finite.",
            remedy="Let `predict` give one finite number a row.",
        )
    return found
