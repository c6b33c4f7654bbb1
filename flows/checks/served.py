"""A pipeline served in this process: production's parts, a model read back from its bytes, a store that stands still.

The store is a copy of the world's own, so that what is materialised there is nobody else's. ``stand`` puts the online values of an instant
in force: from then until the next fact takes effect, a lookup must give what the join gives.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

import orjson
import polars as pl

from flows.checks.road import Road
from flows.checks.world import Scratch, World
from flows.pipeline import Pipeline
from flows.serving.predict import Answered, Predictor
from flows.serving.schema import Asked, Row, Schema, parsed
from store import tables
from store.features import group, online
from store.features.group import EVENT_TIME, KNOWN_TIME
from store.layout import Root


@dataclass(frozen=True, eq=False)
class Served:
    """``stored``: the model's bytes. ``root``: the store it looks up in."""

    pipeline: Pipeline
    road: Road
    root: Root
    stored: bytes

    @cached_property
    def schema(self) -> Schema:
        """What may be asked, by the manifest as it is stored."""
        return self.road.schema(json.loads(json.dumps(self.pipeline.manifest())))

    @cached_property
    def predictor(self) -> Predictor:
        """From rows to predictions."""
        return self.road.predictor(self.root, self.pipeline, {})

    @cached_property
    def model(self) -> Any:
        """The model, read back."""
        return self.road.load(self.stored, trusted=self.pipeline.trusted, package=self.pipeline.name)

    def stand(self, now: datetime) -> None:
        """Put the online values of an instant in force; never one before the last."""
        online.materialise(self.root, groups(self.pipeline), now=now)

    def asked(self, body: bytes) -> Asked:
        """A request's body, read. Raises what the service answers as a refusal."""
        return self.schema.asked(parsed(body))

    def answer(self, body: bytes) -> Answered:
        """A request's body, answered. Raises what the service answers as a refusal."""
        return self.predictor.answer(self.model, self.asked(body))


def served(world: World) -> tuple[Served, Scratch]:
    """The world's pipeline, trained and served, and what holds its store: it is deleted with it."""
    scratch = Scratch(world.within)
    shutil.copytree(world.scratch.root.path, scratch.root.path, dirs_exist_ok=True)
    return Served(world.pipeline, world.road, scratch.root, world.stored), scratch


def groups(pipeline: Pipeline) -> list[str]:
    """The feature groups that are looked up."""
    return list(dict.fromkeys(use.group for use in pipeline.features))


def effective(world: World) -> pl.Series:
    """Every instant at which a fact of the features takes effect: it has happened and is known. Sorted, UTC."""
    root, times = world.scratch.root, [EVENT_TIME, KNOWN_TIME]
    found = []
    for name in groups(world.pipeline):
        path = group.path(root, group.load(root, name))
        if tables.exists(path):
            found.append(tables.read(path, columns=times).select(pl.max_horizontal(times).alias(EVENT_TIME)))
    if not found:
        return pl.Series(EVENT_TIME, [], dtype=pl.Datetime("us", "UTC"))
    return pl.concat(found).get_column(EVENT_TIME).unique().sort()


def requests(world: World, rows: pl.DataFrame) -> list[Row]:
    """What an application sends to ask about rows of the dataset (unprepared): the request's fields as JSON has them; NaN is null."""
    fields = [_plain(rows.get_column(name).cast(dtype)) for name, dtype in world.pipeline.serving.request.items()]
    return [dict(zip(world.pipeline.serving.request, values)) for values in zip(*fields)]


def body(rows: list[Row]) -> bytes:
    """A request's body."""
    return orjson.dumps({"rows": rows})


def _plain(column: pl.Series) -> list[Any]:
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return [one.isoformat() if isinstance(one, date) else one for one in column.to_list()]
