"""Checks and faults in processes of their own, a few at once, each within a budget: whatever a pipeline does, the proving goes on.

A pipeline that raises is a FAIL with its reason (``check.judge``). One that hangs, prints megabytes, leaves files or processes behind,
eats memory or ends its process is so as well, and only its own process is lost. The processes are forks of a server that has the heavy
libraries loaded (``forkserver``), so each costs a fork and the reading of the world, not an import.

The world travels once, as a file, with what was built of it (spine, rows, training); a fault is planted where it is judged.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import cloudpickle
from threadpoolctl import threadpool_limits

from flows.building import trial
from flows.checks.world import World

PRELOADED = ["flows.checks.proving", "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline", "sklearn.compose"]


@dataclass(frozen=True)
class Budget:
    """What one check or fault may take: wall and CPU seconds, bytes of address space beyond what it starts with, bytes printed."""

    seconds: float = 300.0
    cpu_seconds: int = 150
    memory: int = 4 * 1024**3
    printed: int = 1024**2


@dataclass(frozen=True)
class Ended:
    """How a piece of work ended: what it gave, or, in words, why there is nothing; and what it did that no pipeline may."""

    given: Any = None
    lost: str = ""
    misdeed: str = ""


Work = Callable[[World], Any]


class Crew:
    """Processes that work on one world. Use as a context; ``folder`` (private to the proving) holds what they share."""

    def __init__(self, world: World, folder: Path, *, workers: int, budget: Budget | None = None) -> None:
        self.world, self.folder, self.workers, self.budget = world, folder, workers, budget or Budget()
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        self.shared = folder / "world.pickle"
        self._free = threading.BoundedSemaphore(workers)
        self.lifeline, self.held = self.context.Pipe(duplex=False)

    def __enter__(self) -> Crew:
        self.shared.write_bytes(cloudpickle.dumps(self.world))
        return self

    def __exit__(self, *_: object) -> None:
        self.shared.unlink(missing_ok=True)
        self.lifeline.close()
        self.held.close()

    def one(self, work: Work) -> Ended:
        """One piece of work, in a process of its own, when one of the workers is free. From any thread."""
        with self._free, tempfile.TemporaryDirectory(prefix="work-", dir=self.folder) as name:
            folder = Path(name)
            home = folder / "home"
            home.mkdir()
            (folder / "work").write_bytes(cloudpickle.dumps(work))
            reading, writing = self.context.Pipe(duplex=False)
            arguments = (self.shared, folder, writing, self.lifeline, self.budget, list(sys.path))
            process = self.context.Process(target=_work, args=arguments, daemon=False)
            process.start()
            writing.close()
            try:
                why = self._watched(process, reading)
                return self._end(process, folder, home, why)
            finally:
                reading.close()
                _kill(process)
                process.join()

    def _watched(self, process: ForkServerProcess, output: Connection) -> str:
        """Read what it prints until it ends; why it had to be ended, or nothing."""
        deadline, printed, open_ends = time.monotonic() + self.budget.seconds, 0, [output.fileno(), process.sentinel]
        while process.sentinel in open_ends:
            left = deadline - time.monotonic()
            if left <= 0:
                return f"it did not end within {self.budget.seconds:g} s"
            ready, _, _ = select.select(open_ends, [], [], left)
            if output.fileno() in ready:
                some = os.read(output.fileno(), 65536)
                printed += len(some)
                if not some:
                    open_ends.remove(output.fileno())
                if printed > self.budget.printed:
                    return f"it printed more than {self.budget.printed:,} bytes"
            elif process.sentinel in ready:
                open_ends.remove(process.sentinel)
        return ""

    def _end(self, process: ForkServerProcess, folder: Path, home: Path, why: str) -> Ended:
        left = _descend(process)
        _kill(process)
        process.join()
        misdeed = why
        if not misdeed and left:
            misdeed = f"it left {left} processes running"
        written = sorted(path.name for path in home.iterdir())
        if not misdeed and written:
            misdeed = f"it wrote files where it ran: {', '.join(written[:3])}"
        answer = folder / "answer"
        if answer.exists() and not why:
            return Ended(pickle.loads(answer.read_bytes()), misdeed=misdeed)
        return Ended(lost=why or f"its process ended with {self._how(process.exitcode)}", misdeed=misdeed)

    def _how(self, code: int | None) -> str:
        """The code or signal, and what of the budget it is the usual sign of."""
        if code is None or code >= 0:
            return f"code {code}"
        ended = signal.Signals(-code)
        memory = f", as one that asks for more than {self.budget.memory / 1024**3:g} GiB of memory does"
        processor = f", as one that computes for more than {self.budget.cpu_seconds} s does"
        known = {signal.SIGABRT: memory, signal.SIGSEGV: memory, signal.SIGBUS: memory, signal.SIGXCPU: processor}
        return f"signal {ended.name}{known.get(ended, '')}"


def _descend(process: ForkServerProcess) -> int:
    """How many processes besides its own are in its group."""
    group, found = process.pid, 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            fields = status.read_text().rpartition(")")[2].split()
            found += int(fields[2]) == group and fields[0] != "Z" and int(status.parent.name) != group
    return found


def _kill(process: ForkServerProcess) -> None:
    """End it with every process of its group; before it has made one, it alone."""
    process.kill()
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _work(
    shared: Path, folder: Path, output: Connection, lifeline: Connection, budget: Budget, path: list[str]
) -> None:
    """In the process: read the world, work on it, and leave what comes of it."""
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, args=(lifeline,), name="assay-lifeline", daemon=True).start()
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    os.chdir(folder / "home")
    sys.path[:] = path
    tempfile.tempdir = str(folder)
    with threadpool_limits(1), trial.growing(budget.memory):
        trial.processor(budget.cpu_seconds)
        world: World = pickle.loads(shared.read_bytes())
        work: Work = pickle.loads((folder / "work").read_bytes())
        given = work(world.but(within=folder))
    half = folder / "half"
    half.write_bytes(cloudpickle.dumps(given))
    half.rename(folder / "answer")


def _end_with_parent(lifeline: Connection) -> None:
    """When the proving is gone (it holds the other end) nobody waits for the answer: end, with every process of the group."""
    with contextlib.suppress(OSError):
        os.read(lifeline.fileno(), 1)
    os.killpg(0, signal.SIGKILL)
