"""Processes of our own: started in a session of their own, waited for on a condition, ended for certain.

Used by the demo and by ``assay console``; the end-to-end tests start the same processes the same way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import httpx

from store.errors import InvalidInput, Unreachable

T = TypeVar("T")
PATIENCE_S = 120.0
WORKSPACE = Path(__file__).parent.parent


class Processes:
    """Every process started here is ended when the block is left, its children with it, the newest first.

    Threads may start processes too; after the block was left nothing starts any more.
    """

    def __init__(self, logs: Path) -> None:
        self.logs, self.running = logs, dict[str, subprocess.Popen[bytes]]()
        self._errands, self._left, self._lock = set[str](), False, threading.Lock()
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._left = True
        for name in reversed(list(self.running)):
            self.stop(name)

    def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path = WORKSPACE,
        *,
        errand: bool = False,
        keep_log: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a process; what it prints goes to ``<logs>/<name>.log``. Only an ``errand`` may end by itself."""
        with self._lock, open(self.logs / f"{name}.log", "ab" if keep_log else "wb") as log:
            if self._left:
                raise Unreachable(
                    f"The {name} was not started.",
                    "What it belongs to is ending.",
                    "Wait for its end, and start it again.",
                )
            if errand:
                self._errands.add(name)
            self.running[name] = subprocess.Popen(
                list(command),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            return self.running[name]

    def finish(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Run a command to its end. Unreachable, with its last words, when it fails."""
        code = self.start(name, command, env, errand=True).wait()
        self.running.pop(name, None)
        if code:
            raise Unreachable(
                f"`{' '.join(command)}` failed with code {code}.",
                self.last_words(name),
                "Mend what it says, and run it again.",
            )

    def stop(self, name: str, patience_s: float = 15) -> None:
        """SIGTERM to the process, then SIGKILL to whatever of its group is left after ``patience_s`` seconds."""
        process = self.running.pop(name)
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            process.wait()

    def check(self) -> None:
        """Unreachable, with its last words, when one of them has ended by itself."""
        for name, process in list(self.running.items()):
            if name not in self._errands and process.poll() is not None:
                raise Unreachable(
                    f"The {name} ended with code {process.returncode}.",
                    self.last_words(name),
                    f"Its log: {self.logs / name}.log",
                )

    def last_words(self, name: str, lines: int = 8) -> str:
        """The end of its log."""
        return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])


def python(*words: str) -> list[str]:
    """A command of this very interpreter."""
    return [sys.executable, *words]


def wait_for(what: str, ready: Callable[[], T | None], processes: Processes, patience_s: float = PATIENCE_S) -> T:
    """What ``ready`` gives as soon as it gives anything. Unreachable after ``patience_s`` seconds, or when a process died."""
    deadline = time.monotonic() + patience_s
    while (found := ready()) is None:
        processes.check()
        if time.monotonic() > deadline:
            raise Unreachable(
                f"Waited {patience_s:.0f} s for {what}.", remedy=f"Look into the logs in {processes.logs}."
            )
        time.sleep(0.1)
    return found


def answers(url: str) -> Callable[[], bool | None]:
    """A condition: the URL answers with 200."""

    def ready() -> bool | None:
        try:
            return True if httpx.get(url, timeout=5).status_code == 200 else None
        except httpx.HTTPError:
            return None

    return ready


def refuse_taken(ports: Mapping[str, int]) -> None:
    """InvalidInput, naming what wanted it, when a port on 127.0.0.1 is taken."""
    for what, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                option = f"--{what}-port"
                raise InvalidInput(
                    f"Port {port} on 127.0.0.1 is taken; {what} was to listen there.",
                    "Another process has it.",
                    f"End that process, or give another port with {option}.",
                ) from None


def free_port() -> int:
    """A port on 127.0.0.1 that the system says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
