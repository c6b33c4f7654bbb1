"""A world built and trained in another process: a fresh interpreter with other seeds, another time zone and another folder.

The world travels by cloudpickle, which carries what a user or a fault has made of functions and classes of its own. What ``World.planted``
took over from another world goes with it; all else is built there anew.

The other interpreter (``python -m flows.checks.elsewhere``) imports once and answers each question in a fork of itself, so a proving of
many faults pays for one import.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
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

SECONDS = 300
ZONES, HASH_SEED, SEED = ("Asia/Kathmandu", "America/St_Johns"), "4711", 1
"""Where and how the other process lives: in the first zone that is not this process's (+05:45, or -03:30), with another order of sets and
other global seeds."""

TAKEN = ("scratch", "spine", "rows")
"""The stages worth carrying."""

Print = dict[str, str]
"""A digest of each: rows, parts, parameters, trials, predictions."""


class Neighbour:
    """The other interpreter. Use as a context; ``address`` is what a ``World.neighbour`` may hold, in any process."""

    def __enter__(self) -> Neighbour:
        self.folder = tempfile.TemporaryDirectory(prefix="assay-next-")  # a socket's path has 107 characters at most
        self.address = Path(self.folder.name) / "door"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": HASH_SEED, "TZ": _zone(),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.checks.elsewhere", str(self.address)], cwd=self.folder.name, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()


def here(world: World) -> Print:
    """What the world comes to in this process."""
    return _print(world, world.rows, world.trained)


def elsewhere(world: World, seconds: int = SECONDS) -> Print:
    """What it comes to in another process. Raises as ``answer``."""
    found: Print = answer(world, functools.partial(_there, _bare(world)), seconds)
    return found


def answer(world: World, question: Callable[[], Any], seconds: int = SECONDS) -> Any:
    """What a question gives in another process: the world's neighbour, or one made for it. GateFailed when that does not end well."""
    if world.neighbour is None:
        with Neighbour() as neighbour:
            return answer(world.but(neighbour=neighbour.address), question, seconds)
    with tempfile.TemporaryDirectory(prefix="assay-elsewhere-", dir=world.within) as folder:
        given = Path(folder) / "answer"
        (Path(folder) / "question").write_bytes(cloudpickle.dumps(question))
        _ask(world.neighbour, folder, seconds)
        if not given.exists():
            raise GateFailed(
                f"{world.pipeline.name} does not come to its end in another process.",
                f"It was given {seconds} s there; it hung, or ended the process.",
                "Make it faster, or let it depend on nothing but its own folder and the store.",
            )
        found, raised = pickle.loads(given.read_bytes())
        if raised:
            raise GateFailed(
                f"{world.pipeline.name} does not run in another process.",
                f"There it raised {raised}.",
                "Let it depend on nothing but its own folder and the store.",
            )
        return found


def _ask(address: Path, folder: str, seconds: int) -> None:
    """Have the question in a folder answered there. Returns when it is, or when nobody is there to answer it any more."""
    with socket.socket(socket.AF_UNIX) as asked:
        while True:
            try:
                asked.connect(str(address))
                break
            except (FileNotFoundError, ConnectionRefusedError):  # it is still importing
                if not address.parent.is_dir():
                    return
                select.select([], [], [], 0.05)
        asked.sendall(f"{seconds} {folder}\n".encode())
        asked.recv(1)


def _zone() -> str:
    mine = datetime.now().astimezone().utcoffset()
    return next(zone for zone in ZONES if datetime.now(ZoneInfo(zone)).utcoffset() != mine)


def _bare(world: World) -> World:
    """The world without what was built of it here, but with what it was given."""
    bare = dataclasses.replace(world, within=None, neighbour=None)
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


def _there(world: World) -> Print:
    with threadpool_limits(1):
        return _print(world, world.rows, train(world.pipeline, world.rows, seed=SEED))


def answered(folder: Path) -> None:
    """In a fork of the other process: answer the question, and leave what comes of it, or what was raised."""
    try:
        found, raised = pickle.loads((folder / "question").read_bytes())(), ""
    except Exception as error:  # whatever a user's code raises is told, not lost
        found, raised = None, f"{type(error).__name__}: {error}"
    half = folder / "half"
    half.write_bytes(pickle.dumps((found, raised)))
    half.rename(folder / "answer")


def main(address: Path) -> None:
    """Answer questions, each in a fork with a limit on its seconds, until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(address))
        door.listen()
        while True:
            ready, _, _ = select.select([door, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            asking, _ = door.accept()
            if os.fork() == 0:
                door.close()
                with contextlib.suppress(BaseException), asking:
                    seconds, _, folder = asking.makefile().readline().rstrip("\n").partition(" ")
                    signal.alarm(int(seconds))
                    os.chdir(folder)
                    answered(Path(folder))
                os._exit(0)
            asking.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
