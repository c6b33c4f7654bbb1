"""Facts written and features derived from them, on the publication grid.

One piece serves bulk history, the inbox, collected traffic and the scratch roots of checks, so that history is derived as it will
be published: on the same grid, from the same facts, by the same code.

The watermark of a derived group is Delta's application transaction ``("publish", tick in epoch seconds)``: the rows of a tick and the
statement that the tick is done are one commit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from flows.building.catalog import Catalog
from flows.pipeline import Derived, Facts, Read, Window
from store import tables
from store.errors import NotFound
from store.features import group, online, write
from store.features.group import EVENT_TIME, KNOWN_TIME
from store.layout import Root
from store.registry import packages

WRITER = "publish"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def declare(root: Root, catalog: Catalog, *, actor: str, now: datetime) -> None:
    """Record every declared group. Conflict: a derivation changed under an unchanged version."""
    everything: dict[str, Facts | Derived] = {**catalog.facts, **catalog.derived}
    for name, declared in everything.items():
        write.declare(root, declared.group, derivation=catalog.digests[name], actor=actor, now=now)


def reader(root: Root, catalog: Catalog) -> Read:
    """A ``read(group, window)`` over the root's facts, as datasets and derivations use it."""

    def read(group: str, window: Window) -> pl.DataFrame:
        if group not in catalog.facts:
            raise NotFound.among("group of facts", group, catalog.facts, "What is derived is declared in `features`.")
        return write.rows(root, catalog.facts[group].group, window.start, window.end)

    return read


def ticks(cadence: timedelta, after: datetime, until: datetime) -> list[datetime]:
    """The grid's instants with ``after < tick <= until``; the grid is anchored at 1970-01-01 00:00 UTC."""
    first = EPOCH + ((after - EPOCH) // cadence + 1) * cadence
    return pl.datetime_range(first, until, cadence, time_unit="us", eager=True).to_list() if first <= until else []


def watermark(root: Root, derived: Derived) -> datetime | None:
    """The newest tick that is published, or None."""
    done = tables.transaction(group.path(root, derived.group), WRITER)
    return None if done is None else EPOCH + timedelta(seconds=done)


def derive(root: Root, read: Read, derived: Derived, due: Sequence[datetime], *, now: datetime) -> int:
    """Publish one derived group for these ticks, in one commit. Rows are known when they are published: bulk history
    at its tick (plus the group's delay), a late tick now."""
    if not due:
        return 0
    rows = derived.derive(read, due)
    live = now - due[0] <= derived.cadence or watermark(root, derived) is not None
    known = (
        pl.max_horizontal(pl.col(EVENT_TIME) + derived.group.delay, pl.lit(now))
        if live
        else pl.col(EVENT_TIME) + derived.group.delay
    )
    batch = (WRITER, int((due[-1] - EPOCH).total_seconds()))
    return write.write(root, derived.group, rows.with_columns(known.alias(KNOWN_TIME)), now=now, batch=batch)


def publish(root: Root, catalog: Catalog, *, start: datetime, now: datetime) -> dict[str, int]:
    """Publish every derived group up to ``now``: from its watermark, or from ``start`` if it has none. Rows by group."""
    read = functools.cache(reader(root, catalog))  # what several groups are derived from is read once
    written = {}
    for name, one in catalog.derived.items():
        after = watermark(root, one) or start - one.cadence
        written[name] = derive(root, read, one, ticks(one.cadence, after, now), now=now)
    return written


def materialise(root: Root, changed: Iterable[str], *, now: datetime) -> list[str]:
    """Put the newest rows of changed groups where services look them up, if any package uses them. Their names."""
    used = {name for package in packages.listed(root) for name in package.body.groups}
    names = sorted(set(changed) & used)
    if names:
        online.materialise(root, names, now=now)
    return names
