"""Faults of building again: what an earlier build left decides what a later one gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from flows.checks.world import World
from flows.faults.derived import Derive, countable, derivations, no_derived
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Derived, Pipeline, Read, Window
from store.features import write


def seen_already(pipeline: Pipeline) -> dict[str, Any]:
    """A tenth of the questions that an earlier build has seen is left out of the next, as done."""
    seen = set[int]()

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        rows = pipeline.dataset(read, window)
        ids = write.row_hash(rows, pipeline.serving.key)
        done = pl.Series([one in seen for one in ids.to_list()], dtype=pl.Boolean) & (ids % 10 == 0)
        seen.update(ids.to_list())
        return rows.filter(~done)

    return {"dataset": dataset}


def counted_from_build_to_build(world: World) -> World:
    """A derived number goes on from where the build before ended; other values are there in the first build only."""

    def plant(derived: Derived) -> Derive:
        (name, dtype), builds = countable(derived), list[None]()

        def derive(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
            rows = derived.derive(read, ticks)
            builds.append(None)
            before = len(builds) - 1
            value = pl.col(name) + before if dtype.is_numeric() else pl.when(pl.lit(before == 0)).then(name)
            return rows.with_columns(value.cast(dtype).alias(name))

        return derive

    return derivations(world, plant)


FAULTS = (
    Fault("F87", "what was seen already is left out", "K16", pipeline_fault(seen_already)),
    Fault("F88", "counted from build to build", "K16", counted_from_build_to_build, no_derived),
)
