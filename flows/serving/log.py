"""Group commit: requests wait together for one fsync, and are answered when their records are on disk.

One thread writes. While it waits for the disk, records queue up, and its next write takes all of them: the disk's time
is shared by however many requests there are. The queue is bounded; who finds it full is told to come again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from flows.serving.turns import Full
from store.traffic.spool import Writer

LIMIT = 20_000
"""Records that may wait: twice the largest request."""


@dataclass
class _Waiting:
    records: Sequence[bytes]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class Log:
    """The one way from a service's requests into the spool."""

    def __init__(self, writer: Writer, limit: int = LIMIT) -> None:
        self._writer, self._limit = writer, limit
        self._waiting: list[_Waiting] = []
        self._queued = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="assay-log")
        self._thread.start()

    @property
    def queued(self) -> int:
        """Records that are not on disk yet."""
        return self._queued

    def check(self) -> None:
        """Raises Full when a request would be turned away, before anything is computed for it."""
        if self._queued >= self._limit:
            raise Full

    async def written(self, records: Sequence[bytes]) -> None:
        """Return when the records are on disk. Full: too many wait. OSError: the disk would not take them."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(records, loop, loop.create_future())
        with self._changed:
            if self._closed or (self._queued and self._queued + len(records) > self._limit):
                raise Full
            self._waiting.append(waiting)
            self._queued += len(records)
            self._changed.notify()
        await waiting.done

    def close(self) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._writer.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                batch, self._waiting = self._waiting, []
            if not batch:
                return
            error = self._commit([record for waiting in batch for record in waiting.records])
            with self._changed:
                self._queued -= sum(len(waiting.records) for waiting in batch)
            for waiting in batch:
                waiting.loop.call_soon_threadsafe(_tell, waiting.done, error)

    def _commit(self, records: Sequence[bytes]) -> OSError | None:
        try:
            self._writer.append(records)
        except OSError as error:
            return error
        return None


def _tell(done: asyncio.Future[None], error: OSError | None) -> None:
    if done.done():  # the client went away
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
