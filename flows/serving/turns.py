"""Who is answered when more ask than can be: one at a time takes its turn, and nobody stands in a queue that grows.

A queue that shrinks while it is served is a burst, or what came while the process was held up: everybody waits for the
turn. A queue that turn after turn has not shrunk only makes everybody late and computes for people who have given up
(Maurer, *Fail at Scale*, ACM Queue 2015): from then on, until it has been empty, it has a few places, and who finds
them taken is told to come again. So whoever is answered is answered about as fast as ever, at any load.

Not for threads: everything happens on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

PLACES = 256
FEW = 4
LOOK_TURNS = 12
"""A queue is looked at after so many turns: if it is as long as before, or longer, it has ``FEW`` places."""
T = TypeVar("T")


class Full(Exception):
    """Too much waits already: for its turn, or for the disk."""


class Turns:
    """A queue for one turn at a time."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._is_busy = self._is_standing = False
        self._turns = self._looked_at = 0
        self._length_then = PLACES + 1  # nobody has looked yet

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def is_full(self) -> bool:
        """Whether nobody else can wait."""
        return len(self._waiting) >= (FEW if self._is_standing else PLACES)

    async def take(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises, when its turn comes: at once, if nobody waits. Full: too many do."""
        loop = asyncio.get_running_loop()
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._go_on)  # whoever came while this turn has the loop is to find it busy, and to wait
            return work()
        if self.is_full():
            raise Full
        mine: asyncio.Future[T] = loop.create_future()
        self._waiting.append((work, mine))
        return await mine

    def _go_on(self) -> None:
        """A few turns in a row: between them and the next ones, the loop sees who comes and tells who may not stay."""
        if not self._waiting:
            self._is_busy = self._is_standing = False
            self._looked_at, self._length_then = self._turns, PLACES + 1
            return
        for _ in range(min(FEW, len(self._waiting))):
            work, mine = self._waiting.popleft()
            if not mine.done():  # its owner may be gone
                self._turns += 1
                _do(work, mine)
        if self._turns - self._looked_at >= LOOK_TURNS:
            self._look()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _look(self) -> None:
        """Whether the queue stands; if it does, those beyond its few places are told now, the youngest first."""
        self._looked_at = self._turns
        self._is_standing |= len(self._waiting) > FEW and len(self._waiting) >= self._length_then
        self._length_then = len(self._waiting)
        while self._is_standing and len(self._waiting) > FEW:
            _, mine = self._waiting.pop()
            if not mine.done():
                mine.set_exception(Full())


def _do(work: Callable[[], T], mine: asyncio.Future[T]) -> None:
    try:
        mine.set_result(work())
    except Exception as error:  # for whoever waits for it
        mine.set_exception(error)
