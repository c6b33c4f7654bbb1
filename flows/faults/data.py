"""Faults of data: facts used before they were known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Derived, Group, Pipeline, Read, Window
from store.features.group import EVENT_TIME, KNOWN_TIME

AHEAD = timedelta(days=1)
EVERY = 1000


def late_rows_let_through(world: World) -> World:
    """Derivations see one late row in a thousand (at least one) as if it had been known when it happened."""
    derived = {name: dataclasses.replace(one, derive=_hasty(one)) for name, one in world.catalog.derived.items()}
    return dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))


def _hasty(derived: Derived) -> Callable[[Read, Sequence[datetime]], pl.DataFrame]:
    def derive(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
        return derived.derive(lambda group, window: _one_in_a_thousand(read(group, window)), ticks)

    return derive


def _one_in_a_thousand(rows: pl.DataFrame) -> pl.DataFrame:
    late = pl.col(KNOWN_TIME) > pl.col(EVENT_TIME)
    chosen = late & (late.cum_sum() % EVERY == 1)
    return rows.with_columns(pl.when(chosen).then(EVENT_TIME).otherwise(KNOWN_TIME).alias(KNOWN_TIME))


def event_time_for_known_time(world: World) -> World:
    """The write door stamps every fact as known when it happened."""

    def door(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col(EVENT_TIME).alias(KNOWN_TIME))

    return dataclasses.replace(world, door=door)


def counts_the_day_ahead(pipeline: Pipeline) -> dict[str, Any]:
    """The dataset adds to a numeric input how many facts happen in the day after the question."""

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        read_groups: list[str] = []

        def noting(group: str, asked: Window) -> pl.DataFrame:
            read_groups.append(group)
            return read(group, asked)

        rows, wider = pipeline.dataset(noting, window), Window(window.start, window.end + AHEAD)
        happened = [read(group, wider).get_column(EVENT_TIME) for group in dict.fromkeys(read_groups)]
        return _with_counts(pipeline, rows, pl.concat(happened))

    return {"dataset": dataset}


def _with_counts(pipeline: Pipeline, rows: pl.DataFrame, facts: pl.Series) -> pl.DataFrame:
    happened = np.sort(facts.to_physical().to_numpy())
    asked = pipeline.prepare(rows).select(*pipeline.serving.key, "event_time")
    times = rows.select(pipeline.serving.key).join(asked, on=pipeline.serving.key, how="left", maintain_order="left")
    start = times.get_column("event_time").to_physical().to_numpy()
    ahead = np.searchsorted(happened, start + AHEAD // timedelta(microseconds=1)) - np.searchsorted(happened, start)
    name = _numeric(pipeline, rows)[0]
    return rows.with_columns((pl.col(name) + pl.Series(ahead)).cast(rows.schema[name]).alias(name))


def _numeric(pipeline: Pipeline, rows: pl.DataFrame) -> list[str]:
    return [name for name in pipeline.inputs if name in rows.columns and rows.schema[name] in (pl.Int64, pl.Float64)]


def _no_numeric_input(world: World) -> str | None:
    rows = world.pipeline.dataset(world.read(), world.window)
    return None if _numeric(world.pipeline, rows) else f"{world.pipeline.name}'s dataset gives no numeric input."


def _no_derived(world: World) -> str | None:
    return None if world.catalog.derived else f"{world.pipeline.name} uses no derived group."


def _no_features(world: World) -> str | None:
    return None if world.pipeline.features else f"{world.pipeline.name} uses no features."


FAULTS = (
    Fault("F01", "one late row in a thousand let through", "K02", late_rows_let_through, _no_derived),
    Fault("F02", "event time taken for known time", "K02", event_time_for_known_time, _no_features),
    Fault("F03", "an input counts the day ahead", "K02", pipeline_fault(counts_the_day_ahead), _no_numeric_input),
)
