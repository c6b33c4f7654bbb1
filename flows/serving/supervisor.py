"""Keeps one service alive: owns its listening socket, runs the deployed package's process on it, and hands over.

When the package alias moves, the new package's process is started beside the old one on the same socket. It accepts
nothing until it has a model of its own; then the old one is told to end and drains. So a delivery or a rollback drops
no request, and a package that cannot start never takes over. A process that crashes is started again; one that crashes before it is
ready, ever more slowly.

A child dies with its supervisor, even a killed one: it ends when its standard input closes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

from flows import runner
from flows.serving import port as ports
from flows.serving.port import READY
from store.errors import AssayError, Unreachable
from store.layout import Root, checked, checked_environment
from store.registry import packages

LOOK_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
END_SECONDS = 15.0
HOPELESS = 3
READY_SECONDS = 120.0
_log = logging.getLogger(__name__)


@dataclass
class _Child:
    """One serving process. ``pipe``: on it, it says that it serves a model, or why it ends."""

    package: str
    process: subprocess.Popen[bytes]
    pipe: int
    said: bytes = b""
    told_to_end_at: float | None = None
    is_buried: bool = False

    def is_ready(self) -> bool:
        self._listen()
        return self.said == READY

    def last_words(self) -> str:
        return self.said.removeprefix(READY).decode(errors="replace")

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while not self.is_buried and (more := os.read(self.pipe, 4096)):
                self.said += more

    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """Tell it to drain; it is killed when it takes too long."""
        if self.told_to_end_at is None and self.alive():
            self.told_to_end_at = time.monotonic()
            self.process.terminate()

    def buried(self) -> bool:
        """Whether it is gone, and what it held with it."""
        if self.alive():
            if self.told_to_end_at is not None and time.monotonic() - self.told_to_end_at > END_SECONDS:
                self.process.kill()
            return False
        if not self.is_buried:
            self._listen()
            self.is_buried = True
            os.close(self.pipe)
            if self.process.stdin:
                self.process.stdin.close()
        return True


@dataclass
class _Pause:
    """How long not to try again: doubles with each failure of one package to get ready."""

    package: str = ""
    failures: int = 0
    until: float = 0.0

    def failed(self, package: str, *, was_ready: bool = False) -> None:
        self.failures = self.failures + 1 if package == self.package and not was_ready else 1
        self.package = package
        self.until = time.monotonic() + min(LONGEST_PAUSE_SECONDS, 0.25 * 2**self.failures)

    def over(self, package: str) -> bool:
        return package != self.package or time.monotonic() >= self.until

    def hopeless(self, package: str) -> bool:
        return package == self.package and self.failures >= HOPELESS


@dataclass
class Supervisor:
    """One pipeline in one environment. ``look`` is one step; ``run`` repeats it until told to stop."""

    root: Root
    pipeline: str
    environment: str
    port: int = 0
    serving: _Child | None = field(default=None, init=False)
    coming: _Child | None = field(default=None, init=False)
    _leaving: list[_Child] = field(default_factory=list, init=False)
    _pause: _Pause = field(default_factory=_Pause, init=False)
    _served: str | None = field(default=None, init=False)
    problem: str = field(default="", init=False)

    def __post_init__(self) -> None:
        checked("pipeline", self.pipeline), checked_environment(self.environment)
        self._socket = ports.listening(self.port)
        self.url = ports.url(self._socket)

    def is_ready(self) -> bool:
        """Whether a process serves a model of the package that is deployed."""
        return self.serving is not None and self.serving.alive() and self.serving.is_ready() and self.coming is None

    def hopeless(self) -> bool:
        """Whether the deployed package's process has ended again and again."""
        return self._pause.failures >= HOPELESS

    def run(self, stop: threading.Event) -> None:
        """Look after the service until ``stop`` is set; then end every process and wait for it."""
        try:
            while not stop.is_set():
                try:
                    self.look()
                except (AssayError, OSError) as error:
                    self._say(str(error))
                stop.wait(LOOK_SECONDS)
        finally:
            self.close()

    def look(self) -> None:
        """Bury the dead, hand over to who is ready, start who is missing."""
        self._leaving = [child for child in self._leaving if not child.buried()]
        self.serving = self._surviving(self.serving)
        self.coming = self._surviving(self.coming)
        wanted = packages.deployed(self.root, self.pipeline, self.environment).digest
        if self.coming and self.coming.package != wanted:
            self._dismiss(self.coming)
            self.coming = None
        if self.coming and self.coming.is_ready():
            self._hand_over(self.coming)
        if self.serving is None:
            self._start_serving(wanted)
        elif self.serving.package != wanted and self.coming is None and self._pause.over(wanted):
            self.coming = self._started(wanted, waits=True)
        elif self.serving.is_ready():
            self._served = self.serving.package
            if self.coming is None and self.serving.package == wanted:
                self.problem = ""

    def close(self) -> None:
        """End every process, in order, and give the port free: who comes once the last one accepts nobody is told so."""
        everyone = [child for child in (self.serving, self.coming, *self._leaving) if child]
        for child in everyone:
            child.end()
        self._socket.close()
        while everyone := [child for child in everyone if not child.buried()]:
            time.sleep(0.02)
        self.serving = self.coming = None
        self._leaving = []

    def _surviving(self, child: _Child | None) -> _Child | None:
        if child is None or not child.buried():
            return child
        self._pause.failed(child.package, was_ready=child.said.startswith(READY))
        how = f"the process of package {child.package[:8]} ended with code {child.process.returncode}"
        self._say(f"{how}: {words}" if (words := child.last_words()) else how)
        return None

    def _hand_over(self, coming: _Child) -> None:
        if self.serving:
            self._dismiss(self.serving)
        self.serving, self.coming, self._served = coming, None, coming.package

    def _dismiss(self, child: _Child) -> None:
        child.end()
        self._leaving.append(child)

    def _start_serving(self, wanted: str) -> None:
        """What served before, so that a crash changes nothing; what is deployed, if that does not come up again."""
        package = self._served if self._served and not self._pause.hopeless(self._served) else wanted
        if self._pause.over(package):
            self.serving = self._started(package, waits=False)

    def _started(self, package: str, *, waits: bool) -> _Child:
        """A process of this package, with the package's folder as working folder and first on its path."""
        try:
            code = runner.unpacked(self.root, packages.get(self.root, self.pipeline, package))
        except AssayError:
            self._pause.failed(package)
            raise
        ready, tells = os.pipe()
        os.set_blocking(ready, False)
        process = subprocess.Popen(
            [
                sys.executable, "-m", "flows.serving", "--root", str(self.root.path), "--pipeline", self.pipeline,
                "--environment", self.environment, "--package", package, "--fd", str(self._socket.fileno()),
                "--ready-fd", str(tells), "--lifeline", *(["--wait"] if waits else []),
            ],
            env=runner.environment(code), cwd=code.path, stdin=subprocess.PIPE, start_new_session=True,
            pass_fds=(self._socket.fileno(), tells),
        )  # fmt: skip
        os.close(tells)
        return _Child(package, process, ready)

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("%s (%s): %s", self.pipeline, self.environment, problem)
        self.problem = problem


def serve(
    root: Root, pipeline: str, environment: str, port: int = 0, *, announce: Callable[[str], None] = print
) -> None:
    """Serve until SIGTERM or Ctrl-C, then leave no process. ``announce`` gets the URL.

    Unreachable: the port is taken. NotFound: nothing is deployed there.
    """
    packages.deployed(root, pipeline, environment)
    supervisor, stop = Supervisor(root, pipeline, environment, port), threading.Event()

    def told(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        announce(supervisor.url)
        supervisor.run(stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def running(
    root: Root, pipeline: str, environment: str, port: int = 0, *, ready_s: float = READY_SECONDS
) -> Iterator[Supervisor]:
    """A service for as long as the block lasts, from when it is ready. Unreachable: it does not become ready."""
    packages.deployed(root, pipeline, environment)
    supervisor, stop = Supervisor(root, pipeline, environment, port), threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,), name="assay-supervisor")
    thread.start()
    try:
        deadline = time.monotonic() + ready_s
        while not supervisor.is_ready():
            if time.monotonic() > deadline or supervisor.hopeless():
                raise Unreachable(
                    f"The service of {pipeline} in {environment} does not become ready.",
                    supervisor.problem or f"Its process runs, and has no model: see {supervisor.url}/health.",
                    f"Run `assay train {pipeline} --environment {environment}` if it has no champion.",
                )
            time.sleep(0.02)
        yield supervisor
    finally:
        stop.set()
        thread.join()
