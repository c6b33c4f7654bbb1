"""A world built and trained in another process: a fresh interpreter with other seeds, another time zone and another folder.

The world travels by cloudpickle, which carries what a user or a fault has made of functions and classes of its own. What ``World.planted``
took over from another world goes with it; all else is built there anew.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import cloudpickle
import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from flows.building.fit import matrix, predict
from flows.checks.learned import learned
from flows.checks.training import Trained, train
from flows.checks.world import World
from store import blobs
from store.errors import GateFailed

SECONDS = 300.0
ZONES, HASH_SEED, SEED = ("Asia/Kathmandu", "America/St_Johns"), "4711", 1
"""Where and how the other process lives: in the first zone that is not this process's (+05:45, or -03:30), with another order of sets and
other global seeds."""

TAKEN = ("scratch", "spine", "rows")
"""The stages worth carrying."""

Print = dict[str, str]
"""A digest of each: rows, parts, parameters, trials, predictions."""


def here(world: World) -> Print:
    """What the world comes to in this process."""
    return _print(world, world.rows, world.trained)


def elsewhere(world: World, seconds: float = SECONDS) -> Print:
    """What it comes to in another process. GateFailed with its last words when that does not end well."""
    with tempfile.TemporaryDirectory(prefix="assay-elsewhere-", dir=world.within) as folder:
        question, answer = Path(folder) / "world", Path(folder) / "print"
        question.write_bytes(cloudpickle.dumps(_bare(world)))
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": HASH_SEED, "TZ": _zone(),
        }  # fmt: skip
        command = [sys.executable, "-m", "flows.checks.elsewhere", str(question), str(answer)]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise GateFailed(
                f"{world.pipeline.name} did not end in another process within {seconds:g} s.", "", "Make it faster."
            ) from error
        if not answer.exists():
            last = done.stderr.strip().splitlines()[-1:] or ["no word"]
            raise _lost(world, f"code {done.returncode}, {last[0][:300]}")
        found: Print | str = pickle.loads(answer.read_bytes())
        if isinstance(found, str):
            raise _lost(world, found)
        return found


def _lost(world: World, why: str) -> GateFailed:
    return GateFailed(
        f"{world.pipeline.name} does not run in another process.",
        f"There it ended with {why}.",
        "Let it depend on nothing but its own folder and the store.",
    )


def _zone() -> str:
    mine = datetime.now().astimezone().utcoffset()
    return next(zone for zone in ZONES if datetime.now(ZoneInfo(zone)).utcoffset() != mine)


def _bare(world: World) -> World:
    """The world without what was built of it here, but with what it was given."""
    bare = dataclasses.replace(world, within=None)
    bare.__dict__.update({stage: world.__dict__[stage] for stage in TAKEN if stage in world.given})
    return bare


def _print(world: World, rows: pl.DataFrame, trained: Trained) -> Print:
    pipeline = world.pipeline
    columns = [*world.key, "label", "label_time", *pipeline.columns]
    parts = pl.concat(
        [getattr(trained, part).select(*world.key, part=pl.lit(part)) for part in ("train", "validation", "test")]
    )
    predictions = predict(pipeline, trained.model, matrix(pipeline, trained.test))
    return {
        "rows": _digest(rows.select(*dict.fromkeys(columns)).sort(world.key)),
        "parts": _digest(parts.sort(world.key)),
        "parameters": blobs.digest(repr(sorted(learned(trained.tuned.parameters).items())).encode()),
        "trials": blobs.digest(repr(sorted(learned(_trials(trained)).items())).encode()),
        "predictions": digest(predictions),
    }


def _trials(trained: Trained) -> list[tuple[Any, Any]]:
    """Parameters and values: what else a search notes of a trial may be wall time."""
    return [(trial["parameters"], trial["value"]) for trial in trained.tuned.trials]


def digest(numbers: np.ndarray) -> str:
    """A digest of the very bits."""
    return blobs.digest(np.ascontiguousarray(numbers).tobytes())


def _digest(frame: pl.DataFrame) -> str:
    return blobs.digest(frame.write_ndjson().encode())


def main(question: Path, answer: Path) -> None:
    """In the other process: build, train, and leave the print."""
    try:
        world: World = pickle.loads(question.read_bytes())
        with threadpool_limits(1):
            found: Print | str = _print(world, world.rows, train(world.pipeline, world.rows, seed=SEED))
    except Exception as error:  # whatever a user's code raises is told, not lost
        found = f"{type(error).__name__}: {error}"
    answer.write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
