"""A pipeline's rows: its dataset, prepared, joined point-in-time and frozen.

The columns that come out, in the dataset's order: the dataset's own, ``event_time``, the computed inputs, and the joined features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from flows.building import publish
from flows.building.catalog import Catalog, base_name
from flows.pipeline import TIME, Pipeline, Read, Window
from store import tables
from store.errors import InvalidInput
from store.features import group, join, snapshot
from store.layout import Root


def known_until(root: Root, catalog: Catalog, pipeline: Pipeline, now: datetime) -> datetime:
    """How far facts are complete: the oldest watermark of the derived groups the pipeline uses, at most ``now``.

    Beyond it, what happened may not have been collected yet, and a label would be a guess.
    """
    names = {base_name(use.group) for use in pipeline.features} & catalog.derived.keys()
    marks = [mark for name in names if (mark := publish.watermark(root, catalog.derived[name]))]
    return min([*marks, now])


def spine(pipeline: Pipeline, read: Read, window: Window) -> pl.DataFrame:
    """The dataset's rows of the window with ``event_time`` and inputs; labels known before its end only: what happened at
    the end itself is not in the facts that were read, and may be what decides the label.

    InvalidInput names what the dataset or ``prepare`` failed to give.
    """
    rows = pipeline.prepare(pipeline.dataset(read, window))
    needed = {*pipeline.serving.key, *pipeline.inputs, "label", "label_time", "event_time"}
    if missing := sorted(needed - set(rows.columns)):
        raise InvalidInput(
            f"The dataset of {pipeline.name} lacks {missing}.",
            f"It has {rows.columns}.",
            "Give them in `dataset` or `prepare`.",
        )
    for column in ("event_time", "label_time"):
        if rows.schema[column] != TIME:
            raise InvalidInput(
                f"{column} of {pipeline.name} is {rows.schema[column]}.", f"It must be {TIME}.", "Cast it in `dataset`."
            )
    if rows.schema["label"] != pl.Float64():
        raise InvalidInput(
            f"label of {pipeline.name} is {rows.schema['label']}.", "It must be Float64.", "Cast it in `dataset`."
        )
    if twice := rows.height - rows.select(pipeline.serving.key).unique().height:
        raise InvalidInput(
            f"The dataset of {pipeline.name} gives {twice} rows twice.",
            f"Its key is {pipeline.serving.key}.",
            "Drop the doubles in `dataset`, or declare a key that tells them apart.",
        )
    rows = rows.filter(pl.col("label_time") < window.end)
    if rows.is_empty():
        raise InvalidInput(
            f"{pipeline.name} has no labelled rows in {window}.",
            remedy="Ingest or collect data of that time. A root of data that end long ago needs its clock there: `assay clock --move`.",
        )
    return rows.sort("event_time", *pipeline.serving.key)


def pinned(pipeline: Pipeline, versions: Mapping[str, int]) -> Pipeline:
    """The pipeline with its features at the group versions its package was tested with; others stay at their newest."""
    uses = (
        dataclasses.replace(use, group=f"{use.group}@{versions[use.group]}") if use.group in versions else use
        for use in pipeline.features
    )
    return dataclasses.replace(pipeline, features=tuple(uses))


def joined(root: Root, pipeline: Pipeline, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their features as of ``event_time``."""
    return join.join(root, rows, pipeline.features)


def frozen(
    root: Root, catalog: Catalog, pipeline: Pipeline, window: Window, *, actor: str, now: datetime
) -> snapshot.Snapshot:
    """A training set of the window, frozen: its id is a hash of table versions, spine and query."""
    rows = spine(pipeline, publish.reader(root, catalog), window)
    return snapshot.freeze(
        root, rows, pipeline.features, pipeline=pipeline.name, time="event_time",
        window_start=window.start, window_end=window.end, actor=actor, now=now,
    )  # fmt: skip


def history(root: Root, catalog: Catalog, pipeline: Pipeline) -> datetime:
    """The first instant of which the root holds facts that the pipeline's features come from; any facts, if it has none."""
    starts = [
        first
        for name in catalog.inputs(use.group for use in pipeline.features) or catalog.facts
        if (first := _first(root, catalog.facts[name].group)) is not None
    ]
    if not starts:
        raise InvalidInput(f"The store holds no facts for {pipeline.name}.", remedy="Run `assay ingest` first.")
    return min(starts)


def _first(root: Root, facts: group.Group) -> datetime | None:
    path = group.path(root, facts)
    if not tables.exists(path):
        return None
    found = tables.read(path, columns=[group.EVENT_TIME]).get_column(group.EVENT_TIME).min()
    return found if isinstance(found, datetime) else None
