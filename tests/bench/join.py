"""The point-in-time join against a hand-written ASOF and Polars ``join_asof``: CPU seconds, and the most memory held.

    python -m tests.bench.join [--small]

The peers do less: no ttl, no ties, no ``known_time``, so on late rows their answers are wrong. They read the same
parquet files and return their rows in the spine's order, too. The targets are those of a prototype.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from store import tables
from store.features import group as groups
from store.features.group import Group
from store.features.join import Use
from store.features.join import join as ours
from store.features.write import declare, write
from store.layout import Root
from tests.bench import measure, table
from tests.bench.table import Row

START = datetime(2020, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=365)
CHUNK = 1_000_000
FEATURES = tuple(f"f{number}" for number in range(10))
CASES = {"on the rule": 0.0, "5% late": 0.05, "all late": 1.0}
TARGETS = {
    "on the rule": 0.85,
    "on the rule, tied": 1.24,
    "5% late": 1.1,
    "5% late, tied": 1.5,
    "all late": 1.65,
}
"""Assay ÷ hand-written ASOF."""
TEN_TIMES = 4.5
"""What ten times the spine costs, in times of the spine."""


@dataclass(frozen=True)
class Size:
    """Rows of the spine, and of each of the two groups."""

    spine: int
    rows: int
    rounds: int


SIZES = {"full": Size(1_000_000, 5_000_000, 3), "small": Size(100_000, 500_000, 2), "tiny": Size(1_000, 5_000, 1)}

Way = Callable[[Root, pl.DataFrame, list[str]], pl.DataFrame]


def measured(size: Size) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        root = Root.open(Path(folder) / "root")
        for title, late in CASES.items():
            names = [fill(root, f"{title.replace('%', '').replace(' ', '_')}_{n}", size.rows, late) for n in "ab"]
            yield from in_turn(root, names, size, title)
            if not late:
                yield from apart(root, names, size)
            if late < 1:
                for name in names:
                    tie(root, name)
                yield from in_turn(root, names, size, f"{title}, tied")


def in_turn(root: Root, names: list[str], size: Size, title: str) -> Iterator[Row]:
    spine = drawn_spine(size.spine, size.rows)
    ways = [lambda way=way: complete(way, root, spine, names) for way in (by_assay, by_hand, by_polars)]
    mine, by_asof, polars = measure.seconds(ways, size.rounds)
    case = f"join of {size.spine:,} × 2 × {size.rows:,}, {title}"
    yield Row(case, "hand-written ASOF", mine, by_asof, target=TARGETS[title])
    yield Row(case, "Polars join_asof", mine, polars)


def apart(root: Root, names: list[str], size: Size) -> Iterator[Row]:
    """Each way alone in a process of its own, with the spine and with ten times the spine."""
    costs = []
    for height in (size.spine, 10 * size.spine):
        ways = (by_assay, by_hand, by_polars)
        cost, asof, polars = (measure.apart(alone, way, root.path, names, height, size.rows) for way in ways)
        case = f"join of {height:,} × 2 × {size.rows:,}, alone"
        if height > size.spine:
            yield Row(case, "hand-written ASOF", cost[0], asof[0])
        yield Row(f"{case}: most memory", "hand-written ASOF", cost[1], asof[1], "MiB")
        yield Row(f"{case}: most memory", "Polars join_asof", cost[1], polars[1], "MiB")
        costs.append(cost[0])
    yield Row(f"{case}: ten times the spine", "assay, the spine once", costs[1], costs[0], target=TEN_TIMES)


def alone(way: Way, path: Path, names: list[str], height: int, rows: int) -> tuple[float, float]:
    """CPU seconds, and the most memory this process held: the spine and the answer among it."""
    root, spine = Root.open(path), drawn_spine(height, rows)
    (seconds,) = measure.seconds([lambda: complete(way, root, spine, names)], 1)
    return seconds, measure.peak()


def complete(way: Way, root: Root, spine: pl.DataFrame, names: list[str]) -> None:
    if way(root, spine, names).height != spine.height:
        raise AssertionError("rows were lost")


def keys(rows: int) -> int:
    """How many keys so many facts have: fifty facts a key."""
    return max(rows // 50, 1)


def drawn_spine(height: int, rows: int) -> pl.DataFrame:
    """Questions to groups of so many rows."""
    draw = np.random.default_rng(1)
    asked = draw.integers(0, keys(rows), height)
    return pl.DataFrame({"k": asked, "event_time": instants(draw, height), "label": draw.random(height)})


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
        frame = pl.DataFrame({"k": draw.integers(0, keys(rows), len(some)), "event_time": some, **values})
        write(root, group, frame.with_columns(known_time=some + delays.cast(pl.Duration("us"))), now=START)
    return group.name


def tie(root: Root, name: str) -> None:
    """Two rows alike in key and both times: from here on the join must compare ties."""
    pair = {feature: [0.0, 1.0] for feature in FEATURES}
    frame = pl.DataFrame({"k": [0, 0], "event_time": [START + SPAN] * 2, **pair})
    write(root, groups.load(root, name), frame, now=START)


def files(root: Root, names: list[str]) -> list[list[str]]:
    return [tables.files(groups.path(root, groups.load(root, name))) for name in names]


def by_assay(root: Root, spine: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return ours(root, spine, [Use(name, FEATURES, prefix=f"{name}_") for name in names])


def by_hand(root: Root, spine: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.register("spine", spine.with_row_index("position").to_arrow())
        picked = ", ".join(f"{g}.{feature} AS {g}_{feature}" for g in "ab" for feature in FEATURES)
        joins = " ".join(
            f"ASOF LEFT JOIN read_parquet(${g}) {g} ON s.k = {g}.k AND s.event_time >= {g}.event_time" for g in "ab"
        )
        query = f"SELECT s.k, s.event_time, s.label, {picked} FROM spine s {joins} ORDER BY s.position"
        return connection.sql(query, params=dict(zip("ab", files(root, names), strict=True))).pl()


def by_polars(root: Root, spine: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    joined = spine.lazy().with_row_index("position").sort("event_time")
    for prefix, some in zip("ab", files(root, names), strict=True):
        facts = pl.scan_parquet(some).select("k", "event_time", *FEATURES).sort("event_time")
        facts = facts.rename({feature: f"{prefix}_{feature}" for feature in FEATURES})
        joined = joined.join_asof(facts, on="event_time", by="k", check_sortedness=False)
    return joined.sort("position").drop("position").collect()


if __name__ == "__main__":
    table.main(__doc__, measured, SIZES)
