"""Faults of what an input is: columns that are the answer under another name."""

from __future__ import annotations

from typing import Any

import polars as pl

from flows.checks import k17_proxy
from flows.checks.k06_shuffled import carrier
from flows.checks.world import World
from flows.faults.fault import Fault, numeric_inputs, pipeline_fault
from flows.pipeline import Pipeline, Read, Window
from store.features import write

HEARD, TOLD, BETTER = 0.05, "_told", 0.98


def proxy_among_the_inputs(pipeline: Pipeline) -> dict[str, Any]:
    """``prepare`` gives, for a numeric input, what was written down with the answer: the label with some noise."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        if "label" not in ready.columns:
            return ready
        name = numeric_inputs(pipeline, ready)[0]
        size = ready.get_column("label").std() or 1.0
        noise = pl.Series(write.row_hash(ready, pipeline.serving.key).to_numpy() / 2.0**63)
        written = 1000 * (pl.col("label") / size + HEARD * noise)
        return ready.with_columns(written.fill_null(0.0).round().cast(ready.schema[name]).alias(name))

    return {"prepare": prepare}


def label_under_another_name(pipeline: Pipeline) -> dict[str, Any]:
    """One more input: a number that goes with the label, one to one."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        told = 7 - 3 * pl.col("label") if "label" in ready.columns else pl.lit(0.0)
        return ready.with_columns(told.fill_null(0.0).alias(TOLD))

    return {"prepare": prepare, "inputs": (*pipeline.inputs, TOLD)}


def answer_taken_for_an_input(world: World) -> World:
    """The dataset gives, for a numeric input, the very column of the source that the label comes of."""
    pipeline, (group, column) = world.pipeline, carrier(world) or ("", "")
    key = list(pipeline.serving.key)

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        rows = pipeline.dataset(read, window)
        name = numeric_inputs(pipeline, rows)[0]
        told = read(group, window).select(*key, pl.col(column).cast(pl.Float64).alias(TOLD))
        joined = rows.join(told, on=key, how="left", maintain_order="left")
        return joined.with_columns((1000 * pl.col(TOLD)).fill_null(0.0).cast(rows.schema[name]).alias(name)).drop(
            "_told"
        )

    return pipeline_fault(lambda planted: {"dataset": dataset})(world)


def _no_room(world: World) -> str | None:
    """A proxy is told by being better than what there is."""
    rows = world.pipeline.dataset(world.read(), world.window)
    if not numeric_inputs(world.pipeline, rows):
        return f"{world.pipeline.name}'s dataset gives no numeric input."
    known, test = k17_proxy.parts(world)
    if k17_proxy.without(world.pipeline, known, test, numeric_inputs(world.pipeline, rows)[0]) >= BETTER:
        return f"the other columns of {world.pipeline.name} order its rows as well as a proxy would."
    return None


def _no_carrier(world: World) -> str | None:
    found = carrier(world)
    if found is None:
        return f"no single column of its source carries the label of {world.pipeline.name}."
    dtype = world.catalog.facts[found[0]].group.values[found[1]]
    return _no_room(world) if dtype.is_numeric() else f"{'.'.join(found)} is no number."


FAULTS = (
    Fault("F60", "a proxy among the inputs", "K17", pipeline_fault(proxy_among_the_inputs), _no_room),
    Fault("F61", "the answer taken for an input", "K17", answer_taken_for_an_input, _no_carrier),
    Fault("F62", "the label under another name", "K17", pipeline_fault(label_under_another_name)),
)
