"""K01: another schema is refused, or changes nothing; no column is taken by its place, and no row comes twice.

Tables change: a column moves, is renamed, comes with another type. A pipeline that notices is refused and mended; one
that does not goes on with other numbers. So whatever ``read`` gives to the dataset is given otherwise, one change at a
time: columns in reverse order, those of one type exchanged, a column more in front; each column under another name;
each number, time and truth as text, with some of it unreadable; a second row under a key that is there once. Each time
the pipeline (or assay itself: a key twice, a column missing, a label of another type) refuses, or every question,
input and label is as before. Derivations are asked for a late tick with their columns reordered and one more. And the
dataset gives each key once: a join that fans out is counted here.

The control: columns under another name that were missed, that is, refused.

Cost: some dozens of runs of the dataset on its newest thousand questions (of a wide group forty columns are renamed, and
unreadable some at a time), four derivations of one tick a group, in memory: no build of features, no training.

What does not alarm: a column nobody uses; a number as text that comes through as text, for its type says so, or is read
as what it says; arithmetic that Polars does otherwise for text (only who reads numbers of text is given unreadable
ones); facts that do not name a question, or have several rows a key already, which may count more than once.

N/A: a dataset that reads no facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from flows.building import assemble, publish
from flows.checks import compare, rewrite
from flows.checks.check import Check, Seen
from flows.checks.world import World
from flows.pipeline import TIME, Derived, Pipeline, Read, Window
from store.features.group import EVENT_TIME, KNOWN_TIME

QUESTIONS, UNREADABLE, RENAMED, BLOCKS = 1000, 7, 40, 16
Otherwise = Callable[[pl.DataFrame], pl.DataFrame]
"""What a group's columns are made into."""


@dataclass(frozen=True)
class Change:
    """``what`` is done to a group, and how. ``unless``: a kinder change that must change nothing first, or this one
    tells nothing."""

    what: str
    group: str
    how: Otherwise
    unless: Otherwise | None = None


def look(world: World) -> Seen:
    """Give the dataset and the derivations another schema; they must refuse, or give what they gave."""
    if not world.asked:
        return Seen("", excuse=f"the dataset of {world.pipeline.name} reads no facts.")
    read, pipeline = world.read(), world.pipeline
    rows = world.questions(read)
    if twice := rows.height - rows.select(pipeline.serving.key).unique().height:
        said = (
            f"The dataset gives {twice:,} of {rows.height:,} rows under a key that is there already: a join fans out."
        )
        return Seen(said, numbers={"rows": rows.height, "twice": twice}, failed=True)
    window, base = _newest(world, rows)
    refused, same = dict[str, int](), 0
    for change in changes(world):
        if change.unless:
            kinder = outcome(pipeline, given(read, change.group, change.unless), window)
            if not _same(world, change, base, kinder):
                continue
        other = outcome(pipeline, given(read, change.group, change.how), window)
        if other is None:
            kind = change.what.rpartition(" ")[2]
            refused[kind] = refused.get(kind, 0) + 1
        elif not _same(world, change, base, other):
            return _failed(world, change, base, other)
        same += other is not None
    for one in world.catalog.derived.values():
        if apart := _derived(world, one, read):
            said = f"{one.group.name} takes columns by their place: {apart:,} cells differ when they stand in another order."
            return Seen(said, numbers={"apart": apart}, failed=True)
    control = refused.get("renamed", 0)
    sentence = (
        f"{sum(refused.values())} changes of what is read were refused, {control} of them columns that were missing, and "
        f"{same} changed nothing in {base.height:,} questions."
    )
    return Seen(sentence, control, {"refused": sum(refused.values()), "same": same, "questions": base.height})


CHECK = Check("K01", "schema", look)


def outcome(pipeline: Pipeline, read: Read, window: Window) -> pl.DataFrame | None:
    """What tells and makes a question (key, event_time, inputs, label, label_time), or None: refused, by the pipeline or
    by what every dataset is held to."""
    wanted = list(dict.fromkeys((*pipeline.serving.key, "event_time", *pipeline.inputs, "label", "label_time")))
    try:
        rows = pipeline.prepare(pipeline.dataset(read, window)).select(wanted)
    except Exception:  # whatever it raises, it did not go on silently
        return None
    sound = rows.schema["event_time"] == rows.schema["label_time"] == TIME and rows.schema["label"] == pl.Float64()
    return rows if sound and rows.select(pipeline.serving.key).is_unique().all() else None


def given(read: Read, group: str, how: Otherwise) -> Read:
    """``read`` with one group's rows otherwise."""
    return lambda name, window: how(read(name, window)) if name == group else read(name, window)


def changes(world: World) -> Iterator[Change]:
    """Every change of a group that the dataset reads."""
    for name in sorted(world.asked):
        group = world.catalog.facts[name].group
        yield Change("columns reversed", name, lambda rows: rows.select(rows.columns[::-1]))
        yield Change("columns exchanged", name, exchanged)
        yield Change("column added", name, added)
        for column in (*group.keys, EVENT_TIME, KNOWN_TIME, *_spread(list(group.values), RENAMED)):
            yield Change(f"{column} renamed", name, _renamed(column))
        for columns in _blocks([column for column, dtype in group.values.items() if dtype != pl.String]):
            what = f"{' and '.join(columns[:2])}{' and more' * (len(columns) > 2)} unreadable"
            yield Change(what, name, as_text(*columns, unreadable=True), as_text(*columns))
        if world.own(group) and world.facts[name].select(list(group.keys)).is_unique().all():
            yield Change("keys doubled", name, _doubled)


def exchanged(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns with those of one type in each other's place, so that nothing but the names tells them apart."""
    places: dict[pl.DataType, list[str]] = {}
    for name, dtype in rows.schema.items():
        places.setdefault(dtype, []).append(name)
    turned = {dtype: iter([*names[1:], names[0]]) for dtype, names in places.items()}
    return rows.select(next(turned[dtype]) for dtype in rows.schema.values())


def added(rows: pl.DataFrame) -> pl.DataFrame:
    """One more column, in front."""
    return rows.select(pl.lit("more").alias("surplus"), *rows.columns)


def as_text(*columns: str, unreadable: bool = False) -> Otherwise:
    """The columns as text; with ``unreadable``, one in seven of their values is none that can be read."""

    def how(rows: pl.DataFrame) -> pl.DataFrame:
        place = pl.int_range(pl.len())
        garbled = pl.when(pl.col(columns).is_not_null() & (place % UNREADABLE == 0)).then(pl.format("?{}", place))
        text = pl.col(columns).cast(pl.String)
        return rows.with_columns(garbled.otherwise(text).name.keep() if unreadable else text)

    return how


def _spread(columns: list[str], most: int) -> list[str]:
    """So many of the columns, evenly from first to last: a wide table is not asked about each."""
    return columns[:: -(-len(columns) // most)] if len(columns) > most else columns


def _blocks(columns: list[str]) -> list[list[str]]:
    """The columns, one by one or, in a wide table, some at a time."""
    size = max(1, -(-len(columns) // BLOCKS))
    return [columns[start : start + size] for start in range(0, len(columns), size)]


def _renamed(column: str) -> Otherwise:
    return lambda rows: rows.rename({column: f"former_{column}"})


def _doubled(rows: pl.DataFrame) -> pl.DataFrame:
    twice = rows.gather_every(UNREADABLE).with_columns(pl.col(EVENT_TIME, KNOWN_TIME) + rewrite.MICROSECOND)
    return pl.concat([rows, twice]).sort(EVENT_TIME, maintain_order=True)


def _newest(world: World, rows: pl.DataFrame) -> tuple[Window, pl.DataFrame]:
    """As much of the window as holds the newest thousand questions, and these; all of it, where a part is refused."""
    times = rows.get_column("event_time").sort()
    start = max(times[max(0, times.len() - QUESTIONS)], world.window.start)
    for window in (Window(min(start, world.window.end), world.window.end), world.window):
        base = outcome(world.pipeline, world.read(), window)
        if base is not None and base.height:
            return window, base
    return world.window, assemble.spine(world.pipeline, world.read(), world.window)  # which says what is wrong


def _same(world: World, change: Change, base: pl.DataFrame, other: pl.DataFrame | None) -> bool:
    return other is not None and not sum(_apart(world, change, base, other))


def _apart(world: World, change: Change, base: pl.DataFrame, other: pl.DataFrame) -> tuple[int, int]:
    """Cells that differ, and questions that only one of the two has.

    Where a number was made text, a column that is text now is plain to see: nothing is silent about it. Otherwise no
    type can have changed but by another column in its place.
    """
    key = list(world.pipeline.serving.key)
    dtypes, others = base.schema, other.schema
    if any(dtypes[name] != others[name] for name in key):
        return (0, 0) if change.unless else (0, base.height)
    typed = [name for name, dtype in dtypes.items() if not change.unless or dtype == others[name]]
    moved = compare.moved(base, other, on=key, columns=typed)
    return moved.total, moved.lost + other.join(base, on=key, how="anti").height


def _derived(world: World, one: Derived, read: Read) -> int:
    """Cells a derivation gives otherwise when what it reads has its columns in another order, or one more."""
    tick = publish.ticks(one.cadence, world.published, world.window.end)[-1:]
    if not tick:
        return 0
    on, before = [*one.group.keys, EVENT_TIME], one.derive(read, tick)
    for how in (lambda rows: rows.select(rows.columns[::-1]), exchanged, added):
        try:
            after = one.derive(_everywhere(read, how), tick)
            moved = compare.moved(before, after, on=on, columns=list(one.group.values))
        except Exception:  # it did not go on silently
            continue
        if apart := moved.total + moved.lost + after.join(before, on=on, how="anti").height:
            return apart
    return 0


def _everywhere(read: Read, how: Otherwise) -> Read:
    return lambda name, window: how(read(name, window))


def _failed(world: World, change: Change, base: pl.DataFrame, other: pl.DataFrame) -> Seen:
    cells, questions = _apart(world, change, base, other)
    said = (
        f"{change.what.capitalize()} in {change.group}, and nothing refused it: {cells:,} cells of {base.height:,} "
        f"questions differ, {questions:,} questions came or went. Name every column, and let what cannot be read raise."
    )
    return Seen(said, numbers={"cells": cells, "questions_apart": questions, "questions": base.height}, failed=True)
