"""Faults of data: facts used before they were known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from flows.building import publish
from flows.checks.world import World
from flows.faults.fault import Fault, numeric_inputs, pipeline_fault
from flows.pipeline import TIME, Group, Pipeline, Read, Window
from store.features.group import EVENT_TIME, KNOWN_TIME

AHEAD = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
Dataset = Callable[[Read, Window], pl.DataFrame]


def event_time_for_known_time(world: World) -> World:
    """The write door stamps every fact as known when it happened."""

    def door(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col(EVENT_TIME).alias(KNOWN_TIME))

    return dataclasses.replace(world, door=door)


def known_by_the_day(world: World) -> World:
    """The source tells the day on which a fact became known, and that is taken for its first moment."""

    def door(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col(KNOWN_TIME).dt.truncate("1d"))

    return dataclasses.replace(world, door=door)


def filled_backward(pipeline: Pipeline) -> dict[str, Any]:
    """The dataset moves a numeric input by the minutes until the next fact, as a fill from behind would."""

    def until_the_next(happened: np.ndarray, asked: np.ndarray) -> np.ndarray:
        following = np.append(happened, happened[-1:])[np.searchsorted(happened, asked, side="right")]
        return (following - asked) // (timedelta(minutes=1) // MICROSECOND)

    return {"dataset": _moved_by(pipeline, until_the_next)}


def mean_of_all_labels(pipeline: Pipeline) -> dict[str, Any]:
    """``prepare`` mixes an input with the mean label of everything there is, where there are labels."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready, name = pipeline.prepare(rows), mixable(pipeline, rows)
        if "label" not in ready.columns:
            return ready
        mean, text = pl.col("label").mean(), ready.schema[name] == pl.String
        mixed = pl.format("{} {}", name, mean) if text else pl.col(name).cast(pl.Float64) + mean
        return ready.with_columns(mixed.alias(name))

    return {"prepare": prepare}


def mixable(pipeline: Pipeline, rows: pl.DataFrame) -> str:
    """An input that is a number, or else text; empty if there is none."""
    schema = pipeline.prepare(rows.head(1)).schema
    numbers = [name for name in pipeline.inputs if schema[name].is_numeric()]
    return next(iter([*numbers, *(name for name in pipeline.inputs if schema[name] == pl.String)]), "")


def counts_the_day_ahead(pipeline: Pipeline) -> dict[str, Any]:
    """The dataset adds to a numeric input how many facts happen in the day after the question."""

    def ahead(happened: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return np.searchsorted(happened, asked + AHEAD // MICROSECOND) - np.searchsorted(happened, asked)

    return {"dataset": _moved_by(pipeline, ahead)}


def _moved_by(pipeline: Pipeline, compute: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Dataset:
    """The dataset with a numeric input moved by what ``compute`` makes of the times of all facts it reads, sorted, and
    of each question's own, in microseconds."""

    def dataset(read: Read, window: Window) -> pl.DataFrame:
        read_groups: list[str] = []

        def noting(group: str, asked: Window) -> pl.DataFrame:
            read_groups.append(group)
            return read(group, asked)

        rows, wider = pipeline.dataset(noting, window), Window(window.start, window.end + AHEAD)
        facts = pl.concat([read(group, wider).get_column(EVENT_TIME) for group in dict.fromkeys(read_groups)])
        key, name = pipeline.serving.key, numeric_inputs(pipeline, rows)[0]
        prepared = pipeline.prepare(rows).select(*key, "event_time")
        asked = rows.select(key).join(prepared, on=key, how="left", maintain_order="left").get_column("event_time")
        moved = compute(np.sort(facts.to_physical().to_numpy()), asked.to_physical().to_numpy())
        return rows.with_columns((pl.col(name) + pl.Series(moved)).cast(rows.schema[name]).alias(name))

    return dataset


def _no_numeric_input(world: World) -> str | None:
    rows = world.pipeline.dataset(world.read(), world.window)
    return None if numeric_inputs(world.pipeline, rows) else f"{world.pipeline.name}'s dataset gives no numeric input."


def no_input_to_mix(world: World) -> str | None:
    name = mixable(world.pipeline, world.pipeline.dataset(world.read(), world.window))
    return None if name else f"{world.pipeline.name} has no input that is a number or text."


def _no_question_between(world: World) -> str | None:
    """Why the day for the instant changes nothing: no question and no tick falls between a day's beginning and a
    fact's ``known_time``, as on data that has only dates."""
    if (excuse := _no_features(world)) is not None:
        return excuse
    ticks = [
        tick
        for one in world.catalog.derived.values()
        for tick in publish.ticks(one.cadence, world.published, world.window.end)
    ]
    times = pl.concat([world.spine.get_column("event_time"), pl.Series(ticks, dtype=TIME)]).sort()
    for facts in world.facts.values():
        known = facts.get_column(KNOWN_TIME).unique()
        if (times.search_sorted(known) > times.search_sorted(known.dt.truncate("1d"))).any():
            return None
    return f"no question of {world.pipeline.name} falls between the beginning of a day and a fact's known_time."


def _no_features(world: World) -> str | None:
    return None if world.pipeline.features else f"{world.pipeline.name} uses no features."


FAULTS = (
    Fault("F02", "event time taken for known time", "K02", event_time_for_known_time, _no_features),
    Fault("F03", "an input counts the day ahead", "K02", pipeline_fault(counts_the_day_ahead), _no_numeric_input),
    Fault("F14", "filled backward over the question", "K02", pipeline_fault(filled_backward), _no_numeric_input),
    Fault("F15", "the mean of all labels in an input", "K02", pipeline_fault(mean_of_all_labels), no_input_to_mix),
    Fault(
        "F16",
        "known by the day it was known on",
        "K02",
        known_by_the_day,
        _no_question_between,
    ),
)
