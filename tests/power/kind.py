"""A kind of clean pipeline: how it is made from a seed, and the root its facts are written to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from flows.building import publish
from flows.building.catalog import Catalog
from flows.pipeline import Pipeline
from store.features import write
from store.features.group import KNOWN_TIME
from store.layout import Root


@dataclass(frozen=True)
class Case:
    """A pipeline, what it stands on, and the instant it is proved at. ``fill`` writes its facts into a new root and gives that root."""

    pipeline: Pipeline
    catalog: Catalog
    end: datetime
    fill: Callable[[Path], Root]


@dataclass(frozen=True)
class Kind:
    """``what`` it is, in words; ``make`` gives the case of a seed; ``rows``: so many of its questions are looked at."""

    name: str
    what: str
    make: Callable[[int], Case]
    rows: int = 1000


def case(
    pipeline: Pipeline, catalog: Catalog, facts: Mapping[str, pl.DataFrame], start: datetime, end: datetime
) -> Case:
    """The case of these facts: those known by ``end`` are written, and everything is derived since ``start``."""

    def fill(folder: Path) -> Root:
        root = Root.open(folder)
        publish.declare(root, catalog, actor="power", now=end)
        for name, rows in facts.items():
            write.write(root, catalog.facts[name].group, rows.filter(pl.col(KNOWN_TIME) < end), now=end)
        publish.publish(root, catalog, start=start, now=end)
        return root

    return Case(pipeline, catalog, end, fill)
