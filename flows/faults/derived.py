"""Faults of derived groups: facts used before they were known, or remembered for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime

import polars as pl

from flows.building import publish
from flows.checks.world import World
from flows.faults.fault import Fault
from flows.pipeline import Derived, Read, Window
from store.features.group import EVENT_TIME, KNOWN_TIME

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
    """A value that is a number, or else any."""
    return next(
        (one for one in derived.group.values.items() if one[1].is_numeric()), next(iter(derived.group.values.items()))
    )


def derivations(world: World, plant: Callable[[Derived], Derive]) -> World:
    """The world with every derivation replaced."""
    derived = {name: dataclasses.replace(one, derive=plant(one)) for name, one in world.catalog.derived.items()}
    return dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))


def no_derived(world: World) -> str | None:
    return None if world.catalog.derived else f"{world.pipeline.name} uses no derived group."


FAULTS = (
    Fault("F01", "one late row in a thousand let through", "K02", late_rows_let_through, no_derived),
    Fault("F17", "ingest time taken for event time", "K03", ingest_time_for_event_time, no_derived),
    Fault("F18", "counted since the beginning", "K03", counts_since_the_beginning, no_derived),
)
