"""Pipelines on a plain table: each row is a question with an id, asked at a time of its own, with its answer or before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from flows.building.catalog import Catalog
from flows.pipeline import MAE, ROC_AUC, TIME, Facts, Group, Pipeline, Serving, TimeSplit
from tests.power.kind import Case, case

START = datetime(2024, 1, 1, tzinfo=UTC)
SPLIT = TimeSplit(validation=timedelta(days=9), test=timedelta(days=9), gap=timedelta(days=1))
FIRST_ID = 1_000_000
"""The ids of a seed begin at so many times it, so that another seed thins other rows."""


def table(
    name: str, rows: pl.DataFrame, seed: int, *, later: timedelta | None = None, days: int = 36, **components: Any
) -> Case:
    """The case of a table whose column ``target`` is to be told from the others.

    The rows are dealt out over ``days`` at random instants, as visits are. ``later``: when the answer is known, after the question; None:
    the source gives both in one row. Everything else is a component of the pipeline; without one, the split is by time, and the inputs
    are all columns but ``target``.
    """
    asked, end = _asked(rows, seed, days), START + timedelta(days=days)
    values = dict(asked.drop("id", "event_time").schema)
    answer = {"target": values.pop("target")}
    own: dict[str, Any] = {"prepare": prepare, "inputs": tuple(values), "split": SPLIT, "floor": 0.0} | components
    own.setdefault("metric", ROC_AUC if own["task"] == "classification" else MAE)
    if own["metric"].better == "lower":
        own["floor"] = 1e9
    serving = Serving({"id": pl.Int64(), "at": TIME, **values}, {"id": pl.Int64(), **answer}, key=("id",))
    known = asked.with_columns(known_time="event_time")
    if later is None:
        groups = {"visits": (Group("visits", {"id": pl.Int64()}, values | answer), known)}
    else:
        told = known.select("id", pl.col("event_time", "known_time") + later, "target")
        groups = {
            "visits": (Group("visits", {"id": pl.Int64()}, values), known.drop("target")),
            "answers": (Group("answers", {"id": pl.Int64()}, answer), told),
        }
    pipeline = Pipeline(
        name=name, version="1.0.0", description=f"The target of {name}.", owner="power", features=(), serving=serving,
        dataset=answered if later is None else _joined(later), **own,
    )  # fmt: skip
    catalog = Catalog({one: Facts(group) for one, (group, _) in groups.items()}, {}, dict.fromkeys(groups, "0" * 64))
    return case(pipeline, catalog, {one: frame for one, (_, frame) in groups.items()}, START, end)


def _asked(rows: pl.DataFrame, seed: int, days: int) -> pl.DataFrame:
    """The rows in another order for each seed, with ids and the times they are asked at."""
    random = np.random.default_rng(seed)
    rows = rows[random.permutation(rows.height)]
    moments = np.sort(random.choice(days * 86_400, rows.height, replace=False)) * 1_000_000
    times = pl.Series("event_time", moments, dtype=pl.Duration("us")) + pl.Series([START], dtype=TIME)
    ids = pl.Series("id", np.arange(rows.height) + FIRST_ID * (seed + 1), dtype=pl.Int64)
    return rows.with_columns(ids, times)


def answered(read, window):
    """Questions with their answers, which the source gives in one row."""
    rows = read("visits", window).rename({"event_time": "at"}).drop("known_time")
    return rows.with_columns(label=pl.col("target").cast(pl.Float64), label_time="at").drop("target")


def _joined(later: timedelta):
    def dataset(read, window):
        """All questions, with those answers that are there by now."""
        rows = read("visits", window).rename({"event_time": "at"}).drop("known_time")
        answers = read("answers", window).select("id", label=pl.col("target").cast(pl.Float64))
        answered = rows.join(answers, on="id", how="left", maintain_order="left")
        return answered.with_columns(label_time=pl.col("at") + later)

    return dataset


def prepare(rows):
    """A question is asked when it is sent."""
    return rows.with_columns(event_time="at")
