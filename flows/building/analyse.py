"""What a model's predictions on the evaluation rows say: metrics, slices, curves. The default of a contract's ``analyse``."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sklearn import metrics

from flows.pipeline import Analysis, Pipeline

CALIBRATION_BINS = 10


def analyse(pipeline: Pipeline, rows: pl.DataFrame) -> Analysis:
    """Metrics at full precision over rows with columns label, prediction (Float64) and the contract's slices."""
    rows = rows.filter(pl.col("label").is_not_null())
    return Analysis(metrics=overall(pipeline, rows), slices=by_slice(pipeline, rows), curves=curves(pipeline, rows))


def overall(pipeline: Pipeline, rows: pl.DataFrame) -> dict[str, float]:
    """The contract's metric, the count of rows, and the usual companions of its task."""
    labels, predictions = _arrays(rows)
    found = {pipeline.metric.name: pipeline.metric.compute(labels, predictions), "rows": float(rows.height)}
    if pipeline.task == "classification":
        found |= {
            "positive_share": float(labels.mean()),
            "mean_prediction": float(predictions.mean()),
            "brier_score": float(np.mean((labels - predictions) ** 2)),
        }
        if len(np.unique(labels)) == 2:
            found["average_precision"] = float(metrics.average_precision_score(labels, predictions))
    else:
        errors = predictions - labels
        found |= {
            "mean_error": float(errors.mean()),
            "root_mean_squared_error": float(np.sqrt(np.mean(errors**2))),
            "median_absolute_error": float(np.median(np.abs(errors))),
        }
    return found


def by_slice(pipeline: Pipeline, rows: pl.DataFrame) -> pl.DataFrame:
    """The metric of every member of every slice: columns slice, member: str; rows: i64; value: f64 (NaN where undefined)."""
    found: list[tuple[str, str, int, float]] = []
    for name in pipeline.slices:
        for (member,), part in rows.group_by(name, maintain_order=True):
            found.append((name, str(member), part.height, pipeline.metric.compute(*_arrays(part))))
    schema: dict[str, Any] = {"slice": pl.String(), "member": pl.String(), "rows": pl.Int64(), "value": pl.Float64()}
    return pl.DataFrame(found, schema=schema, orient="row").sort("slice", "member")


def curves(pipeline: Pipeline, rows: pl.DataFrame) -> pl.DataFrame:
    """Calibration: mean prediction (x) against mean label (y) in ten bins of equal size."""
    order = rows.select("label", "prediction").sort("prediction").with_row_index("_row")
    bins = order.with_columns((pl.col("_row") * CALIBRATION_BINS // max(rows.height, 1)).alias("_bin"))
    points = bins.group_by("_bin", maintain_order=True).agg(
        pl.col("prediction").mean().alias("x"), pl.col("label").mean().alias("y")
    )
    return points.select(pl.lit("calibration").alias("curve"), "x", "y")


def _arrays(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows.get_column("label").to_numpy(), rows.get_column("prediction").to_numpy()
