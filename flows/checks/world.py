"""The slice of the world a check works on, and the worlds that differ from it in one respect.

A slice is contiguous and the root's newest: long enough for the split, its gaps and the maturity of labels, with the
facts whole for it and its lookback, because sampling facts would destroy what is aggregated of them. Only the spine
is thinned, by a hash of its ids.

A world is built on the real road: its facts go through the write door into a scratch root, what is derived is
published there on its grid, the dataset reads from there and the join joins there. A rewritten world recomputes all
of it.

Everything built is kept for the world's life, and ``planted`` hands on what another pipeline cannot have changed, so
a fault in the report costs no new features and a fault in the search no new join.
"""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import polars as pl

from flows.building import artifact, assemble, publish, split
from flows.building.catalog import Catalog
from flows.building.fit import matrix, predict
from flows.checks import judges, rewrite
from flows.checks.futures import Futures
from flows.checks.road import PRODUCTION, Road
from flows.checks.training import Trained, train
from flows.deciding import promotion
from flows.deciding.promotion import Promotion
from flows.pipeline import Group, Pipeline, Read, TimeSplit, Window
from store import blobs
from store.errors import InvalidInput, NotFound
from store.features import write
from store.features.group import EVENT_TIME, KNOWN_TIME
from store.layout import Root

ROWS = 3000
TRAINING = timedelta(days=14)
EVER = datetime(9000, 1, 1, tzinfo=UTC)
ASKED = "_asked"

Change = Callable[[Group, pl.DataFrame], pl.DataFrame]
"""A group's fact rows made into others: keys, event_time, known_time, values, as ``read`` gives them."""

STAGES = {
    "scratch": (),
    "spine": ("dataset", "prepare", "serving"),
    "rows": ("features",),
    "futures": (),
    "trained": ("inputs", "split", "search", "tune", "fit", "estimator", "predict", "metric", "task"),
    "stored": (),
    "judged": ("slices", "trusted", "name"),
}
"""What is built, in order, and the components of a pipeline that it depends on besides those before it."""


def as_given(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as they are."""
    return rows


class Scratch:
    """A root in a temporary folder, which is deleted when nobody holds it any more."""

    def __init__(self, within: Path | None) -> None:
        path = Path(tempfile.mkdtemp(prefix="assay-world-", dir=within))
        self.root = Root.open(path)
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class World:
    """A pipeline, the facts it is built of, and the stretch of time it is asked about.

    ``catalog`` holds only the groups the pipeline uses. ``facts``: a group's rows as ``read`` gives them.
    ``published``: from when derived groups are published. ``asked``: the groups its dataset reads. ``share`` of the
    spine is kept in ``rows``. ``door``: what the write door makes of the facts; a fault can stand there. ``within``:
    where scratch roots are made (default: the system's temporary folder). ``neighbour``: where another process answers
    (see ``elsewhere``; default: one is started when it is asked). ``road``: what a service of it is made of. ``gate``: what decides
    whether a model of it may serve. ``judges``: the stretches of time whose rows have judged earlier models at that gate. ``sealed``: a
    pipeline, and its bytes from before anything was asked of it.
    """

    pipeline: Pipeline
    catalog: Catalog
    facts: Mapping[str, pl.DataFrame]
    window: Window
    published: datetime
    asked: frozenset[str]
    share: float = 1.0
    door: Change = as_given
    within: Path | None = None
    neighbour: Path | None = None
    road: Road = PRODUCTION
    gate: Callable[..., Promotion] = promotion.decide
    judges: tuple[Window, ...] = ()
    sealed: tuple[Pipeline, bytes] | None = field(default=None, repr=False)

    @property
    def unused(self) -> Pipeline:
        """The pipeline as it was before anything was asked of it: what it has kept of the rows it saw since is not there. As functions
        and classes of a module are the process's own, what a module keeps is not there in a process that has not asked it yet."""
        sealed = self.sealed if self.sealed and self.sealed[0] is self.pipeline else seal(self.pipeline)
        fresh: Pipeline = pickle.loads(sealed[1])
        return fresh

    @cached_property
    def scratch(self) -> Scratch:
        """A root with these facts and what is derived of them."""
        scratch = Scratch(self.within)
        self.fill(scratch.root, self.catalog)
        return scratch

    def fill(self, root: Root, catalog: Catalog) -> None:
        """Declare the groups, write the facts and publish what a catalog derives of them."""
        now = self.window.end
        publish.declare(root, catalog, actor="checks", now=now)
        for name, facts in catalog.facts.items():
            write.write(root, facts.group, self.door(facts.group, self.facts[name]), now=now)
        publish.publish(root, catalog, start=self.published, now=now)

    @cached_property
    def spine(self) -> pl.DataFrame:
        """Every row of the dataset, unthinned and without features."""
        return assemble.spine(self.pipeline, publish.reader(self.scratch.root, self.catalog), self.window)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The thinned spine with its features: what a training is given."""
        return self.joined(self.thinned(self.spine))

    @cached_property
    def trained(self) -> Trained:
        """A training on ``rows``."""
        return train(self.pipeline, self.rows)

    @cached_property
    def stored(self) -> bytes:
        """The trained model as it is stored."""
        return artifact.dumps(self.trained.model)

    @cached_property
    def judged(self) -> pl.DataFrame:
        """The test rows with the predictions of the trained model as it is read back from its bytes: the columns key,
        event_time, slices, label and prediction, as ``analyse`` gets them."""
        pipeline, trained = self.pipeline, self.trained
        model = artifact.loads(self.stored, trusted=pipeline.trusted, package=pipeline.name)
        columns = list(dict.fromkeys((*self.key, *pipeline.slices, "label")))
        prediction = pl.Series("prediction", predict(pipeline, model, matrix(pipeline, trained.test)), dtype=pl.Float64)
        return trained.test.select(columns).with_columns(prediction)

    @property
    def content(self) -> str:
        """A digest of the facts that were known by the window's end, whatever their order: what a certificate was issued on."""
        found = {}
        for name, rows in self.facts.items():
            group = self.catalog.facts[name].group
            known = rows.filter(pl.col(KNOWN_TIME) <= self.window.end)
            hashes = (
                write.row_hash(known, [*group.keys, EVENT_TIME, KNOWN_TIME, *group.values]).to_numpy().view(np.uint64)
            )
            found[name] = [known.height, int(hashes.sum(dtype=np.uint64))]
        return blobs.digest(blobs.canonical(found))

    @cached_property
    def given(self) -> list[str]:
        """The stages that ``planted`` took over from another world."""
        return []

    @cached_property
    def futures(self) -> Futures:
        """What ``otherwise`` has built, by its instant."""
        return Futures(self.within)

    def otherwise(self, cutoff: datetime) -> pl.DataFrame:
        """``rows`` of the world in which everything that happened and became known at or after ``cutoff`` went
        otherwise."""
        if (built := self.futures.get(cutoff)) is not None:
            return built
        future, spared = rewrite.happened_from(cutoff), self.pipeline.serving.key
        other = self.rewritten(lambda group, rows: rewrite.otherwise(group, rows, future, spared=spared, added=False))
        return self.futures.put(cutoff, other.rows)

    @property
    def key(self) -> list[str]:
        """What a row of the spine is told by in two worlds: the request's key and the time it is asked at."""
        return list(dict.fromkeys((*self.pipeline.serving.key, "event_time")))

    def thinned(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows whose ids hash below ``share``: the same ones in every world."""
        return rows if self.share >= 1 else rows.filter(self.kept(rows))

    def kept(self, rows: pl.DataFrame) -> pl.Series:
        """Whether ``thinned`` keeps a row."""
        ids = write.row_hash(rows, self.pipeline.serving.key)
        return ids.cast(pl.Float64) / 2.0**64 + 0.5 < self.share

    def joined(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of the spine with the features of this world."""
        return assemble.joined(self.scratch.root, self.pipeline, rows)

    def read(self, change: Change = as_given) -> Read:
        """What ``read`` gives of the facts that ``change`` makes of these, in memory: no root, no derivation. A
        hundred times cheaper than a world where a check looks at the dataset or a single derivation only."""
        facts = {name: self._behind_the_door(name, change) for name in self.facts}

        def read(group: str, window: Window) -> pl.DataFrame:
            if group not in facts:
                raise NotFound.among("group of facts", group, facts, "What is derived is declared in `features`.")
            times = facts[group].get_column(EVENT_TIME)
            first, last = (times.search_sorted(instant) for instant in (window.start, window.end))
            return facts[group].slice(first, last - first)

        return read

    def _behind_the_door(self, name: str, change: Change) -> pl.DataFrame:
        group = self.catalog.facts[name].group
        rows = self.door(group, change(group, self.facts[name]))
        return rows.sort(EVENT_TIME, *group.keys, KNOWN_TIME, maintain_order=True)

    def questions(self, read: Read) -> pl.DataFrame:
        """The dataset's rows, prepared: with labels that are still open, and nothing yet refused or sorted."""
        return self.pipeline.prepare(self.pipeline.dataset(read, self.window))

    def own(self, group: Group) -> bool:
        """Whether a fact of this group names the one question it belongs to."""
        return set(self.pipeline.serving.key) <= {*group.keys, *group.values}

    def with_asked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with ``_asked``, when each question was there: T, or when the first fact under its very key became
        known, if later (applications ask late and ingestion lags, and what a question brings along is known with
        it)."""
        key = list(self.pipeline.serving.key)
        own = [self.facts[name] for name in self.asked if set(self.catalog.facts[name].group.keys) == set(key)]
        if not own:
            return rows.with_columns(pl.col("event_time").alias(ASKED))
        known = (
            pl.concat([facts.select(*key, KNOWN_TIME) for facts in own])
            .group_by(key)
            .agg(pl.col(KNOWN_TIME).min().alias(ASKED))
        )
        joined = rows.join(known, on=key, how="left", maintain_order="left")
        return joined.with_columns(pl.max_horizontal("event_time", ASKED).alias(ASKED))

    def rewritten(self, change: Change) -> World:
        """The world in which every group's facts are what ``change`` makes of them."""
        facts = {name: change(self.catalog.facts[name].group, rows) for name, rows in self.facts.items()}
        return dataclasses.replace(self, facts=facts)

    def but(self, **fields: Any) -> World:
        """The same world, made and answered elsewhere (``within``, ``neighbour``), with everything that was built of it."""
        other = dataclasses.replace(self, **fields)
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name not in vars(other)})
        return other

    def planted(self, pipeline: Pipeline) -> World:
        """The same world with another pipeline; what the difference cannot have touched is not built again."""
        other = dataclasses.replace(self, pipeline=pipeline, sealed=seal(pipeline))
        for stage, fields in STAGES.items():
            if any(getattr(pipeline, name) is not getattr(self.pipeline, name) for name in fields):
                break
            if stage in self.__dict__:
                other.__dict__[stage] = self.__dict__[stage]
                other.given.append(stage)
        return other


def newest(
    root: Root, catalog: Catalog, pipeline: Pipeline, now: datetime, *, rows: int = ROWS, within: Path | None = None
) -> World:
    """The shortest newest slice of a root in which the pipeline's split has labelled rows in every part, thinned to
    about ``rows``.

    Raises what dataset, join and split raise; InvalidInput from the split when the root's whole history is too short.
    """
    sealed = seal(pipeline)
    until, first = assemble.known_until(root, catalog, pipeline, now), assemble.history(root, catalog, pipeline)
    length = _length(pipeline)
    while True:
        window = Window(max(first, until - length), until)
        try:
            world = _thin(sliced(root, catalog, pipeline, window, within), rows).but(
                judges=judges.of(root, pipeline.name), sealed=sealed
            )
            split.parts(pipeline, world.rows)
            return world
        except InvalidInput:
            if window.start == first:
                raise
            length *= 2


def seal(pipeline: Pipeline) -> tuple[Pipeline, bytes]:
    """A pipeline and its bytes as it is now."""
    return pipeline, cloudpickle.dumps(pipeline)


def _length(pipeline: Pipeline) -> timedelta:
    """Evaluation and gaps, and half as much again to train on, at least two weeks."""
    if not isinstance(pipeline.split, TimeSplit):
        return 3 * TRAINING
    judged = pipeline.split.validation + pipeline.split.test + 2 * pipeline.split.gap
    return judged + max(TRAINING, judged / 2)


def _thin(world: World, rows: int) -> World:
    thin = dataclasses.replace(world, share=min(1.0, rows / world.spine.height))
    thin.__dict__.update(scratch=world.scratch, spine=world.spine)
    return thin


def sliced(root: Root, catalog: Catalog, pipeline: Pipeline, window: Window, within: Path | None = None) -> World:
    """The world of one window, whole: with the facts that the pipeline reads and that its features are derived from."""
    asked = _asked(root, catalog, pipeline, window)
    derived = {use.group: catalog.derived[use.group] for use in pipeline.features if use.group in catalog.derived}
    published = min([window.start, *(window.start - _reach(one.group, one.lookback) for one in derived.values())])
    starts = dict(asked)
    for one in derived.values():
        for name in one.inputs:
            starts[name] = min(starts.get(name, window.start), published - one.lookback - one.cadence)
    for use in pipeline.features:
        if use.group in catalog.facts:
            group = catalog.facts[use.group].group
            ttl = group.ttl if group.ttl is not None else window.start - publish.EPOCH
            starts[use.group] = min(starts.get(use.group, window.start), window.start - ttl)
    facts = {name: write.rows(root, catalog.facts[name].group, start, EVER) for name, start in starts.items()}
    used = Catalog({name: catalog.facts[name] for name in facts}, derived, catalog.digests)
    return World(pipeline, used, facts, window, published, frozenset(asked), within=within)


def _reach(group: Group, lookback: timedelta) -> timedelta:
    """How long before the first question a derived row can still answer it."""
    return group.ttl if group.ttl is not None else lookback


def _asked(root: Root, catalog: Catalog, pipeline: Pipeline, window: Window) -> dict[str, datetime]:
    """The groups the dataset reads, and the earliest time it reads of each."""
    read, found = publish.reader(root, catalog), dict[str, datetime]()

    def recording(group: str, asked: Window) -> pl.DataFrame:
        found[group] = min(found.get(group, asked.start), asked.start)
        return read(group, asked)

    pipeline.dataset(recording, window)
    return found
