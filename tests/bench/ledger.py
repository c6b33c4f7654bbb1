"""A ledger append and a feature lookup against their bounds, in CPU seconds of the same process.

    python -m tests.bench.ledger [--times 300] [--rounds 3]

An append cannot cost less than writing its bytes to a file that must not exist yet; a lookup not less than SQLite's own
answer to the key. Rounds are interleaved, the smallest counts, and only ratios say something.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from store import ledger
from store.actions import PackageApproved
from store.features import online
from store.features.group import Group
from store.features.join import Use
from store.features.write import declare, write
from store.layout import Root

NOW = datetime(2020, 1, 1, tzinfo=UTC)
FEATURES = tuple(f"f{number}" for number in range(20))
KEYS = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=300, help="appends, and hundreds of lookups, a round")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    shown = Table(title="CPU microseconds each")
    for heading in ("what", "bound", "assay", "assay ÷ bound"):
        shown.add_column(heading, justify="left" if heading == "what" else "right")
    with tempfile.TemporaryDirectory() as folder:
        root = Root.open(Path(folder) / "root")
        shown.add_row("ledger append", *measured(appending(root), asked.times, asked.rounds))
        shown.add_row("lookup of 20 features", *measured(looking_up(root), 100 * asked.times, asked.rounds))
    Console().print(shown)


def appending(root: Root) -> list[Callable[[int], object]]:
    """A bare exclusive create of as many bytes, and an append."""
    data, folder = os.urandom(6000), root.path / "bound"
    folder.mkdir()

    fresh = itertools.count()

    def bare(_: int) -> None:
        file = os.open(folder / f"{next(fresh):010d}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(file, data)
        os.close(file)

    def append(number: int) -> None:
        ledger.append(root, "package.approved", PackageApproved(str(number)), subject="bench", actor="bench", now=NOW)

    return [bare, append]


def looking_up(root: Root) -> list[Callable[[int], object]]:
    """SQLite's row of a key, and a lookup of all features of the group."""
    group = Group("g_bench", {"k": pl.Int64()}, {feature: pl.Float64() for feature in FEATURES})
    declare(root, group, derivation="0" * 64, actor="bench", now=NOW)
    draw = np.random.default_rng(0)
    values = {feature: draw.normal(size=KEYS) for feature in FEATURES}
    frame = pl.DataFrame({"k": np.arange(KEYS), "event_time": [NOW] * KEYS, **values}).with_columns(
        known_time="event_time"
    )
    write(root, group, frame, now=NOW + timedelta(days=1))
    online.materialise(root, [group.name], now=NOW + timedelta(days=1))
    bare = sqlite3.connect(root.path / "bound.sqlite")
    bare.execute(f"CREATE TABLE rows (k INTEGER PRIMARY KEY, {', '.join(FEATURES)})")
    columns = frame.select("k", *FEATURES).rows()
    bare.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * (1 + len(FEATURES)))})", columns)
    uses, at = [Use(group.name, FEATURES)], [NOW + timedelta(days=1)]
    return [
        lambda number: bare.execute("SELECT * FROM rows WHERE k = ?", (number * 7919 % KEYS,)).fetchone(),
        lambda number: online.lookup(root, uses, [{"k": number * 7919 % KEYS}], at=at),
    ]


def measured(ways: list[Callable[[int], object]], times: int, rounds: int) -> list[str]:
    best = [float("inf")] * len(ways)
    for _ in range(rounds):
        for place, way in enumerate(ways):
            began = time.process_time()
            for number in range(times):
                way(number)
            best[place] = min(best[place], (time.process_time() - began) / times)
    return [f"{1e6 * seconds:,.1f}" for seconds in best] + [f"{best[1] / best[0]:.1f}×"]


if __name__ == "__main__":
    main()
