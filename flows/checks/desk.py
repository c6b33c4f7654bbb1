"""Where a proving's verdicts are asked for one by one: a socket of the process that holds the world, so that whoever asks may be a
thread, a Prefect task, or a task in another process (Dask's).

Who opens a proving holds one connection for its length, and hears on it what there is to ask for; when it closes, by whatever cause, the
proving ends. Each verdict is asked for on a connection of its own. Questions and answers are JSON, for the pipeline's code runs at this
end and must not run at the other.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from store.errors import Unreachable

OPEN, PAUSE_SECONDS = "open", 0.02


class Desk:
    """The end that answers. ``listing`` is told to who opens; ``answer`` gives the verdict of a code, from any thread."""

    def __init__(self, address: str, listing: Mapping[str, Any], answer: Callable[[str], dict[str, Any]]) -> None:
        self._listing, self._answer, self._ended = listing, answer, threading.Event()
        self._address = address
        self._listener = Listener(address, "AF_UNIX", backlog=128)

    def serve(self) -> None:
        """Answer until the connection that opened is closed."""
        accepting = threading.Thread(target=self._accept, name="assay-desk", daemon=True)
        accepting.start()
        self._ended.wait()
        Client(self._address, "AF_UNIX").close()  # wakes who waits for the next one
        accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                connection = self._listener.accept()
                if self._ended.is_set():
                    connection.close()
                    return
                threading.Thread(target=self._talk, args=(connection,), name="assay-desk-talk", daemon=True).start()

    def _talk(self, connection: Connection) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            code = json.loads(connection.recv_bytes())
            if code != OPEN:
                _say(connection, self._answer(code))
                return
            try:
                _say(connection, self._listing)
                connection.recv_bytes()
            finally:
                self._ended.set()


@contextmanager
def opened(address: str, is_alive: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Open the proving at ``address`` as soon as it is there, and give what there is to ask for; it ends with this context.

    Unreachable when ``is_alive`` says that it will not come.
    """
    with _reached(address, is_alive) as connection:
        _say(connection, OPEN)
        try:
            yield json.loads(connection.recv_bytes())
        except EOFError:
            raise _gone(address) from None


def ask(address: str, code: str) -> dict[str, Any]:
    """The verdict of a check or fault. Unreachable when the proving has ended meanwhile."""
    try:
        with Client(address, "AF_UNIX") as connection:
            _say(connection, code)
            verdict: dict[str, Any] = json.loads(connection.recv_bytes())
            return verdict
    except (OSError, EOFError):
        raise _gone(address) from None


def _reached(address: str, is_alive: Callable[[], bool]) -> Connection:
    while is_alive():
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return Client(address, "AF_UNIX")
        time.sleep(PAUSE_SECONDS)
    raise _gone(address)


def _say(connection: Connection, value: object) -> None:
    connection.send_bytes(json.dumps(value).encode())


def _gone(address: str) -> Unreachable:
    return Unreachable("The proving is gone.", f"It answered at {address}.", "Run it again.")
