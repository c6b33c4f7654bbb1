"""Drift scores on all rows against Evidently's preset on the same rows, in CPU seconds of the same process.

    python -m tests.bench.drift [--rows 100000] [--rounds 2]

Evidently's preset chooses a statistical test a column; ours are multiples of the reference's own unrest. Both read the same
frames, of numbers and of text. Rounds are interleaved, the smallest counts, and only ratios say something.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from rich.console import Console
from rich.table import Table

from flows.deciding import drift

START = datetime(2020, 1, 6, tzinfo=UTC)
WEEK = timedelta(days=7)
NUMBERS = tuple(f"number_{place}" for place in range(16))
TEXTS = tuple(f"text_{place}" for place in range(4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, default=100_000, help="rows of the reference; the window has a tenth of them"
    )
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    reference, current = drawn(asked.rows, weeks=12, seed=1), drawn(asked.rows // 10, weeks=1, seed=2)
    features = [*NUMBERS, *TEXTS]
    calibration = drift.calibrate(reference, features, time="event_time", window=WEEK)
    ways: list[Callable[[], object]] = [
        lambda: drift.score(calibration, current.select(features)),
        lambda: by_evidently(reference.select(features), current.select(features)),
    ]
    best = [float("inf")] * len(ways)
    for _ in range(asked.rounds):
        for place, way in enumerate(ways):
            began = time.process_time()
            way()
            best[place] = min(best[place], time.process_time() - began)
    shown = Table(
        title=f"{asked.rows:,} reference rows, {current.height:,} of a week, {len(features)} columns, CPU seconds"
    )
    for heading in ("Evidently's preset", "assay", "Evidently ÷ assay"):
        shown.add_column(heading, justify="right")
    shown.add_row(f"{best[1]:.2f}", f"{best[0]:.3f}", f"{best[1] / best[0]:,.0f}×")
    Console().print(shown)


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
    main()
