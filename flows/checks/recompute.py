"""Reported numbers computed a second time, by another engine: SQL over (part, label, prediction), at full precision.

A part is all rows, or the member of a slice. Formulas: the area under the ROC curve from the sum of the positives'
mean ranks (Mann and Whitney 1947); average precision as Σ (R_n − R_{n−1}) P_n over distinct predictions; log loss
with predictions cut at the double's epsilon, as scikit-learn does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from flows.building.analyse import CALIBRATION_BINS
from flows.pipeline import METRICS, Pipeline
from store.sql import query

ALL = ("", "")
EPSILON = float(np.finfo(np.float64).eps)
EDGE = 1e-6
_CUT = f"least(greatest(prediction, {EPSILON!r}), 1 - {EPSILON!r})"
PLAIN = {
    "rows": "count(*)::DOUBLE",
    "log_loss": f"-avg(label * ln({_CUT}) + (1 - label) * ln(1 - {_CUT}))",
    "brier_score": "avg((label - prediction) ** 2)",
    "positive_share": "avg(label)",
    "mean_prediction": "avg(prediction)",
    "mean_error": "avg(prediction - label)",
    "mean_absolute_error": "avg(abs(prediction - label))",
    "root_mean_squared_error": "sqrt(avg((prediction - label) ** 2))",
    "median_absolute_error": "median(abs(prediction - label))",
}
"""A reported number's name to the aggregate that gives it."""
NUMBERS = ("roc_auc", "average_precision", *PLAIN)

_SQL = f"""
    WITH plain AS (
        SELECT slice, member, {", ".join(f"{formula} AS {name}" for name, formula in PLAIN.items())}
        FROM judged GROUP BY slice, member
    ), ranked AS (
        SELECT slice, member, label, rank() OVER (PARTITION BY slice, member ORDER BY prediction)
            + (count(*) OVER (PARTITION BY slice, member, prediction) - 1) / 2.0 AS place
        FROM judged
    ), summed AS (
        SELECT slice, member, sum(place) FILTER (label = 1) AS places,
            count(*) FILTER (label = 1)::DOUBLE AS positives, count(*) FILTER (label = 0)::DOUBLE AS negatives
        FROM ranked GROUP BY slice, member
    ), steps AS (
        SELECT slice, member, prediction, sum(label) AS found, count(*)::DOUBLE AS rows
        FROM judged GROUP BY slice, member, prediction
    ), running AS (
        SELECT slice, member, found, sum(found) OVER up AS hits, sum(rows) OVER up AS seen,
            sum(found) OVER (PARTITION BY slice, member) AS total
        FROM steps WINDOW up AS (PARTITION BY slice, member ORDER BY prediction DESC ROWS UNBOUNDED PRECEDING)
    ), precise AS (
        SELECT slice, member, CASE WHEN max(total) > 0 THEN sum(found / total * hits / seen) END AS average_precision
        FROM running GROUP BY slice, member
    )
    SELECT plain.*, average_precision, CASE WHEN positives > 0 AND negatives > 0
        THEN (places - positives * (positives + 1) / 2.0) / (positives * negatives) END AS roc_auc
    FROM plain JOIN summed USING (slice, member) JOIN precise USING (slice, member)"""

_CALIBRATION = f"""
    SELECT x, y, low > coalesce(lag(high) OVER bins, '-inf') AND high < coalesce(lead(low) OVER bins, 'inf') AS apart
    FROM (
        SELECT bin, avg(prediction) AS x, avg(label) AS y, min(prediction) AS low, max(prediction) AS high
        FROM (
            SELECT *, (row_number() OVER (ORDER BY prediction) - 1) * {CALIBRATION_BINS} // count(*) OVER () AS bin
            FROM judged
        )
        GROUP BY bin
    )
    WINDOW bins AS (ORDER BY bin) ORDER BY bin"""

Numbers = dict[tuple[str, str], dict[str, float]]
"""(slice, member's text) to the numbers by name, NaN where undefined; ``ALL`` is all rows."""


def numbers(pipeline: Pipeline, judged: pl.DataFrame, slices: Sequence[str]) -> Numbers:
    """All of ``NUMBERS`` over labelled rows, in all and by member; and the contract's metric, by its own function if
    it is the author's: but one that has the name of ours is that number, wherever both are defined."""
    whole = judged.select(pl.lit("").alias("slice"), pl.lit("").alias("member"), "label", "prediction")
    parts = pl.concat([whole, *(_by_member(judged, name) for name in slices)])
    found = {(row.pop("slice"), row.pop("member")): _floats(row) for row in query(_SQL, judged=parts).to_dicts()}
    if METRICS.get(pipeline.metric.name) is not pipeline.metric:
        for (name, member), part in parts.group_by("slice", "member"):
            value = pipeline.metric.compute(part["label"].to_numpy(), part["prediction"].to_numpy())
            usual = found[str(name), str(member)].get(pipeline.metric.name, math.nan)
            if math.isnan(usual) or math.isnan(value) or _on_the_edge(pipeline.metric.name, part):
                found[str(name), str(member)][pipeline.metric.name] = float(value)
    return found


def calibration(judged: pl.DataFrame) -> pl.DataFrame:
    """Mean prediction ``x`` and mean label ``y`` in ten bins of equal size by prediction; ``apart``: no tie reaches
    over the bin's edges, so that ``y`` does not depend on how ties are ordered."""
    return query(_CALIBRATION, judged=judged.select("label", "prediction"))


def _on_the_edge(name: str, part: pl.DataFrame) -> bool:
    """Where log losses differ by where their authors cut the predictions."""
    return name == "log_loss" and not bool(part.get_column("prediction").is_between(EDGE, 1 - EDGE).all())


def _by_member(judged: pl.DataFrame, name: str) -> pl.DataFrame:
    texts = pl.Series("member", [str(member) for member in judged.get_column(name)], dtype=pl.String)
    return judged.select(pl.lit(name).alias("slice"), texts, "label", "prediction")


def _floats(row: dict[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in row.items()}
