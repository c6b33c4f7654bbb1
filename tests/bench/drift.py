"""Drift scores on all rows against Evidently's preset on the same rows.

    python -m tests.bench.drift [--small]

Evidently's preset chooses a statistical test a column; ours are multiples of the reference's own unrest. Both read the same
frames, of numbers and of text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

from flows.deciding import drift
from tests.bench import measure, table
from tests.bench.table import Row

START = datetime(2020, 1, 6, tzinfo=UTC)
WEEK = timedelta(days=7)
NUMBERS = tuple(f"number_{place}" for place in range(16))
TEXTS = tuple(f"text_{place}" for place in range(4))
TARGET = 1 / 30


@dataclass(frozen=True)
class Size:
    """Rows of the reference, of which a window has a tenth."""

    rows: int
    rounds: int


SIZES = {"full": Size(1_000_000, 2), "small": Size(100_000, 2), "tiny": Size(5_000, 1)}


def measured(size: Size) -> Iterator[Row]:
    reference, current = drawn(size.rows, weeks=12, seed=1), drawn(size.rows // 10, weeks=1, seed=2)
    features = [*NUMBERS, *TEXTS]
    calibration = drift.calibrate(reference, features, time="event_time", window=WEEK)
    ours, theirs = measure.seconds(
        [
            lambda: drift.score(calibration, current.select(features)),
            lambda: by_evidently(reference.select(features), current.select(features)),
        ],
        size.rounds,
    )
    case = f"drift scores: {current.height:,} rows against {size.rows:,}, {len(features)} columns"
    yield Row(case, "Evidently's preset", ours, theirs, target=TARGET)


def drawn(height: int, *, weeks: int, seed: int) -> pl.DataFrame:
    """Rows of that many weeks: normal numbers, texts of thirty members."""
    draw = np.random.default_rng(seed)
    seconds = draw.uniform(0, weeks * WEEK.total_seconds(), height)
    columns = {name: draw.normal(size=height) for name in NUMBERS} | {
        name: [f"member {member}" for member in draw.integers(0, 30, height)] for name in TEXTS
    }
    times = pl.lit(START) + pl.duration(microseconds=pl.Series((seconds * 1e6).astype(np.int64)))
    return pl.DataFrame(columns).with_columns(times.cast(pl.Datetime("us", "UTC")).alias("event_time"))


def by_evidently(reference: pl.DataFrame, current: pl.DataFrame) -> object:
    kinds = DataDefinition(numerical_columns=list(NUMBERS), categorical_columns=list(TEXTS))
    frames = [Dataset.from_pandas(frame.to_pandas(), data_definition=kinds) for frame in (current, reference)]
    return Report([DataDriftPreset()]).run(*frames).dict()


if __name__ == "__main__":
    table.main(__doc__, measured, SIZES)
