"""A lookup of twenty features by key against SQLite's own answer to the key, and against Feast's online store on SQLite.

    python -m tests.bench.lookup [--small]

The bare peer does less: it neither knows ttl nor times nor names. Feast writes every feature of every key as a row, which takes it
minutes for a million keys, so it is asked among fewer; both are asked for the same keys and give the same values.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from store.features import online
from store.features.group import Group
from store.features.join import Use
from store.features.write import declare, write
from store.layout import Root
from tests.bench import feast, table
from tests.bench.table import Row

NOW = datetime(2020, 1, 1, tzinfo=UTC)
FEATURES = tuple(f"f{number}" for number in range(20))
MEASURED_BEFORE = {"p50": 5 / 281, "p99": 18 / 430}
"""The targets against Feast: microseconds of this way and of Feast's, in a prototype."""

Asking = Callable[[int], dict[str, Any]]


@dataclass(frozen=True)
class Size:
    """Keys against the bare answer and against Feast, and how often each is asked."""

    keys: int
    feast_keys: int
    times: int
    rounds: int


SIZES = {
    "full": Size(1_000_000, 20_000, 20_000, 3),
    "small": Size(50_000, 2_000, 5_000, 2),
    "tiny": Size(1_000, 0, 100, 1),
}


def measured(size: Size) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        frame = drawn(size.keys)
        ours, bare = looking_up(Path(folder) / "root", frame), selecting(Path(folder) / "bare.sqlite", frame)
        best = [{"p50": float("inf"), "p99": float("inf")} for _ in range(2)]
        for _ in range(size.rounds):
            for place, way in enumerate((ours, bare)):
                found = spread([timed(way, key) for key in asked(size.keys, size.times)])
                best[place] = {name: min(value, found[name]) for name, value in best[place].items()}
        for name in best[0]:
            case = f"lookup of {len(FEATURES)} features, {size.keys:,} keys, {name}"
            yield Row(case, "SQLite's bare row", best[0][name], best[1][name], "µs")
    yield from against_feast(size)


def against_feast(size: Size) -> Iterator[Row]:
    cases = {name: f"lookup of {len(FEATURES)} features, {size.feast_keys:,} keys, {name}" for name in MEASURED_BEFORE}
    if not size.feast_keys:
        return
    with tempfile.TemporaryDirectory() as folder:
        frame, times = drawn(size.feast_keys), max(size.times // 20, 100)
        ours = looking_up(Path(folder) / "root", frame)
        keys = asked(size.feast_keys, times)
        try:
            with feast.running(Path(folder) / "feast") as peer:
                frame.write_parquet(peer.folder / "rows.parquet")
                peer.ask("write", features=FEATURES)
                if peer.ask("look_up", keys=keys[:100]) != [ours(key) for key in keys[:100]]:
                    raise AssertionError("Feast's values are others")
                best = {name: [float("inf")] * 2 for name in cases}
                for _ in range(size.rounds):
                    rounds = [timed(ours, key) for key in keys], peer.ask("time_look_ups", keys=keys)
                    for place, found in enumerate(map(spread, rounds)):
                        for name, value in found.items():
                            best[name][place] = min(best[name][place], value)
        except feast.Unavailable as why:
            yield from (Row(case, "Feast on SQLite", missing=str(why)) for case in cases.values())
            return
    for name, case in cases.items():
        yield Row(case, "Feast on SQLite", *best[name], "µs", MEASURED_BEFORE[name])


def drawn(keys: int) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    values = {feature: draw.normal(size=keys) for feature in FEATURES}
    frame = pl.DataFrame({"k": np.arange(keys), **values})
    return frame.with_columns(event_time=pl.lit(NOW), known_time=pl.lit(NOW))


def asked(keys: int, times: int) -> list[int]:
    """Keys all over the table."""
    return [number * 7919 % keys for number in range(times)]


def looking_up(path: Path, frame: pl.DataFrame) -> Asking:
    root, later = Root.open(path), NOW + timedelta(days=1)
    group = Group("g_bench", {"k": pl.Int64()}, dict.fromkeys(FEATURES, pl.Float64()))
    declare(root, group, derivation="0" * 64, actor="bench", now=NOW)
    write(root, group, frame, now=later)
    online.materialise(root, [group.name], now=later)
    uses, at = [Use(group.name, FEATURES)], [later]
    return lambda key: online.lookup(root, uses, [{"k": key}], at=at)[0]


def selecting(path: Path, frame: pl.DataFrame) -> Callable[[int], object]:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA mmap_size = 1073741824")
    connection.execute(f"CREATE TABLE rows (k INTEGER PRIMARY KEY, {', '.join(FEATURES)})")
    marks = ", ".join("?" * (1 + len(FEATURES)))
    connection.executemany(f"INSERT INTO rows VALUES ({marks})", frame.select("k", *FEATURES).iter_rows())
    connection.commit()
    return lambda key: connection.execute("SELECT * FROM rows WHERE k = ?", (key,)).fetchone()


def timed(way: Callable[[int], object], key: int) -> float:
    """CPU seconds of one question."""
    began = time.thread_time_ns()
    way(key)
    return (time.thread_time_ns() - began) / 1e9


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile, in µs."""
    p50, p99 = np.percentile(seconds, [50, 99])
    return {"p50": 1e6 * float(p50), "p99": 1e6 * float(p99)}


if __name__ == "__main__":
    table.main(__doc__, measured, SIZES)
