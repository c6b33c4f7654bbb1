"""Faults of the report: numbers that flatter, and numbers that understate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import polars as pl

from flows.building.analyse import analyse
from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Analysis, Pipeline

LARGE = 1e4
"""From here on two places are no more than what summing may lose, sooner or later."""

Honest = Callable[[pl.DataFrame], Analysis]
Lie = Callable[[Pipeline, Honest, pl.DataFrame], Analysis]
"""What is reported, given the pipeline, its honest report of any rows, and the rows."""


def _reported(lie: Lie) -> Callable[[World], World]:
    """Plants an ``analyse`` that lies about what the pipeline's own would say."""

    def change(pipeline: Pipeline) -> dict[str, Any]:
        honest = pipeline.analyse or analyse
        return {"analyse": lambda planted, rows: lie(pipeline, lambda given: honest(pipeline, given), rows)}

    change.__doc__ = lie.__doc__
    return pipeline_fault(change)


def rounded_in_its_favour(pipeline: Pipeline, honest: Honest, rows: pl.DataFrame) -> Analysis:
    """The metric rounded to two places, or a large one to four digits, always to the better side."""
    report = honest(rows)
    better = _rounded(pipeline, report.metrics[pipeline.metric.name])
    return dataclasses.replace(report, metrics=report.metrics | {pipeline.metric.name: better})


def _rounded(pipeline: Pipeline, value: float) -> float:
    towards = math.ceil if pipeline.metric.better == "higher" else math.floor
    if not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 3) if abs(value) >= LARGE else 0.0
    return towards(value / step) * step if step else towards(value * 100) / 100


def misaligned(pipeline: Pipeline, honest: Honest, rows: pl.DataFrame) -> Analysis:
    """Every prediction is held against the label of the row before: the model looks worse than it is."""
    labels = rows.get_column("label")
    shifted = pl.concat([labels.tail(1), labels.head(labels.len() - 1)])
    return honest(rows.with_columns(shifted.alias("label")))


def turned_around(pipeline: Pipeline, honest: Honest, rows: pl.DataFrame) -> Analysis:
    """The other class is taken for the positive one."""
    return honest(rows.with_columns((1 - pl.col("prediction")).alias("prediction")))


def wrong_denominators(pipeline: Pipeline, honest: Honest, rows: pl.DataFrame) -> Analysis:
    """Every member of a slice is said to have all the rows."""
    report = honest(rows)
    return dataclasses.replace(report, slices=report.slices.with_columns(pl.lit(rows.height, pl.Int64).alias("rows")))


def slice_dropped(pipeline: Pipeline, honest: Honest, rows: pl.DataFrame) -> Analysis:
    """The last member of the slices is not reported."""
    report = honest(rows)
    return dataclasses.replace(report, slices=report.slices.head(report.slices.height - 1))


def easy_rows_only(pipeline: Pipeline, honest: Honest, rows: pl.DataFrame) -> Analysis:
    """The tenth of the rows that the model is most wrong about is left out, and the count kept."""
    wrong = (pl.col("prediction") - pl.col("label")).abs().fill_null(0)
    report = honest(rows.filter(wrong.rank("ordinal") <= 0.9 * pl.len()))
    return dataclasses.replace(report, metrics=report.metrics | {"rows": float(rows.get_column("label").count())})


def _round_already(world: World) -> str | None:
    value = (world.pipeline.analyse or analyse)(world.pipeline, world.judged).metrics[world.pipeline.metric.name]
    return f"its {world.pipeline.metric.name} is {value} already." if _rounded(world.pipeline, value) == value else None


def _no_slices(world: World) -> str | None:
    return None if world.pipeline.slices else f"{world.pipeline.name} declares no slices."


def _no_members(world: World) -> str | None:
    several = any(world.judged.get_column(name).n_unique() > 1 for name in world.pipeline.slices)
    return None if several else f"{world.pipeline.name} has no slice of several members."


def _no_classes(world: World) -> str | None:
    return None if world.pipeline.task == "classification" else f"{world.pipeline.name} has no classes."


FAULTS = (
    Fault("F08", "the metric rounded in its favour", "K11", _reported(rounded_in_its_favour), _round_already),
    Fault("F09", "the hardest rows left out of the report", "K11", _reported(easy_rows_only)),
    Fault("F10", "labels misaligned by a row", "K11", _reported(misaligned)),
    Fault("F11", "the wrong class taken as positive", "K11", _reported(turned_around), _no_classes),
    Fault("F12", "every slice counted with all rows", "K11", _reported(wrong_denominators), _no_members),
    Fault("F13", "a slice dropped", "K11", _reported(slice_dropped), _no_slices),
)
