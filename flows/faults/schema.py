"""Faults of schema: columns taken by their place, made up, swallowed or not meant; rows that come twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import polars as pl

from flows.checks import k01_schema
from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Group, Pipeline, Read, Window
from store.features import write

EXTRA = "extra_number"
COPIED = 20


def join_fans_out(pipeline: Pipeline) -> dict[str, Any]:
    """The dataset joins something that is there twice for one row in twenty."""

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        rows = pipeline.dataset(read, window)
        return pl.concat([rows, rows.gather_every(COPIED)])

    return {"dataset": dataset}


def everything_summed(pipeline: Pipeline) -> dict[str, Any]:
    """One more input: the sum of every number the source gives, whatever its column is called."""
    return _one_more_input(pipeline, _all_numbers)


def taken_by_its_place(pipeline: Pipeline) -> dict[str, Any]:
    """One more input: computed of the last column the source gives, whichever it is."""
    return _one_more_input(pipeline, lambda rows: float(write.row_hash(rows, rows.columns[-1:]).cast(pl.Float64).sum()))


def _all_numbers(rows: pl.DataFrame) -> float:
    numbers = [column.cast(pl.Float64).fill_nan(0.0) for column in rows.iter_columns() if column.dtype.is_numeric()]
    return sum(float(column.sum()) + column.len() for column in numbers)


def _one_more_input(pipeline: Pipeline, compute: Callable[[pl.DataFrame], float]) -> dict[str, Any]:
    """An input with one number for all rows, computed of what the dataset reads."""
    told = [0.0]

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        told[0] = 0.0

        def reading(group: str, asked: Window) -> pl.DataFrame:
            rows = read(group, asked)
            told[0] += compute(rows)
            return rows

        return pipeline.dataset(reading, window)

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        return pipeline.prepare(rows).with_columns(pl.lit(told[0]).alias(EXTRA))

    return {"dataset": dataset, "prepare": prepare, "inputs": (*pipeline.inputs, EXTRA)}


def missing_made_up(world: World) -> World:
    """A column that the source lacks is filled with nulls."""

    def complete(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        lacking = {name: dtype for name, dtype in group.schema.items() if name not in (*rows.columns, write.ROW_HASH)}
        return rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in lacking.items())

    return _reading(world, complete)


def unreadable_swallowed(world: World) -> World:
    """A number that cannot be read is a null."""
    return _reading(world, _cast)


def _cast(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
    numbers = {name: dtype for name, dtype in group.values.items() if name in rows.columns and dtype.is_numeric()}
    return rows.with_columns(pl.col(name).cast(dtype, strict=False) for name, dtype in numbers.items())


def _reading(world: World, how: Callable[[Group, pl.DataFrame], pl.DataFrame]) -> World:
    """The world whose dataset makes something else of what it reads."""
    pipeline, facts = world.pipeline, world.catalog.facts

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        return pipeline.dataset(lambda name, asked: how(facts[name].group, read(name, asked)), window)

    return world.planted(dataclasses.replace(pipeline, dataset=dataset))


def _reads_nothing(world: World) -> str | None:
    return None if world.asked else f"the dataset of {world.pipeline.name} reads no facts."


def _no_number_reaches(world: World) -> str | None:
    """Whether there is a number that may be null here and there, and makes other questions."""
    read, window = world.read(), world.window
    base = k01_schema.outcome(world.pipeline, read, window)
    for name in sorted(world.asked):
        group = world.catalog.facts[name].group
        for column in [column for column, dtype in group.values.items() if dtype.is_numeric()]:
            nulled = k01_schema.given(read, name, _nulled(group, column))
            other = k01_schema.outcome(world.pipeline, nulled, window)
            if base is not None and other is not None and not other.equals(base):
                return None
    return f"no number of its source may be null in {world.pipeline.name}, or reaches its rows."


def _nulled(group: Group, column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    unreadable = k01_schema.as_text(column, unreadable=True)
    return lambda rows: _cast(group, unreadable(rows))


FAULTS = (
    Fault("F19", "a join that fans out", "K01", pipeline_fault(join_fans_out)),
    Fault("F20", "a column taken by its place", "K01", pipeline_fault(taken_by_its_place), _reads_nothing),
    Fault("F21", "a missing column made up", "K01", missing_made_up, _reads_nothing),
    Fault("F22", "unreadable numbers swallowed", "K01", unreadable_swallowed, _no_number_reaches),
    Fault("F23", "everything the source gives, summed", "K07", pipeline_fault(everything_summed), _reads_nothing),
)
