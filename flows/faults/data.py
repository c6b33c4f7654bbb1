"""Faults of data: facts used before they were known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from flows.building import publish
from flows.checks.world import World
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Derived, Group, Pipeline, Read, Window
from store.features.group import EVENT_TIME, KNOWN_TIME

AHEAD = timedelta(days=1)
Derive = Callable[[Read, Sequence[datetime]], pl.DataFrame]
EVERY = 1000


def late_rows_let_through(world: World) -> World:
    """Derivations see one late row in a thousand (at least one) as if it had been known when it happened."""
    return derivations(world, _hasty)


def _hasty(derived: Derived) -> Derive:
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


def ingest_time_for_event_time(world: World) -> World:
    """Derivations take the time a fact came in for the time it happened, so that what comes in late is news."""

    def plant(derived: Derived) -> Derive:
        def derive(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
            def by_ingestion(group: str, window: Window) -> pl.DataFrame:
                rows = read(group, Window(publish.EPOCH, window.end))
                came = rows.with_columns(pl.max_horizontal(EVENT_TIME, KNOWN_TIME).alias(EVENT_TIME)).sort(EVENT_TIME)
                return came.filter(pl.col(EVENT_TIME) >= window.start, pl.col(EVENT_TIME) < window.end)

            return derived.derive(by_ingestion, ticks)

        return derive

    return derivations(world, plant)


def counts_since_the_beginning(world: World) -> World:
    """A derived number grows with every fact there ever was; a group without numbers forgets a value once there were
    facts before its lookback."""

    def plant(derived: Derived) -> Derive:
        name, dtype = countable(derived)

        def derive(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
            older = Window(publish.EPOCH, ticks[0] - derived.lookback)
            ever = sum(read(group, older).height for group in derived.inputs)
            value = (pl.col(name) + ever) if dtype.is_numeric() else pl.when(ever == 0).then(name)
            return derived.derive(read, ticks).with_columns(value.cast(dtype).alias(name))

        return derive

    return derivations(world, plant)


def countable(derived: Derived) -> tuple[str, pl.DataType]:
    return next(
        (one for one in derived.group.values.items() if one[1].is_numeric()), next(iter(derived.group.values.items()))
    )


def derivations(world: World, plant: Callable[[Derived], Derive]) -> World:
    """The world with every derivation replaced."""
    derived = {name: dataclasses.replace(one, derive=plant(one)) for name, one in world.catalog.derived.items()}
    return dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))


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


def no_derived(world: World) -> str | None:
    return None if world.catalog.derived else f"{world.pipeline.name} uses no derived group."


def _no_features(world: World) -> str | None:
    return None if world.pipeline.features else f"{world.pipeline.name} uses no features."


FAULTS = (
    Fault("F01", "one late row in a thousand let through", "K02", late_rows_let_through, no_derived),
    Fault("F02", "event time taken for known time", "K02", event_time_for_known_time, _no_features),
    Fault("F17", "ingest time taken for event time", "K03", ingest_time_for_event_time, no_derived),
    Fault("F18", "counted since the beginning", "K03", counts_since_the_beginning, no_derived),
    Fault("F03", "an input counts the day ahead", "K02", pipeline_fault(counts_the_day_ahead), _no_numeric_input),
)
