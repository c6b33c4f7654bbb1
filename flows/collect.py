"""What users did comes back as features: spool into traffic tables, traffic into facts, facts into the derived groups.

Each part is exactly-once on its own, so a kill between them loses nothing: the spool's offset is committed with the rows it brought;
facts made from traffic are the same rows whenever they are made (they are known when they were *received*), and the write door
knows rows it has; a tick of a derived group is published once. ``test`` traffic never feeds features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from prefect import flow

from flows.building import catalog, publish
from flows.orchestration import say, step
from flows.pipeline import Facts
from store import clock, tables
from store.features import group, write
from store.layout import Root
from store.registry import packages
from store.traffic import collect as spool
from store.traffic import outcomes, predictions

OVERLAP = timedelta(hours=1)
"""How far behind its mark a collection looks again: for what was received just before, and on disk just after, the last one."""


@dataclass(frozen=True)
class Collected:
    """Rows that came in. ``facts`` and ``derived`` by group."""

    predictions: int
    outcomes: int
    facts: dict[str, int]
    derived: dict[str, int]


def run(root: Root, pipeline: str, environment: str = "production") -> Collected:
    """Collect one pipeline's traffic, and publish what follows from it."""
    now, known = clock.now(root), catalog.load()
    manifest = packages.deployed(root, pipeline, environment).manifest(root)
    asked, told = drain(root, environment, pipeline, manifest)
    if environment != "production":
        return Collected(asked, told, {}, {})
    facts = {
        name: feed(root, one, environment, pipeline, now)
        for name, one in known.facts.items()
        if pipeline in one.traffic
    }
    derived = derive(root, now)
    found = Collected(asked, told, facts, derived)
    say(
        f"{pipeline}: {asked:,} predictions and {told:,} outcomes collected; {sum(derived.values()):,} feature rows published"
    )
    return found


@step
def drain(root: Root, environment: str, pipeline: str, manifest: dict[str, Any]) -> tuple[int, int]:
    """The spool into the traffic tables: how many predictions, how many outcomes."""
    drained = spool.drain(root, environment, pipeline, manifest)
    return drained.predictions.height, drained.outcomes.height


@step
def feed(root: Root, facts: Facts, environment: str, pipeline: str, now: datetime) -> int:
    """Facts made from what was received since the last collection."""
    if facts.collected is None:
        return 0
    writer = f"collect-{pipeline}"
    mark = tables.transaction(group.path(root, facts.group), writer)
    start = None if mark is None else publish.EPOCH + timedelta(seconds=mark) - OVERLAP
    asked = predictions.read(root, environment, pipeline, start=start)
    told = outcomes.read(root, environment, pipeline, start=start)
    rows = facts.collected(asked, told)
    return write.write(root, facts.group, rows, now=now, batch=(writer, int((now - publish.EPOCH).total_seconds())))


@step
def derive(root: Root, now: datetime) -> dict[str, int]:
    """Every tick that is due, published and put where services look it up."""
    known = catalog.load()
    written = publish.publish(root, known, start=now, now=now)
    publish.materialise(root, [name for name, count in written.items() if count], now=now)
    return written


@flow(name="collect", description=__doc__)
def collect(pipeline: str = "", environment: str = "production") -> dict[str, Any]:
    """Collect one pipeline's traffic, or that of every pipeline the environment runs."""
    root = Root.open()
    names = [pipeline] if pipeline else packages.delivered(root, environment)
    return {name: asdict(run(root, name, environment)) for name in names}
