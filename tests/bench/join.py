"""The point-in-time join against a hand-written ASOF and Polars ``join_asof``, in CPU seconds of the same process.

    python -m tests.bench.join [--rows 1000000] [--spine 200000] [--full] [--rounds 3]

The rivals do less: no ttl, no ties, no ``known_time``, so on late rows their answers are wrong. They read the same
parquet files and return their rows in the spine's order, too. Rounds are interleaved, the smallest counts, and
only ratios say something: a busy machine slows all three alike.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from store import tables
from store.features import group as groups
from store.features.group import Group
from store.features.join import Use, join
from store.features.write import declare, write
from store.layout import Root

START = datetime(2020, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=365)
CHUNK = 1_000_000
FEATURES = tuple(f"f{number}" for number in range(10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each of the two groups")
    parser.add_argument("--spine", type=int, default=200_000, help="rows of the spine")
    parser.add_argument("--full", action="store_true", help="1M spine rows, 5M rows a group")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rows, height = (5_000_000, 1_000_000) if asked.full else (asked.rows, asked.spine)
    shown = Table(title=f"{height:,} spine rows × 2 groups of {rows:,} rows × {len(FEATURES)} features, CPU seconds")
    for heading in ("rows", "hand-written ASOF", "assay", "Polars join_asof", "assay ÷ ASOF", "Polars ÷ ASOF"):
        shown.add_column(heading, justify="left" if heading == "rows" else "right")
    with tempfile.TemporaryDirectory() as folder:
        root = Root.open(Path(folder) / "root")
        spine = drawn_spine(height, keys=max(rows // 50, 1))
        for title, late in (("on the rule", 0.0), ("5% late", 0.05), ("all late", 1.0)):
            names = [fill(root, f"{title.replace('%', '').replace(' ', '_')}_{n}", rows, late) for n in "ab"]
            shown.add_row(title, *measured(root, spine, names, asked.rounds))
            if late < 1:
                for name in names:
                    tie(root, name)
                shown.add_row(f"{title}, tied", *measured(root, spine, names, asked.rounds))
    Console().print(shown)


def drawn_spine(height: int, keys: int) -> pl.DataFrame:
    draw = np.random.default_rng(1)
    return pl.DataFrame(
        {"k": draw.integers(0, keys, height), "event_time": instants(draw, height), "label": draw.random(height)}
    )


def instants(draw: np.random.Generator, height: int) -> pl.Series:
    micros = draw.integers(0, SPAN // timedelta(microseconds=1), height)
    return (pl.Series(micros).cast(pl.Duration("us")) + START).alias("event_time")


def fill(root: Root, name: str, rows: int, late: float) -> str:
    """A group with ``rows`` facts in batches that follow one another in time, as ingestion brings them."""
    group = Group(f"g_{name}", {"k": pl.Int64()}, {feature: pl.Float64() for feature in FEATURES})
    declare(root, group, derivation="0" * 64, actor="bench", now=START)
    draw = np.random.default_rng(sum(name.encode()))
    times = instants(draw, rows).sort()
    for first in range(0, rows, CHUNK):
        some = times[first : first + CHUNK]
        delays = pl.Series(np.where(draw.random(len(some)) < late, draw.integers(1, 10**11, len(some)), 0))
        values = {feature: draw.normal(size=len(some)) for feature in FEATURES}
        frame = pl.DataFrame({"k": draw.integers(0, max(rows // 50, 1), len(some)), "event_time": some, **values})
        write(root, group, frame.with_columns(known_time=some + delays.cast(pl.Duration("us"))), now=START)
    return group.name


def tie(root: Root, name: str) -> None:
    """Two rows alike in key and both times: from here on the join must compare ties."""
    pair = {feature: [0.0, 1.0] for feature in FEATURES}
    frame = pl.DataFrame({"k": [0, 0], "event_time": [START + SPAN] * 2, **pair})
    write(root, groups.load(root, name), frame, now=START)


def measured(root: Root, spine: pl.DataFrame, names: list[str], rounds: int) -> list[str]:
    files = [tables.files(groups.path(root, groups.load(root, name))) for name in names]
    ways: list[Callable[[], pl.DataFrame]] = [
        lambda: by_hand(spine, files),
        lambda: join(root, spine, [Use(name, FEATURES, prefix=f"{name}_") for name in names]),
        lambda: by_polars(spine, files),
    ]
    best = [float("inf")] * len(ways)
    for _ in range(rounds):
        for place, way in enumerate(ways):
            began = time.process_time()
            if way().height != spine.height:
                raise AssertionError("rows were lost")
            best[place] = min(best[place], time.process_time() - began)
    return [f"{seconds:.2f}" for seconds in best] + [f"{best[1] / best[0]:.2f}×", f"{best[2] / best[0]:.2f}×"]


def by_hand(spine: pl.DataFrame, files: list[list[str]]) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("spine", spine.with_row_index("position").to_arrow())
        picked = ", ".join(f"{g}.{feature} AS {g}_{feature}" for g in "ab" for feature in FEATURES)
        joins = " ".join(
            f"ASOF LEFT JOIN read_parquet(${g}) {g} ON s.k = {g}.k AND s.event_time >= {g}.event_time" for g in "ab"
        )
        query = f"SELECT s.k, s.event_time, s.label, {picked} FROM spine s {joins} ORDER BY s.position"
        return connection.sql(query, params=dict(zip("ab", files, strict=True))).pl()


def by_polars(spine: pl.DataFrame, files: list[list[str]]) -> pl.DataFrame:
    joined = spine.lazy().with_row_index("position").sort("event_time")
    for prefix, some in zip("ab", files, strict=True):
        facts = pl.scan_parquet(some).select("k", "event_time", *FEATURES).sort("event_time")
        facts = facts.rename({feature: f"{prefix}_{feature}" for feature in FEATURES})
        joined = joined.join_asof(facts, on="event_time", by="k", check_sortedness=False)
    return joined.sort("position").drop("position").collect()


if __name__ == "__main__":
    main()
