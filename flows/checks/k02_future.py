"""K02: what becomes known later changes nothing that was asked before.

At three cutoffs (on the derived groups' grid, at the very instant of a question, and at an odd one), everything that
became known at or after the cutoff is rewritten, nulled, deleted or doubled, and late rows are added: they happened
in the day before and were known at the cutoff or a microsecond after. Derivations, dataset and join run again. Rows
asked before the cutoff must have the same inputs and features: to the bit where a fact is passed through, to a
relative 1e-12 where floats are aggregated or computed. Around a cutoff the spine is not thinned, since that is where
a leak shows.

Once more, every number and time is replaced by its own ``known_time``, and nothing passed through may exceed T.

The control: cells of rows asked at or after the cutoff change, and one late row a group, known a microsecond *before*
the cutoff, moves features (shown as ``late_cells``; where no feature is made of late rows it is 0, and says so).

Cost: five builds of the features. It stops at the first cutoff that fails.

What does not alarm: the label, which may look later; rows of the spine that one of the two worlds lacks (K18 judges
those); a pipeline that refuses second rows or nulls, which is asked again without them; a question that the store knew
of only after its own T, as applications ask late and ingestion lags: it counts as asked when the first fact under its
very key became known, for what it brings along is known with it.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from flows.building import publish
from flows.checks import compare, rewrite
from flows.checks.check import Check, Seen
from flows.checks.world import ASKED, World
from flows.pipeline import TIME, Group
from store.features.group import KNOWN_TIME

NEAR = 1000
PLACES = (0.35, 0.6, 0.85)
ODD = timedelta(hours=2, minutes=17, seconds=13, microseconds=1)
DAY = timedelta(days=1)


def look(world: World) -> Seen:
    """Compare the rows before each cutoff in the world as it is and as it might have gone on."""
    cutoffs = chosen(world)
    near = _near(world, cutoffs)
    base = world.with_asked(world.joined(_around(world, world.spine, near)))
    control, compared = 0, 0
    for cutoff in cutoffs:
        other = _rows(world, cutoff, near)
        before = _moved(world, base.filter(pl.col(ASKED) < cutoff), other)
        after = _moved(world, base.filter(pl.col("event_time") >= cutoff), other)
        control, compared = control + after.total, compared + before.compared
        if before.total:
            said = f"What became known from {cutoff:%Y-%m-%d %H:%M:%S.%f} UTC on reached the rows asked before it"
            return _failed(before, control, said)
    if (passed := _beyond(world)).total:
        return _failed(passed, control, "Values replaced by their known_time came through later than T")
    planted, seen = _late_control(world, cutoffs[0], near, base)
    sentence = (
        f"{len(cutoffs)} cutoffs: of {compared:,} rows asked before them no cell moved, of those after, {control:,} "
        f"cells did; {planted} late rows let through moved {seen:,} cells."
    )
    numbers = {"cutoffs": len(cutoffs), "rows_before": compared, "cells_before": 0, "cells_after": control}
    return Seen(sentence, control, {**numbers, "late_rows": planted, "late_cells": seen})


CHECK = Check("K02", "future", look)


def chosen(world: World) -> list[datetime]:
    """Three cutoffs: on the grid of the derived groups, at the instant of a question, and at an odd one."""
    times = world.spine.get_column("event_time").sort()
    first, second, third = (times[int(place * (times.len() - 1))] for place in PLACES)
    cadence = min((one.cadence for one in world.catalog.derived.values()), default=DAY)
    grid = publish.EPOCH + (first - publish.EPOCH) // cadence * cadence
    return [grid, second, publish.EPOCH + (third - publish.EPOCH) // cadence * cadence + ODD % cadence]


def _recent(world: World) -> timedelta:
    """How far back late rows happened: a day, or two steps of the grid, so that some happened before its last step."""
    return max([DAY, *(2 * one.cadence for one in world.catalog.derived.values())])


def _near(world: World, cutoffs: list[datetime]) -> pl.Expr:
    """The thousand questions before and after each cutoff, as a condition on their time."""
    times = world.spine.get_column("event_time").sort()
    condition = pl.lit(value=False)
    for cutoff in cutoffs:
        place = times.search_sorted(cutoff)
        first, last = times[max(0, place - NEAR)], times[min(times.len() - 1, place + NEAR)]
        condition |= pl.col("event_time").is_between(first, last)
    return condition


def _around(world: World, spine: pl.DataFrame, near: pl.Expr) -> pl.DataFrame:
    return spine.filter(near | world.kept(spine))


def _rows(world: World, cutoff: datetime, near: pl.Expr) -> pl.DataFrame:
    """The rows of the world that went on otherwise; without doubled and late rows where the pipeline refuses them."""
    future, spared = rewrite.known_from(cutoff), world.pipeline.serving.key
    known = (cutoff, cutoff + rewrite.MICROSECOND)

    def harshly(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        other = rewrite.otherwise(group, rows, future, spared=spared)
        late = rewrite.late(group, rows, cutoff, known, recent=_recent(world), spared=spared, beside=other)
        return pl.concat([other, late])

    def gently(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rewrite.otherwise(group, rows, future, spared=spared, added=False)

    try:
        other = world.rewritten(harshly)
        return other.joined(_around(other, other.spine, near))
    except Exception:  # a pipeline may refuse a second row; only if it refuses other values too, that is the finding
        other = world.rewritten(gently)
        return other.joined(_around(other, other.spine, near))


def _moved(world: World, before: pl.DataFrame, after: pl.DataFrame) -> compare.Moved:
    uses = [use for use in world.pipeline.features if use.group in world.catalog.facts]
    passed = {column for use in uses for column in use.outputs}
    return compare.moved(before, after, on=world.key, columns=world.pipeline.columns, exact=passed)


def _late_control(world: World, cutoff: datetime, near: pl.Expr, base: pl.DataFrame) -> tuple[int, int]:
    """One late row a group that was known just in time: how many were planted, how many cells they moved."""
    planted = []

    def with_one(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        known, spared = (cutoff - rewrite.MICROSECOND,), world.pipeline.serving.key
        one = rewrite.late(group, rows, cutoff, known, recent=_recent(world), spared=spared, wanted=1).tail(1)
        planted.append(one.height)
        return pl.concat([rows, one])

    try:
        other = world.rewritten(with_one)
        return sum(planted), _moved(world, base, other.joined(_around(other, other.spine, near))).total
    except Exception:  # it refuses a second row of one key: then it has no late rows to let through
        return 0, 0


def _beyond(world: World) -> compare.Moved:
    """Values passed through that are the ``known_time`` of a fact and later than T, when every value is its own
    ``known_time``."""
    uses = tuple(use for use in world.pipeline.features if use.group in world.catalog.facts)
    facts = dataclasses.replace(world.catalog, derived={})
    bare = dataclasses.replace(world, catalog=facts, pipeline=dataclasses.replace(world.pipeline, features=uses))

    def all_of_them(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rewrite.stamped(group, rows, times=group.name not in world.asked)

    def only_joined(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rows if group.name in world.asked else rewrite.stamped(group, rows, times=True)

    try:
        rows = bare.rewritten(all_of_them).rows
    except Exception:  # a dataset that computes with its numbers may not survive these
        rows = bare.rewritten(only_joined).rows
    known = np.unique(np.concatenate([_micros(frame.get_column(KNOWN_TIME)) for frame in world.facts.values()]))
    rows = world.with_asked(rows)
    limits = dict.fromkeys(bare.pipeline.columns, _micros(rows.get_column("event_time")))
    limits |= dict.fromkeys(bare.pipeline.inputs, _micros(rows.get_column(ASKED)))
    cells, any_row = {}, np.zeros(rows.height, dtype=bool)
    for column, limit in limits.items():
        if rows.schema[column] in (pl.Int64, pl.Float64, TIME):
            values = _micros(rows.get_column(column))
            late = (values > limit) & np.isin(values, known)
            any_row |= late
            if late.any():
                cells[column] = int(late.sum())
    return compare.Moved(cells, int(any_row.sum()), rows.height, 0)


def _micros(column: pl.Series) -> np.ndarray:
    return column.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()


def _failed(moved: compare.Moved, control: int, sentence: str) -> Seen:
    numbers = {
        "cells_before": moved.total,
        "rows_moved": moved.rows,
        "rows_before": moved.compared,
        "cells_after": control,
    }
    counted = f"{moved.total:,} cells of {moved.rows:,} rows, most in {moved.worst}"
    return Seen(f"{sentence}: {counted}.", control, numbers, failed=True)
