"""A process whose forks are killed with SIGKILL in the middle of their work: ``python -m tests.store.killed WORK ROOT …``.

It imports the store once and never uses it itself, so a fork costs milliseconds instead of an import and has no threads to lose.
Tells one line of JSON at the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store import ledger
from store.actions import PackageApproved
from store.errors import Conflict
from store.layout import Root
from store.registry import aliases
from tests.conftest import NOW
from tests.store.registry import made

ALIASES, TURNS = 100, 2


def told(work: str, root: Root, *words: object) -> Any:
    """What a process of this module says at its end."""
    command = [sys.executable, "-m", "tests.store.killed", work, str(root.path), *map(str, words)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def forked(work: Callable[[], Any]) -> int:
    """Work in a fork; its number, to be waited for with ``ended``."""
    pid = os.fork()
    if pid:
        return pid
    code = 0
    try:
        work()
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """0, the exit code, or the negated signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def at_the_write(root: Root, times: int) -> Any:
    """Forks killed right before, or right after, their row is written and before they hear of it; each is then tried again."""
    create, ends = ledger._create, []

    def append(number: int) -> None:
        ledger.append(
            root, "package.approved", PackageApproved(str(number)), subject="flights", actor="ada", now=NOW, request=f"r{number}"
        )  # fmt: skip

    def dies_after(*asked: Any) -> bool:
        create(*asked)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it lives")

    def dies_before(*_: Any) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it lives")

    for number in range(times):
        ledger._create = dies_before if number % 5 == 4 else dies_after
        ends.append(ended(forked(lambda number=number: append(number))))  # type: ignore[misc]
        ledger._create = create
        ends.append(ended(forked(lambda number=number: append(number))))  # type: ignore[misc]
    return ends


def at_random(root: Root, times: int) -> Any:
    """Forks that publish, approve and promote, killed at a random instant; each is then tried again. How many were killed in time."""
    random.seed(7)
    began = time.monotonic()
    ended(forked(lambda: deliver(root, 0)))
    took, killed = time.monotonic() - began, 0
    for number in range(1, times + 1):
        pid = forked(lambda number=number: deliver(root, number))  # type: ignore[misc]
        time.sleep(random.uniform(0, took))
        os.kill(pid, signal.SIGKILL)
        killed += ended(pid) == -signal.SIGKILL
        assert ended(forked(lambda number=number: deliver(root, number))) == 0  # type: ignore[misc]
    return killed


def deliver(root: Root, number: int) -> None:
    """A package published, approved and deployed, in the way of a flow: whoever runs it again finds what is there."""
    package = made.package(root, str(number), f"wheel {number}".encode())
    ledger.append(
        root, "package.approved", PackageApproved(package.version), subject=made.PIPELINE, digest=package.digest,
        environment="production", actor="ada", now=NOW, request=f"approve-{package.digest}",
    )  # fmt: skip
    current = aliases.current(root, made.PIPELINE, "production", aliases.DEPLOYED)
    if current != package.digest:
        aliases.move(
            root, "package.delivered", pipeline=made.PIPELINE, environment="production", alias=aliases.DEPLOYED,
            digest=package.digest, label=package.version, expected=current, actor="ada", now=NOW, reason="Approved.",
        )  # fmt: skip


def crowd(root: Root, processes: int, appends: int) -> Any:
    """Processes that append at once, each its own requests and one that all of them make."""

    def append(name: int) -> None:
        for number in range(appends):
            for request in (f"{name}-{number}", f"all-{number}"):
                ledger.append(
                    root, "package.approved", PackageApproved(request), subject="flights", actor=str(name), now=NOW,
                    request=request,
                )  # fmt: skip

    return [ended(pid) for pid in [forked(lambda name=name: append(name)) for name in range(processes)]]  # type: ignore[misc]


def histories(root: Root, processes: int) -> Any:
    """What processes saw and did to the same aliases, new ones, at once: a list of operations an alias.

    An operation: process, what (read, move), asked (for a move: expected and new), told (for a read: the target; for a move:
    whether it was done), began and ended (monotonic seconds, one clock for all processes of the machine).
    """
    folder, before = root.path / "histories", len(list(root.path.glob("histories-*")))  # no ledger here: forks follow
    folder.mkdir()

    def live(name: int) -> None:
        done = [[] for _ in range(ALIASES)]  # type: list[list[Any]]
        for number in range(ALIASES):
            for turn in range(TURNS):
                done[number] += _turn(root, f"app_{before}_{number:03d}", name, f"{name}-{number}-{turn}")
        (folder / f"{name}.json").write_text(json.dumps(done))

    pids = [forked(lambda name=name: live(name)) for name in range(processes)]  # type: ignore[misc]
    assert [ended(pid) for pid in pids] == [0] * processes
    every = [json.loads((folder / f"{name}.json").read_text()) for name in range(processes)]
    return [[one[number] for one in every] for number in range(ALIASES)]


def _turn(root: Root, alias: str, name: int, new: str) -> list[Any]:
    """One look at an alias, and one try to move it on from what was seen."""
    began = time.monotonic()
    seen = aliases.current(root, made.PIPELINE, "production", alias)
    looked = time.monotonic()
    try:
        aliases.move(
            root, "model.promoted", pipeline=made.PIPELINE, environment="production", alias=alias, digest=new, label=new,
            expected=seen, actor=str(name), now=NOW, reason="Better.",
        )  # fmt: skip
        moved = True
    except Conflict:
        moved = False
    return [["read", None, seen, began, looked], ["move", [seen, new], moved, looked, time.monotonic()]]


if __name__ == "__main__":
    asked, path, *numbers = sys.argv[1:]
    print(json.dumps({"at_the_write": at_the_write, "at_random": at_random, "crowd": crowd, "histories": histories}[asked](
        Root.open(Path(path)), *map(int, numbers)
    )))  # fmt: skip
