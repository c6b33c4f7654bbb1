"""One serving process: ``python -m flows.serving --root R --pipeline P --environment E --package DIGEST --port N``.

The package's unpacked folder is first on the path (``flows.runner.environment``): the pipeline is a top-level module.
On SIGTERM it says so in ``/health``, goes on answering for ``--grace`` seconds while every answer closes its
connection and, in the second half, no new connection is accepted, then finishes what is in flight and ends with code
0. A second signal ends it at once.

For a supervisor: ``--fd`` is a listening socket; ``--ready-fd`` hears when a model is served, or why the process ends;
``--wait`` keeps it from accepting before that; ``--lifeline`` ends it when standard input is closed, however that came.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import importlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from flows.pipeline import Pipeline
from flows.serving import app, port
from flows.serving.protocol import Protocol, Shared, room
from flows.serving.service import Service
from store.errors import AssayError, NotFound
from store.layout import ENVIRONMENTS, Root
from store.registry import packages

GRACE_SECONDS = 1.0
FINISH_SECONDS = 10
SWITCH_SECONDS = 0.001
"""How long a thread that loads a model may keep the interpreter from the one that answers."""
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection: else one may send a request on it just as it is closed here."""


class Server(uvicorn.Server):
    """uvicorn, but a signal begins a farewell instead of an end."""

    def __init__(self, config: uvicorn.Config, service: Service, grace_s: float) -> None:
        super().__init__(config)
        self.service, self.grace_s = service, grace_s
        self.loop: asyncio.AbstractEventLoop | None = None
        self._sockets: list[socket.socket] = []

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop, self._sockets = asyncio.get_running_loop(), sockets or []
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say goodbye; on a second signal, go."""
        if self.service.draining or self.loop is None:
            self.should_exit = self.force_exit = True
            return
        self.service.draining = True
        self.loop.call_soon_threadsafe(self._farewell)

    def _farewell(self) -> None:
        assert self.loop is not None
        self._accepting_no_more = self.loop.create_task(self._accept_no_more())
        self.loop.call_later(self.grace_s, self._finish)

    async def _accept_no_more(self) -> None:
        """After half the grace. Who is connected by then is still taken: the system has told them that they are."""
        assert self.loop is not None
        await asyncio.sleep(self.grace_s / 2)
        last = [made for listening in self._sockets for made in _accepted(listening)]
        for server in getattr(self, "servers", []):
            server.close()
        for made in last:
            await self.loop.connect_accepted_socket(self._protocol, made)

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn makes one for a connection."""
        made = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        return self.config.http_protocol_class(**made)

    def _finish(self) -> None:
        self.should_exit = True


def _accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """Every connection that waits there to be accepted."""
    with contextlib.suppress(OSError):  # none is left, or the socket is closed
        while True:
            yield listening.accept()[0]


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end. 0 when told; else the error's exit code, its sentence on standard error."""
    asked = _asked(arguments)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with contextlib.ExitStack() as unless_served:
            sock = socket.socket(fileno=asked.fd) if asked.fd is not None else port.listening(asked.port)
            unless_served.callback(sock.close)
            service = _service(asked)
            unless_served.pop_all()
    except Exception as error:  # a package's module may raise anything when it is imported
        told = f"{type(error).__name__}: {error}"
        print(told, file=sys.stderr)
        _say(asked.ready_fd, told.encode()[:4000])
        return error.exit_code if isinstance(error, AssayError) else 1
    try:
        _serve(asked, service, sock)
    finally:
        service.stop()
    return 0


def _serve(asked: argparse.Namespace, service: Service, sock: socket.socket) -> None:
    if asked.lifeline:
        threading.Thread(target=_end_with_stdin, name="assay-lifeline", daemon=True).start()
    if asked.wait:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        service.watch.ready.wait()
    room()
    # This thread answers a row or a few, where more threads only wait for each other; large requests have a thread of their own.
    threadpool_limits(1)
    config = uvicorn.Config(
        app.create(service),
        http=functools.partial(Protocol, shared=Shared(lambda: service.draining)),  # type: ignore[arg-type]
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = Server(config, service, asked.grace)
    threading.Thread(target=_tell, args=(asked.ready_fd, service, server), name="assay-ready", daemon=True).start()
    if asked.fd is None:
        print(f"{service.name} ({service.environment}) at {port.url(sock)}", flush=True)
    server.run([sock])


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.serving", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--environment", required=True, choices=ENVIRONMENTS)
    parser.add_argument("--package", required=True, help="the wheel's digest")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="0 for any free one")
    where.add_argument("--fd", type=int, help="a listening socket")
    parser.add_argument("--ready-fd", type=int, help="gets one line once a model is served")
    parser.add_argument("--wait", action="store_true", help="accept nothing before a model is loaded")
    parser.add_argument("--lifeline", action="store_true", help="end when standard input is closed")
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, help="seconds of farewell")
    return parser.parse_args(arguments)


def _service(asked: argparse.Namespace) -> Service:
    root = Root.open(asked.root)
    package = packages.get(root, asked.pipeline, asked.package)
    service = Service(root, _contract(asked.pipeline), package, asked.environment)
    try:
        service.watch.start()
    except BaseException:
        service.stop()
        raise
    return service


def _contract(name: str) -> Pipeline:
    try:
        contract = importlib.import_module(name).pipeline
    except ModuleNotFoundError as error:
        raise NotFound(
            f"The module of {name} cannot be imported: {error}.",
            f"Path: {sys.path[:3]}.",
            "Start it through `assay serve`.",
        ) from error
    if not isinstance(contract, Pipeline):
        raise NotFound(
            f"{name}.pipeline is a {type(contract).__name__}, not a Pipeline.",
            "A package's module ends with pipeline = Pipeline(…).",
            "Mend the module, and integrate again.",
        )
    return contract


def _tell(ready_fd: int | None, service: Service, server: Server) -> None:
    service.watch.ready.wait()
    while not server.started:
        time.sleep(0.01)
    _say(ready_fd, port.READY)


def _say(ready_fd: int | None, words: bytes) -> None:
    if ready_fd is not None:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(ready_fd, words)


def _end_with_stdin() -> None:
    while os.read(0, 4096):  # unbuffered: the interpreter must not find a lock held here when it ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
