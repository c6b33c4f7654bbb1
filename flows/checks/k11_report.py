"""K11: what is reported is what the stored model does.

The model is stored, read back and asked for the test rows; ``analyse`` reports on its predictions, and every number
is computed again in SQL from (label, prediction, slice) and compared to a relative 1e-9: the metrics, each member of
each slice with its rows, the calibration curve. The same on predictions made up: perfect, constant, turned around, and
dealt out among the rows, so that slices differ. The contract's metric, ``rows`` and every declared slice must be there;
perfect predictions must not be reported worse than the model's. So a lie is seen, whether it flatters or understates.

The control: the metric computed again on shuffled predictions differs from the model's (a model that gives everybody
the same prediction moves nothing, and the check is VACUOUS).

Cost: a training (shared with K04), a store and a load, some dozens of small queries.

What does not alarm: a number, slice or curve the check knows no formula for, which is counted as ``not_recomputed``
and named; a metric that is undefined on constants, which must be NaN or absent in both; the order of tied predictions
in the calibration curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from flows.building.analyse import analyse
from flows.checks import recompute
from flows.checks.check import Check, Seen
from flows.checks.world import World
from flows.pipeline import Analysis, Pipeline

CLOSE, NOISE = 1e-9, 1e-12
LEFT_OUT = math.inf
Pair = tuple[str, float, float]
"""What is reported, the number reported, the number computed again."""


def look(world: World) -> Seen:
    """Judge the report on the stored model's predictions for the test rows, and, if it holds, on made-up ones."""
    pipeline, judged = world.pipeline, world.judged
    report, control = _report(pipeline, judged), _control(pipeline, judged)
    pairs, unknown = list(_pairs(pipeline, report, judged)), _unknown(pipeline, report, judged)
    lies = _lies(pairs, judged) or _made_up_lies(pipeline, report, judged)
    numbers = {"rows": judged.height, "recomputed": len(pairs), "not_recomputed": len(unknown), "lies": len(lies)}
    if lies:
        what, said, found = lies[0]
        reported = "left out" if said == LEFT_OUT else f"reported {said}"
        sentence = f"{len(lies)} numbers are not what the predictions give; {what}: {reported}, computed {found}."
        return Seen(sentence, control, {**numbers, "reported": said, "computed": found}, failed=True)
    rest = f"; not recomputed: {', '.join(unknown)}" if unknown else ""
    sentence = (
        f"{len(pairs)} numbers reported over {judged.height:,} rows are what SQL computes of the stored model's "
        f"predictions; shuffled predictions move {pipeline.metric.name} by {control:.3g}{rest}."
    )
    return Seen(sentence, control, numbers)


CHECK = Check("K11", "report", look)


def _report(pipeline: Pipeline, rows: pl.DataFrame) -> Analysis:
    return (pipeline.analyse or analyse)(pipeline, rows)


def _made_up(pipeline: Pipeline, judged: pl.DataFrame) -> dict[str, pl.DataFrame]:
    label, prediction = pl.col("label"), pl.col("prediction")
    classes = pipeline.task == "classification"
    ways = {
        "perfect": pl.coalesce(label, 0.0),
        "constant": pl.lit(0.5) if classes else label.mean(),
        "inverted": 1 - prediction if classes else 2 * prediction.mean() - prediction,
        "dealt": prediction.gather(pl.Series(np.random.default_rng(1).permutation(judged.height))),
    }
    return {name: judged.with_columns(way.alias("prediction")) for name, way in ways.items()}


def _made_up_lies(pipeline: Pipeline, report: Analysis, judged: pl.DataFrame) -> list[Pair]:
    lies, metric = list[Pair](), pipeline.metric
    for name, rows in _made_up(pipeline, judged).items():
        other = _report(pipeline, rows)
        found = _lies(list(_pairs(pipeline, other, rows)), rows)
        lies += [(f"{what} of {name} predictions", mine, theirs) for what, mine, theirs in found]
        mine, theirs = (one.metrics.get(metric.name, math.nan) for one in (other, report))
        if name == "perfect" and not math.isnan(theirs) and not metric.reaches(mine, theirs):
            lies.append((f"{metric.name} of perfect predictions, against the model's", mine, theirs))
    return lies


def _lies(pairs: list[Pair], rows: pl.DataFrame) -> list[Pair]:
    """The pairs that differ by more than a relative 1e-9 and what summing numbers of this size may lose."""
    largest = rows.select(pl.max_horizontal(pl.col("label", "prediction").abs().max())).item()
    noise = NOISE * (largest or 0.0)
    return [(what, said, found) for what, said, found in pairs if not _same(said, found, noise)]


def _same(said: float, found: float, noise: float) -> bool:
    if math.isnan(said) or math.isnan(found):
        return math.isnan(said) and math.isnan(found)
    return said == found or abs(said - found) <= CLOSE * abs(found) + noise


def _pairs(pipeline: Pipeline, report: Analysis, rows: pl.DataFrame) -> Iterator[Pair]:
    """Everything reported that can be computed again, and what must be there: metric, rows, declared slices."""
    judged = rows.filter(pl.col("label").is_not_null())
    slices = [name for name in dict.fromkeys((*pipeline.slices, *_slices(report))) if name in judged.columns]
    found = recompute.numbers(pipeline, judged, slices)
    for name in dict.fromkeys((pipeline.metric.name, "rows", *report.metrics)):
        if name in found[recompute.ALL]:
            yield name, report.metrics.get(name, LEFT_OUT), found[recompute.ALL][name]
    yield from _of_slices(pipeline, report, slices, found)
    yield from _of_curve(report, judged)


def _of_slices(pipeline: Pipeline, report: Analysis, slices: list[str], found: recompute.Numbers) -> Iterator[Pair]:
    metric = pipeline.metric.name
    said = report.slices.filter(pl.col("slice").is_in(slices))
    members = {(row["slice"], row["member"]): row for row in said.to_dicts()}
    for part in sorted((members.keys() | found.keys()) - {recompute.ALL}):
        mine = members.get(part, {"rows": 0, "value": LEFT_OUT})
        theirs = found.get(part, {"rows": 0, metric: LEFT_OUT})
        yield f"rows of {' '.join(part)}", mine["rows"], theirs["rows"]
        yield f"{metric} of {' '.join(part)}", mine["value"], theirs[metric]
    for name in slices:
        total = int(said.filter(pl.col("slice") == name)["rows"].sum())
        yield f"rows of all {name}", total, found[recompute.ALL]["rows"]


def _of_curve(report: Analysis, judged: pl.DataFrame) -> Iterator[Pair]:
    said = report.curves.filter(pl.col("curve") == "calibration")
    if said.is_empty():
        return
    found = recompute.calibration(judged)
    yield "points of the calibration curve", said.height, found.height
    for position, (mine, theirs) in enumerate(zip(said.to_dicts(), found.to_dicts(), strict=False)):
        for axis in ("x", "y") if theirs["apart"] else ("x",):
            yield f"calibration {axis} of bin {position}", mine[axis], theirs[axis]


def _slices(report: Analysis) -> list[str]:
    return report.slices.get_column("slice").unique(maintain_order=True).to_list() if report.slices.height else []


def _unknown(pipeline: Pipeline, report: Analysis, judged: pl.DataFrame) -> list[str]:
    """What is reported and known by no formula: metrics, slices of no column, other curves."""
    numbers = [name for name in report.metrics if name not in recompute.NUMBERS and name != pipeline.metric.name]
    slices = [name for name in _slices(report) if name not in judged.columns]
    curves = report.curves.get_column("curve").unique(maintain_order=True).to_list() if report.curves.height else []
    return [*numbers, *slices, *(curve for curve in curves if curve != "calibration")]


def _control(pipeline: Pipeline, judged: pl.DataFrame) -> float:
    """How far the metric moves when predictions are dealt out anew; 0 where it is undefined."""
    judged = judged.filter(pl.col("label").is_not_null())
    order = np.random.default_rng(0).permutation(judged.height)
    shuffled = judged.with_columns(judged.get_column("prediction").gather(order))
    after, before = (recompute.numbers(pipeline, each, ())[recompute.ALL] for each in (shuffled, judged))
    moved = abs(after[pipeline.metric.name] - before[pipeline.metric.name])
    return 0.0 if math.isnan(moved) else moved
