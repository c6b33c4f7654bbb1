"""The two pipelines of the workspace on the flights of 2013: each seed proves them some days later, and looks at other rows."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows import ingest
from flows.building import catalog
from flows.pipeline import Pipeline
from flows.pipelines.arrival_minutes import pipeline as arrival_minutes
from flows.pipelines.flight_delay import pipeline as flight_delay
from store import clock
from store.layout import Root
from tests.power.kind import Case, Kind

START, END = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 18, tzinfo=UTC)


@functools.cache
def archive() -> Root:
    """A root with seven weeks of flights and weather, made once in this process. Read it only."""
    folder = Path(tempfile.mkdtemp(prefix="assay-power-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = Root.open(folder / "root")
    clock.move(root, END)
    ingest.run(root, start=START)
    return root


def _case(pipeline: Pipeline, seed: int) -> Case:
    return Case(pipeline, catalog.load(), END - timedelta(days=seed), lambda folder: archive())


KINDS = (
    Kind(
        "flight_delay", "flights: eighteen inputs from five groups; boosted trees, searched; slices",
        functools.partial(_case, flight_delay), rows=1200,
    ),
    Kind("arrival_minutes", "flights: minutes of delay; boosted trees", functools.partial(_case, arrival_minutes), rows=1200),
)  # fmt: skip
