"""K07: a column that nobody declared is seen by nobody.

Sources grow. The day a table gets a column that holds the answer, whoever takes "everything there is" is a leak, and
its score the best ever. So such a day is made: every group of facts has one more column, in the middle, equal to the
label of the question a row names (to any question's, where it names none), and everything that reads is asked again:
the dataset with ``prepare``, each derivation for a late tick, and, where the column comes through into the rows, a
``split`` and a ``tune`` of the author's own. Questions, inputs, labels, derived values, parts and what was chosen and
learned must be equal to the bit or to a relative 1e-12.

The control: cells of that column that were handed to the pipeline's own code.

Cost: two runs of the dataset and two derivations of one tick a group, in memory; one training where ``tune`` is the
author's own and the column reaches the rows.

What does not alarm: the column coming through into the rows unused, for the model sees declared columns only; a
``fit`` of the author's own, which is given those only; a pipeline that refuses unknown columns with an error.

N/A: a pipeline that reads no facts.
"""

from __future__ import annotations

import polars as pl

from flows.building import publish, split
from flows.checks import compare
from flows.checks.check import Check, Seen
from flows.checks.k04_heldout import told_apart
from flows.checks.training import train
from flows.checks.world import Change, World
from flows.pipeline import Derived, Group, Read, TimeSplit, Window
from store.features.group import EVENT_TIME

SURPLUS = "surplus"


def look(world: World) -> Seen:
    """Show the label in a column that nobody declared; nothing may be other than before."""
    if not world.facts:
        return Seen("", excuse=f"{world.pipeline.name} reads no facts.")
    rows = world.questions(world.read())
    read, handed = _counting(world.read(_with_the_label(world, rows)))
    try:
        other = world.questions(read)
        found = _apart(world, rows, other) or _in_derivations(world, read) or _in_training(world, rows, other)
    except Exception as error:  # who refuses a column that nobody declared has not looked at it
        if not handed:
            raise
        return Seen(f"A column that nobody declared was refused: {error}"[:500], sum(handed), {"cells": sum(handed)})
    numbers = {"questions": rows.height, "cells": sum(handed)}
    if found:
        where, apart, worst = found
        said = (
            f"A column equal to the label, which nobody declared, changed {where}: {apart:,} differ, most in {worst}."
        )
        return Seen(f"{said} Name the columns that are meant.", sum(handed), {**numbers, "apart": apart}, failed=True)
    sentence = (
        f"{sum(handed):,} cells of a column equal to the label, which nobody declared, were there to be read; the "
        f"inputs of {rows.height:,} questions and what {len(world.catalog.derived)} groups derive are the same."
    )
    return Seen(sentence, sum(handed), {**numbers, "apart": 0})


CHECK = Check("K07", "forbidden column", look)
Found = tuple[str, int, str] | None


def _with_the_label(world: World, rows: pl.DataFrame) -> Change:
    key = list(world.pipeline.serving.key)
    labels = rows.select(*key, pl.col("label").fill_nan(None).alias(SURPLUS)).unique(key)
    known = labels.get_column(SURPLUS).drop_nulls()
    usual = known.mean() if known.len() else 1.0

    def change(group: Group, facts: pl.DataFrame) -> pl.DataFrame:
        if world.own(group):
            told = facts.select(key).join(labels, on=key, how="left", maintain_order="left").get_column(SURPLUS)
        elif known.len():
            told = known.gather(pl.int_range(facts.height, eager=True) % known.len())
        else:
            told = pl.repeat(None, facts.height, dtype=pl.Float64, eager=True)
        place = len(group.keys)
        before, after = facts.columns[:place], facts.columns[place:]
        return facts.with_columns(told.fill_null(usual).alias(SURPLUS)).select(*before, SURPLUS, *after)

    return change


def _counting(read: Read) -> tuple[Read, list[int]]:
    handed = list[int]()

    def counting(group: str, window: Window) -> pl.DataFrame:
        rows = read(group, window)
        handed.append(rows.height)
        return rows

    return counting, handed


def _apart(world: World, rows: pl.DataFrame, other: pl.DataFrame) -> Found:
    columns = ["label", "label_time", *world.pipeline.inputs]
    moved = compare.moved(rows, other, on=world.key, columns=columns)
    come = other.join(rows, on=world.key, how="anti").height
    apart = moved.total + moved.lost + come
    return ("the dataset's rows", apart, moved.worst or "which there are") if apart else None


def _in_derivations(world: World, read: Read) -> Found:
    for one in world.catalog.derived.values():
        tick = publish.ticks(one.cadence, world.published, world.window.end)[-1:]
        if not tick:
            continue
        before, after = one.derive(world.read(), tick), one.derive(read, tick)
        if surplus := set(after.columns) - set(before.columns):
            return f"what {one.group.name} derives", after.height, min(surplus)
        if apart := _derived_apart(one, before, after):
            return f"what {one.group.name} derives", *apart
    return None


def _derived_apart(one: Derived, before: pl.DataFrame, after: pl.DataFrame) -> tuple[int, str] | None:
    on = [*one.group.keys, EVENT_TIME]
    moved = compare.moved(before, after, on=on, columns=list(one.group.values))
    apart = moved.total + moved.lost + after.join(before, on=on, how="anti").height
    return (apart, moved.worst or "which there are") if apart else None


def _in_training(world: World, rows: pl.DataFrame, other: pl.DataFrame) -> Found:
    """A split or a search of the author's own, given rows with what came through."""
    pipeline, came = world.pipeline, [name for name in other.columns if name not in rows.columns]
    if not came:
        return None
    told = other.select(*world.key, *came).unique(world.key)
    wider = world.rows.join(told, on=world.key, how="left", maintain_order="left")
    if not isinstance(pipeline.split, TimeSplit):
        before, after = split.parts(pipeline, world.rows), split.parts(pipeline, wider)
        if apart := int(before.ne_missing(after).sum()):
            return "the split", apart, "part"
    if pipeline.tune is not None:
        found = told_apart(pipeline, world.trained, train(pipeline, wider))
        kinds = {kind: paths for kind, paths in found.items() if paths}
        if kinds and not any(told_apart(pipeline, world.trained, train(pipeline, world.rows)).values()):
            return "the search", sum(map(len, kinds.values())), next(iter(kinds))
    return None
