"""`assay train` against bare scikit-learn that does the same search, fit and score on an assembled matrix.

    python -m tests.bench.training [--small]

The flow also freezes the training set, keeps, checks and loads the model, analyses it, compares it with the champion and writes
the ledger. Both start a process, both fit six times, and both end with the same score.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows import deliver, ingest, integrate, train
from flows.building import split
from flows.pipelines.flight_delay import pipeline
from store import clock
from store.features import snapshot
from store.layout import Root
from store.registry import models
from tests.bench import measure, table
from tests.bench.table import Row

START = datetime(2013, 1, 1, tzinfo=UTC)
MORE, SECONDS = 1.1, 3.0
"""The target: a tenth more, and three seconds."""


@dataclass(frozen=True)
class Size:
    """Flights from the first of January until then, and how many searches are tried."""

    until: datetime
    rounds: int


SEVEN_WEEKS = datetime(2013, 2, 18, tzinfo=UTC)
SIZES = {"full": Size(SEVEN_WEEKS, 3), "small": Size(SEVEN_WEEKS, 1)}


def measured(size: Size) -> Iterator[Row]:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # else threads that wait spin, and are counted
    with tempfile.TemporaryDirectory() as folder:
        root = delivered(Path(folder) / "root", size.until)
        scores, matrix = [], Path(folder) / "matrix.parquet"
        retrain(root)
        rows = assembled(root, matrix)
        ours, theirs = measure.seconds([lambda: retrain(root), lambda: scores.append(bare(matrix))], size.rounds)
        if {retrained(root)} != set(scores):
            raise AssertionError(f"Assay's score is {retrained(root)}, scikit-learn's {scores}.")
    target = MORE + SECONDS / theirs
    yield Row(f"train flight_delay, {rows:,} rows (+10 % + 3 s)", "bare scikit-learn", ours, theirs, target=target)


def delivered(path: Path, until: datetime) -> Root:
    """A root with flights, and the pipeline in production."""
    root = Root.open(path)
    clock.move(root, until)
    ingest.run(root, start=START)
    integrate.run(root, pipeline.name)
    deliver.run(root, pipeline.name, approve=True, reason="to be measured")
    return root


def retrain(root: Root) -> None:
    train.run(root, pipeline.name, reason="to be measured")


def retrained(root: Root) -> float:
    """The newest model's score."""
    return models.listed(root, pipeline.name, "production")[-1].body.value


def assembled(root: Root, matrix: Path) -> int:
    """The training set of the newest model, split, in a file."""
    rows = snapshot.rebuild(root, models.listed(root, pipeline.name, "production")[-1].body.snapshot)
    rows.with_columns(split.parts(pipeline, rows)).select(*pipeline.columns, "label", "part").write_parquet(matrix)
    return rows.height


def bare(matrix: Path) -> float:
    command = [sys.executable, "-m", "tests.bench.bare", str(matrix)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    table.main(__doc__, measured, SIZES)
