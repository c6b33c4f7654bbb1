"""K16: built again, the data are the same, whatever was built before and however that ended.

In this very process, after the build at hand: the dataset and every derivation are run on other facts (values dealt out among the rows)
and killed after each of their reads, then run to their end. A root is filled and killed within each derivation, one after the other, and
then filled to its end; the rows are built of it, with the network out of reach. They must be those that were there before, to the bit. So
a build that goes on from what an earlier one left, in memory or in a file, or that fetches what it needs, is found.

The control: cells and rows that come out otherwise of the other facts.

Cost: one build of the features, a second of the newest tick and of the dataset in memory; no training.

What does not alarm: what is kept and is the same each time (a table read once); another order of rows; a pipeline that refuses the other
facts. What the store does when it is killed is its own tests' matter.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from flows.building import publish
from flows.building.catalog import Catalog
from flows.checks import compare, rewrite
from flows.checks.check import Check, Seen
from flows.checks.world import Scratch, World
from flows.pipeline import Group, Read, Window

MOST = 20
"""So many reads of one build are killed after at most."""


class Killed(BaseException):
    """A build that was killed: nobody who handles errors hears of it."""


def look(world: World) -> Seen:
    """Kill builds of other facts, finish one, then build these facts again, and compare."""
    before = world.rows
    kills = _killed(world)
    control = _others(world)
    rebuilt = _rebuilt(world)
    columns = ["label", "label_time", *world.pipeline.columns]
    moved = compare.moved(before, rebuilt, on=world.key, columns=columns, exact=columns)
    come = rebuilt.join(before, on=world.key, how="anti").height
    numbers = {"rows": before.height, "kills": kills, "cells": moved.total, "lost": moved.lost, "come": come}
    if apart := moved.total + moved.lost + come:
        where = f", most in {moved.worst}" if moved.worst else ""
        said = (
            f"Built again after {kills} killed builds and one of other facts, {moved.total:,} cells differ{where}, {moved.lost:,} rows are "
            f"gone and {come:,} are new. Let a build depend on the facts alone."
        )
        return Seen(said, control, {**numbers, "apart": apart}, failed=True)
    said = f"Built again, offline, after {kills} killed builds and one of other facts, {before.height:,} rows are the same to the bit."
    return Seen(said, control, {**numbers, "others": control})


CHECK = Check("K16", "rebuild", look)


def _dealt(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
    """Other facts: the values of all rows dealt out."""
    everything = pl.repeat(value=True, n=rows.height, dtype=pl.Boolean, eager=True)
    return rewrite.dealt_out(group, rows, everything)


def _works(world: World) -> list[Callable[[Read], pl.DataFrame]]:
    """What a build runs of the pipeline's own: each derivation for the newest tick, and the dataset, prepared."""
    works: list[Callable[[Read], pl.DataFrame]] = []
    for one in world.catalog.derived.values():
        if tick := publish.ticks(one.cadence, world.published, world.window.end)[-1:]:
            works.append(lambda read, one=one, tick=tick: one.derive(read, tick))  # type: ignore[misc]
    return [*works, world.questions]


def _killed(world: World) -> int:
    """Kill every work of other facts after each of its reads; how often that was."""
    read, kills = world.read(_dealt), 0
    for work in _works(world):
        for place in range(MOST):
            try:
                work(_killing(read, place))
                break
            except Killed:
                kills += 1
            except Exception:  # it refuses the other facts
                break
    return kills


def _killing(read: Read, after: int) -> Read:
    left = [after]

    def killing(group: str, window: Window) -> pl.DataFrame:
        rows = read(group, window)
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return rows

    return killing


def _others(world: World) -> int:
    """Cells and rows that come out otherwise of other facts."""
    apart = 0
    for work in _works(world):
        mine = work(world.read())
        try:
            theirs = work(world.read(_dealt))
            apart += mine.join(theirs, on=mine.columns, how="anti", nulls_equal=True).height
        except Exception:  # it refuses the other facts: they are looked at
            apart += mine.height
    return apart


def _rebuilt(world: World) -> pl.DataFrame:
    """The rows of a root that was filled, killed within each derivation, and filled to its end."""
    scratch = Scratch(world.within)
    with _offline():
        for name in world.catalog.derived:
            with contextlib.suppress(Killed):
                world.fill(scratch.root, _dying(world.catalog, name))
        world.fill(scratch.root, world.catalog)
        again = dataclasses.replace(world)
        again.__dict__["scratch"] = scratch
        return again.rows


def _dying(catalog: Catalog, name: str) -> Catalog:
    one = catalog.derived[name]
    dying = dataclasses.replace(one, derive=lambda read, ticks: one.derive(_killing(read, 0), ticks))
    return dataclasses.replace(catalog, derived={**catalog.derived, name: dying})


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """While it lasts, no socket of Python's connects to anything but a file of this machine."""
    honest = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise ConnectionRefusedError(f"A build asked for {address}: it must do without a network.")
        honest(self, address)

    socket.socket.connect = connect  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        socket.socket.connect = honest  # type: ignore[method-assign]
