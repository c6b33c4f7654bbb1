"""What an author declared of single values, held against what the code gives: aggregates by a loop, prepared columns by rows worked out
by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from flows.building import publish
from flows.checks.world import World
from flows.pipeline import Aggregate, Derived, Window
from store.features.group import EVENT_TIME, KNOWN_TIME

CLOSE = 1e-9
PLACES = (0.5, 1.0)
ROWS = 50
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Cell:
    """One value: what is ``found``, what was ``told``, and an ``other`` that a wrong computation would give."""

    what: str
    found: Any
    told: Any
    other: Any

    @property
    def broken(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        return f"{self.what} is {_said(self.found)}, not {_said(self.told)}" if apart(self.found, self.told) else ""

    @property
    def seen(self) -> bool:
        """Whether the other value would be told from the right one."""
        return apart(self.other, self.told)


def cells(world: World) -> list[Cell]:
    """Everything that is declared of single values."""
    return [*aggregates(world), *worked(world)]


def worked(world: World) -> Iterator[Cell]:
    """The columns of the rows worked out by hand, as ``prepare`` gives them."""
    schema = dict(world.pipeline.serving.request)
    for number, one in enumerate(world.pipeline.worked, 1):
        found = world.pipeline.prepare(pl.DataFrame([dict(one.row)], schema=schema)).row(0, named=True)
        for name, told in one.columns.items():
            what = f"{name} of the row worked out by hand ({number})"
            yield Cell(what, found.get(name, "not there"), told, None if isinstance(told, str) else "another")


def aggregates(world: World) -> Iterator[Cell]:
    """Declared aggregates of some rows at two late ticks; ``other`` is the value without the newest row that counts."""
    for derived in world.catalog.derived.values():
        for tick in _ticks(world, derived) if derived.aggregates else []:
            yield from _at(world, derived, tick)


def _ticks(world: World, derived: Derived) -> list[datetime]:
    """Two late ticks of the group's grid."""
    grid = publish.ticks(derived.cadence, world.published, world.window.end)
    return sorted({grid[int(place * (len(grid) - 1))] for place in PLACES}) if grid else []


def _at(world: World, derived: Derived, tick: datetime) -> Iterator[Cell]:
    read, window = world.read(), Window(tick - derived.lookback, tick + MICROSECOND)
    found = derived.derive(read, [tick]).sort([*derived.group.keys, EVENT_TIME])
    chosen = found.gather_every(max(1, found.height // ROWS)).to_dicts()
    for name, aggregate in derived.aggregates.items():
        counted = _counted(aggregate, aggregate.rows(read, window), list(derived.group.keys), tick)
        for row in chosen:
            key = tuple(row[part] for part in derived.group.keys)
            values = counted.get(key, [])
            what = f"{derived.group.name}.{name} of {', '.join(map(str, key))} at {tick:%Y-%m-%d %H:%M} UTC"
            yield Cell(what, row[name], _of(aggregate.how, values), _of(aggregate.how, values[:-1]))


def _counted(
    aggregate: Aggregate, rows: pl.DataFrame, keys: Sequence[str], tick: datetime
) -> dict[tuple[Any, ...], list[float]]:
    """The values that count for each key, oldest first; row by row, so that nothing is cleverer than what it says."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for row in rows.sort(EVENT_TIME, maintain_order=True).iter_rows(named=True):
        in_time = tick - aggregate.over < row[EVENT_TIME] <= tick and row.get(KNOWN_TIME, tick) <= tick
        if in_time and row["value"] is not None:
            found.setdefault(tuple(row[key] for key in keys), []).append(float(row["value"]))
    return found


def _of(how: str, values: Sequence[float]) -> float | None:
    if how == "count":
        return float(len(values))
    if how == "sum":
        return math.fsum(values)
    if not values:
        return None
    return {"mean": math.fsum(values) / len(values), "min": min(values), "max": max(values)}[how]


def apart(one: Any, other: Any) -> bool:
    """Whether two values differ: numbers by more than a rounding, others at all; NaN is nothing, like null."""
    one, other = _plain(one), _plain(other)
    if isinstance(one, float) and isinstance(other, float):
        return not math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(one != other)


def _plain(value: Any) -> Any:
    if isinstance(value, int | float):
        return None if math.isnan(value) else float(value)
    return value


def _said(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else repr(value)
