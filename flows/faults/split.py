"""Faults of the split, and of the times it goes by."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from flows.building import split
from flows.checks import k05_split
from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Pipeline, Read, Window
from store.features import write

PARTS = (split.TRAIN, split.TRAIN, split.TRAIN, split.VALIDATION, split.TEST)
FEW = 5


def split_by_shuffled_rows(pipeline: Pipeline) -> dict[str, Any]:
    """Each row's part is drawn."""

    def drawn(rows: pl.DataFrame) -> pl.Series:
        places = write.row_hash(rows, pipeline.serving.key).cast(pl.UInt64, wrap_numerical=True) % len(PARTS)
        return places.replace_strict(range(len(PARTS)), PARTS, return_dtype=pl.String)

    return {"split": drawn}


def units_on_both_sides(pipeline: Pipeline) -> dict[str, Any]:
    """Of each declared unit that has several evaluation rows, the first is trained on."""

    def leaking(rows: pl.DataFrame) -> pl.Series:
        parts, unit = split.parts(pipeline, rows), str(pipeline.independent_unit)
        held = rows.select(unit).with_row_index("_place").filter((parts == split.TEST) & rows["label"].is_not_null())
        several = held.filter(pl.col(unit).is_duplicated() & pl.col(unit).is_not_null())
        return parts.scatter(several.unique(unit, keep="first").get_column("_place"), split.TRAIN)

    return {"split": leaking}


def handful_of_evaluation_rows(pipeline: Pipeline) -> dict[str, Any]:
    """All but the first evaluation rows are left out."""

    def few(rows: pl.DataFrame) -> pl.Series:
        parts = split.parts(pipeline, rows)
        test = (parts == split.TEST) & rows.get_column("label").is_not_null()
        kept = ~test | (test.cast(pl.Int64).cum_sum() <= FEW)
        return parts.zip_with(kept.fill_null(value=True), pl.repeat(None, rows.height, dtype=pl.String, eager=True))

    return {"split": few}


def label_known_at_once(pipeline: Pipeline) -> dict[str, Any]:
    """``label_time`` is the time of the question, whenever the answer comes."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        return ready.with_columns(pl.col("event_time").alias("label_time")) if "label_time" in ready.columns else ready

    return {"prepare": prepare}


def copied_back(pipeline: Pipeline) -> dict[str, Any]:
    """The newest fifth of the questions is there twice: now, and under keys of its own half the window earlier."""
    copies: dict[str, Any] = {"keys": set(), "back": timedelta()}

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        rows, key = pipeline.dataset(read, window), _changeable(pipeline)
        copies["back"] = (window.end - window.start) / 2
        again = rows.sort("label_time").tail(rows.height // 5)
        again = again.with_columns(_another(rows.get_column(key)), pl.col("label_time") - copies["back"])
        copies["keys"] = set(again.get_column(key))
        return pl.concat([rows, again])

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        again = pl.Series([one in copies["keys"] for one in ready.get_column(_changeable(pipeline))], dtype=pl.Boolean)
        earlier = pl.col("event_time") - copies["back"]
        return ready.with_columns(pl.when(again).then(earlier).otherwise("event_time").alias("event_time"))

    return {"dataset": dataset, "prepare": prepare}


def _changeable(pipeline: Pipeline) -> str:
    """A column of the key of which there are always more values; empty if there is none."""
    dtypes = {name: pipeline.serving.request.get(name) for name in pipeline.serving.key}
    return next((name for name, dtype in dtypes.items() if dtype == pl.String or dtype == pl.Int64), "")


def _another(keys: pl.Series) -> pl.Expr:
    """Values of the key that are not there."""
    if keys.dtype == pl.String:
        return pl.format("{}+", keys.name).alias(keys.name)
    return pl.col(keys.name) + (keys.max() - keys.min() + 1)  # type: ignore[operator]


def _every_row_a_unit(world: World) -> str | None:
    unit = world.pipeline.independent_unit
    alone = unit is not None and world.rows.get_column(unit).is_unique().all()
    return f"{world.pipeline.name} declares every row independent of the others." if alone else None


def _no_unit_recurs(world: World) -> str | None:
    if world.pipeline.independent_unit is None:
        return f"{world.pipeline.name} declares no independent unit."
    return _every_row_a_unit(world)


def _known_when_asked(world: World) -> str | None:
    moved = k05_split.labels_moved(world, world.spine, "event_time", at=False)
    return None if moved else f"no label of {world.pipeline.name} is decided after its question."


def _fixed_keys(world: World) -> str | None:
    return None if _changeable(world.pipeline) else f"the key of {world.pipeline.name} is neither text nor a number."


FAULTS = (
    Fault("F28", "split by shuffled rows", "K05", pipeline_fault(split_by_shuffled_rows), _every_row_a_unit),
    Fault("F29", "labels said to be known at once", "K05", pipeline_fault(label_known_at_once), _known_when_asked),
    Fault("F30", "units on both sides of the split", "K05", pipeline_fault(units_on_both_sides), _no_unit_recurs),
    Fault("F31", "evaluation rows copied back into training", "K05", pipeline_fault(copied_back), _fixed_keys),
    Fault("F32", "a handful of evaluation rows", "K05", pipeline_fault(handful_of_evaluation_rows)),
)
