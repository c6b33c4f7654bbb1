"""A ledger append against its bound: writing as many bytes to a file that must not exist yet.

python -m tests.bench.ledger [--small]
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from store import ledger
from store.actions import PackageApproved
from store.layout import Root
from tests.bench import measure, table
from tests.bench.table import Row

NOW = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Size:
    """Appends a round."""

    times: int
    rounds: int


SIZES = {"full": Size(500, 5), "small": Size(300, 3), "tiny": Size(5, 1)}


def measured(size: Size) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        root = Root.open(Path(folder) / "root")
        ours, theirs = measure.seconds([appending(root, size.times), creating(root, size.times)], size.rounds)
    each = 1e6 / size.times
    yield Row("ledger append", "bare exclusive create", ours * each, theirs * each, "µs")


def appending(root: Root, times: int) -> Callable[[], None]:
    fresh = itertools.count()

    def append() -> None:
        for number in itertools.islice(fresh, times):
            body = PackageApproved(str(number))
            ledger.append(root, "package.approved", body, subject="bench", actor="bench", now=NOW)

    return append


def creating(root: Root, times: int) -> Callable[[], None]:
    """Files of a row's size: one is appended to know it."""
    body = PackageApproved("size")
    row = ledger.append(root, "package.approved", body, subject="bench", actor="bench", now=NOW)
    data, folder, fresh = (root.ledger / f"{row.seq:010d}.parquet").read_bytes(), root.path / "bound", itertools.count()
    folder.mkdir()

    def create() -> None:
        for number in itertools.islice(fresh, times):
            file = os.open(folder / f"{number:010d}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(file, data)
            os.close(file)

    return create


if __name__ == "__main__":
    table.main(__doc__, measured, SIZES)
