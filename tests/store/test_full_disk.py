"""A disk that is full at any write is an error that says so, and nothing of the root is lost, doubled or half-done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from store import blobs, ledger, tables
from store.errors import Unreachable
from store.layout import Root
from store.registry import packages
from tests.store import killed
from tests.store.registry import made

PAGE, PAGES = 4096, 40
SCHEMA = pl.Schema({"batch": pl.Int64(), "text": pl.String()})
SMALL_DISK = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"']


def test_a_disk_that_is_full_at_the_nth_write_loses_nothing(tmp_path: Path) -> None:
    """With one page of room more at each try: what fails says so in words, and the same again with room completes it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run([*SMALL_DISK, str(disk), "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk of their own (unshare, tmpfs)")
    command = [*SMALL_DISK, str(disk), sys.executable, "-m", "tests.store.test_full_disk", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["other"] == []
    assert len(found["refused"]) > 5
    assert all("No space left on device" in told or "is full" in told for told in found["refused"])
    assert (
        len({told.split()[0].rpartition(".")[2] for told in found["refused"]}) > 2
    )  # several places, of several libraries
    assert found["published"] == [str(number) for number in range(PAGES)]
    assert found["rows"] == 3 * PAGES
    assert found["batches"] == list(range(PAGES))
    assert found["leftovers"] == []


def fill(disk: Path, pages: int) -> Path:
    """A file that leaves so many pages of the disk free."""
    path = disk / "filling"
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    free = os.statvfs(disk).f_bavail - pages
    while free > 0:
        free -= os.write(file, b"\0" * (min(free, 256) * PAGE)) // PAGE
    os.close(file)
    return path


def work(root: Root, number: int) -> None:
    """A delivery and a batch of a table: blobs, ledger rows, Delta commits; who runs it again finds what is there."""
    killed.deliver(root, number)
    tables.create(root.group("batches"), SCHEMA)
    frame = pl.DataFrame({"batch": [number], "text": [f"batch {number}"]}, schema=SCHEMA)
    tables.append(root.group("batches"), frame, transaction=("writer", number + 1))


def main(disk: Path) -> dict[str, Any]:
    """Run in a process whose disk is small: what was refused, and what the root holds in the end."""
    root, refused, other = Root.open(disk / "root"), [], []
    for pages in range(PAGES):
        filling = fill(disk, pages)
        try:
            work(root, pages)
        except Unreachable as error:
            refused.append(str(error))
        except Exception as error:
            other.append(repr(error))
        filling.unlink()
        work(root, pages)
    published = packages.listed(root, made.PIPELINE)
    assert all(blobs.get(root, package.digest) == f"wheel {package.version}".encode() for package in published)
    return {
        "refused": refused,
        "other": other,
        "published": [package.version for package in published],
        "rows": ledger.verify(root),
        "batches": sorted(tables.read(root.group("batches"))["batch"].to_list()),
        "leftovers": [
            str(path) for path in (root.path / "ledger").iterdir() if path.is_file() and path.suffix != ".parquet"
        ],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
