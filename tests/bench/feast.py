"""The point-in-time join against Feast's historical retrieval, on DuckDB and looking at when a fact was known, too.

    python -m tests.bench.feast [--small]

Feast wants other versions of what we stand on, so it has an environment of its own, ``.bench/feast``, made once from the names and
versions in ``feast.lock``, and runs in a process of its own. The results are compared before anything is counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from store import tables
from store.features import group as groups
from store.features.join import Use
from store.features.join import join as ours
from store.layout import Root
from tests.bench import join, measure, table
from tests.bench.table import Row

LOCK = Path(__file__).with_name("feast.lock")
ENVIRONMENT = Path(__file__).parents[2] / ".bench" / "feast"
CASES = {"on the rule": (0.0, 0.85 / 2.5), "5% late": (0.05, 1.1 / 2.5)}
"""How much is late, and the target: a prototype and Feast, both as multiples of a hand-written ASOF join."""


@dataclass(frozen=True)
class Size:
    """Rows of the spine and of each of two groups: what Feast can bear (it compares every fact of a key with every question)."""

    spine: int
    rows: int
    rounds: int


SIZES = {"full": Size(100_000, 1_000_000, 3), "small": Size(10_000, 100_000, 2)}


class Unavailable(Exception):
    """Why there is no Feast here: one clause."""


def measured(size: Size) -> Iterator[Row]:
    for title, (late, target) in CASES.items():
        case, peer = f"join of {size.spine:,} × 2 × {size.rows:,}, {title}", "Feast on DuckDB"
        try:
            yield Row(case, peer, *joined(size, late), target=target)
        except Unavailable as why:
            yield Row(case, peer, target=target, missing=str(why))


def joined(size: Size, late: float) -> tuple[float, float]:
    """CPU seconds of ours and of Feast's, which give the same."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "feast") as peer:
        root = Root.open(Path(folder) / "root")
        names = [join.fill(root, name, size.rows, late) for name in "ab"]
        spine = join.drawn_spine(size.spine, size.rows).with_row_index("position")
        spine.rename({"event_time": "event_timestamp"}).write_parquet(peer.folder / "spine.parquet")
        for name in names:
            facts = pl.scan_parquet(tables.files(groups.path(root, groups.load(root, name))))
            facts.drop("row_hash").sink_parquet(peer.folder / f"{name}.parquet")
        peer.ask("declare", groups=names, features=join.FEATURES)
        uses = [Use(name, join.FEATURES, prefix=f"{name}__") for name in names]
        best = measure.seconds([lambda: ours(root, spine, uses)], 1)[0], peer.ask("join", out="found.parquet")
        theirs = pl.read_parquet(peer.folder / "found.parquet").rename({"event_timestamp": "event_time"})
        mine = ours(root, spine, uses)
        assert_frame_equal(theirs.select(mine.columns).sort("position"), mine, check_dtypes=False, check_exact=True)
        for _ in range(size.rounds - 1):
            found = measure.seconds([lambda: ours(root, spine, uses)], 1)[0], peer.ask("join")
            best = min(best[0], found[0]), min(best[1], found[1])
    return best


@dataclass(frozen=True)
class Peer:
    """Feast in a process of its own; see ``feast_process.py`` for what may be asked."""

    folder: Path
    process: subprocess.Popen[str]

    def ask(self, what: str, **request: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"what": what, **request}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Unavailable(f"Feast's process ended with code {self.process.wait()}")
        return json.loads(line)


@contextmanager
def running(folder: Path) -> Iterator[Peer]:
    """Feast with this folder, which is made. Unavailable: it cannot be installed, or ends."""
    python = installed()
    folder.mkdir(parents=True)
    command = [str(python), "-P", str(Path(__file__).with_name("feast_process.py")), str(folder)]
    silent = os.environ | {"FEAST_USAGE": "False"}
    with (
        open(folder / "said.txt", "w+") as said,
        subprocess.Popen(
            command, env=silent, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        ) as process,
    ):
        try:
            peer = Peer(folder, process)
            peer.answer()
            yield peer
        except Unavailable:
            said.seek(0)
            print(said.read(), file=sys.stderr)
            raise
        finally:
            process.kill()


def installed() -> Path:
    """The interpreter of Feast's environment, which is made when there is none of this lock. Unavailable: it cannot be."""
    python, stamp, lock = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed", LOCK.read_text()
    if stamp.exists() and stamp.read_text() == lock:
        return python
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), "-r", str(LOCK)]
    if code := subprocess.run(command, check=False).returncode:
        raise Unavailable(f"Feast could not be installed (uv ended with code {code})")
    stamp.write_text(lock)
    return python


if __name__ == "__main__":
    table.main(__doc__, measured, SIZES)
