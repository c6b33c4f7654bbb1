"""A process that collects, to be killed in the middle of it or to find its disk full: ``python -m tests.flows.collecting WORK …``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from flows import collect
from flows.building import catalog
from store import blobs, clock, tables
from store.errors import Unreachable
from store.layout import Root
from store.traffic import outcomes, predictions
from tests.store.test_full_disk import fill

PIPELINE = "flight_delay"
FREE_PAGES = (0, 3, 20, 120, 300)
"""How much room a full disk leaves, in pages of 4 KiB: nothing, up to about what a collection needs."""


def content(root: Root) -> dict[str, str]:
    """What a collection brings in, as one digest a table: traffic, facts and what is derived from them, whatever the order of rows."""
    known = catalog.load()
    frames = {name: tables.read(root.group(name)) for name in (*known.facts, *known.derived)}
    frames["predictions"] = predictions.read(root, "production", PIPELINE)
    frames["outcomes"] = outcomes.read(root, "production", PIPELINE)
    return {
        name: blobs.digest(frame.select(sorted(frame.columns)).sort(sorted(frame.columns)).write_ndjson().encode())
        for name, frame in frames.items()
    }


def waited(root: Root) -> None:
    """Collect as soon as a line comes in."""
    clock.now(root)
    catalog.load()
    print("ready", flush=True)
    sys.stdin.readline()
    print("begun", flush=True)
    collect.run(root, PIPELINE)
    print("done", flush=True)


def full(source: Path, disk: Path) -> dict[str, Any]:
    """Collect on a disk with so many free pages, and again with room: what was refused, what else was raised, and what is there."""
    refused, other, ends = [], [], []
    for pages in FREE_PAGES:
        shutil.copytree(source, disk / "root")
        root, filling = Root(disk / "root"), fill(disk, pages)
        try:
            collect.run(root, PIPELINE)
        except Unreachable as error:
            refused.append(str(error))
        except Exception as error:
            other.append(repr(error))
        filling.unlink()
        collect.run(root, PIPELINE)
        ends.append(content(root))
        shutil.rmtree(disk / "root")
    return {"refused": refused, "other": other, "ends": ends}


if __name__ == "__main__":
    if sys.argv[1] == "waited":
        waited(Root.open(Path(sys.argv[2])))
    else:
        print(json.dumps(full(Path(sys.argv[2]), Path(sys.argv[3]))))
