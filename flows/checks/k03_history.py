"""K03: a derived group remembers nothing older than it declares.

In production a group is derived tick by tick from what ``lookback`` says; whatever else it remembers, such as a count
since the beginning, is another number after a move, a cleaning or a rebuild from later on. At two late ticks each
derivation is asked twice: with only the facts that happened within its lookback, and with everything the slice holds
besides, plus some facts that happened before it and became known a moment before the tick (a source that delivers
late, or one whose time of ingestion is taken for the time of the event). Rows and values must be equal, floats to 1e-9
of the column's largest value.

The control: rows and cells that differ when every other fact within the lookback is missing.

Cost: five derivations of one tick a group, in memory: no build of features, no training.

What does not alarm: a longer lookback than is needed; sums of floats that begin elsewhere; late facts within the
lookback, which count as the derivation likes. Groups of facts are joined by the store, which keeps their ttl.

N/A: without derived groups; where the source holds nothing older than the lookback (an unbounded one), for then nothing
can be left out.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from flows.building import publish
from flows.checks import compare, rewrite
from flows.checks.check import Check, Seen
from flows.checks.world import Change, World
from flows.pipeline import Derived, Group
from store.features.group import EVENT_TIME

CLOSE = 1e-9
ANCIENT = 500
PLACES = (0.8, 1.0)


def look(world: World) -> Seen:
    """Ask every derivation with its lookback only, and with what is older besides."""
    if not world.catalog.derived:
        return Seen("", excuse=f"{world.pipeline.name} uses no derived group.")
    asked = [(one, tick) for one in world.catalog.derived.values() for tick in _ticks(world, one)]
    if not asked:
        longest = max(one.lookback for one in world.catalog.derived.values())
        return Seen("", excuse=f"The source holds nothing older than the lookback ({longest}).")
    control, left_out, rows = 0, 0, 0
    for one, tick in asked:
        start = tick - one.lookback
        left_out += sum(facts.filter(pl.col(EVENT_TIME) < start).height for facts in _inputs(world, one))
        within = _derived(world, one, tick, _from(start))
        control += _apart(one, within, _derived(world, one, tick, _thinner(start)))
        found = _derived(world, one, tick, _older(one, start, tick))
        rows += found.height
        if apart := _apart(one, within, found):
            return _failed(one, apart, left_out, control)
    groups = len({one.group.name for one, _ in asked})
    sentence = (
        f"{rows:,} rows of {groups} derived groups are the same without the {left_out:,} facts older than their "
        f"lookback; without every other fact within it {control:,} cells differ."
    )
    return Seen(sentence, control, {"groups": groups, "rows": rows, "facts_left_out": left_out, "apart": 0})


CHECK = Check("K03", "history", look)


def _ticks(world: World, one: Derived) -> list[datetime]:
    """Two late ticks of a group's grid before which facts are older than its lookback; none if there are no such facts."""
    known = publish.ticks(one.cadence, world.published, world.window.end)
    first = pl.concat([facts.select(EVENT_TIME) for facts in _inputs(world, one)]).to_series().min()
    if not isinstance(first, datetime):
        return []
    known = [tick for tick in known if first < tick - one.lookback]
    return sorted({known[int(place * (len(known) - 1))] for place in PLACES}) if known else []


def _inputs(world: World, one: Derived) -> list[pl.DataFrame]:
    return [world.facts[name] for name in one.inputs]


def _derived(world: World, one: Derived, tick: datetime, change: Change) -> pl.DataFrame:
    return one.derive(world.read(change), [tick])


def _from(start: datetime) -> Change:
    def change(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col(EVENT_TIME) >= start)

    return change


def _thinner(start: datetime) -> Change:
    def change(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col(EVENT_TIME) >= start).gather_every(2)

    return change


def _older(one: Derived, start: datetime, tick: datetime) -> Change:
    """Everything there is, and facts from before the lookback that became known within the last step before the tick."""
    known = tick - min(one.cadence / 2, timedelta(minutes=1))

    def change(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([rows, rewrite.ancient(group, rows, start, known, wanted=ANCIENT)])

    return change


def _apart(one: Derived, before: pl.DataFrame, after: pl.DataFrame) -> int:
    """Cells that differ, every cell of a row that only one of them has among them."""
    on = [*one.group.keys, EVENT_TIME]
    moved = compare.moved(before, after, on=on, columns=list(one.group.values), close=CLOSE)
    alone = before.join(after, on=on, how="anti").height + after.join(before, on=on, how="anti").height
    return moved.total + alone * len(one.group.values)


def _failed(one: Derived, apart: int, left_out: int, control: int) -> Seen:
    said = (
        f"{one.group.name} remembers what is older than its lookback of {one.lookback}: {apart:,} cells differ without "
        f"it. Declare a longer lookback, or leave out what is older."
    )
    return Seen(said, control, {"apart": apart, "facts_left_out": left_out}, failed=True)
