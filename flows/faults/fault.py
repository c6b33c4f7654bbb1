"""A fault: a world whose pipeline, derivation or write door has one component replaced by a wrong one.

Faults are generic: they wrap whatever component the pipeline has, so nothing is written by its author. Where one
cannot be planted (no slices, no derived groups), it says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from flows.checks.world import World
from flows.pipeline import Pipeline


def always(world: World) -> str | None:
    """It applies to every pipeline."""
    return None


@dataclass(frozen=True)
class Fault:
    """A code, a title, the code of the check that must kill it, how it is planted, and ``excuse``: why it does not
    apply, or None."""

    code: str
    title: str
    check: str
    plant: Callable[[World], World]
    excuse: Callable[[World], str | None] = always


def pipeline_fault(change: Callable[[Pipeline], dict[str, Any]]) -> Callable[[World], World]:
    """Plants what ``change`` gives: the components to replace, by name."""

    def plant(world: World) -> World:
        return world.planted(dataclasses.replace(world.pipeline, **change(world.pipeline)))

    plant.__doc__ = change.__doc__
    return plant


def numeric_inputs(pipeline: Pipeline, rows: pl.DataFrame) -> list[str]:
    """The inputs that rows give as Int64 or Float64: what a number can be added to."""
    return [name for name in pipeline.inputs if name in rows.columns and rows.schema[name] in (pl.Int64, pl.Float64)]
