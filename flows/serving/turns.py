"""Who is answered when more ask than can be: one after the other, and nobody stands in a queue that grows.

A queue that is short, or that shrinks while it is served, is a burst, or what came while the process was held up:
everybody waits for the turn. One that is long and has not shrunk, turn after turn, only makes everybody late and computes
for people who have given up (Maurer, *Fail at Scale*, ACM Queue 2015): from then on, until calm, nobody waits. A turn then
lasts until its answer is written, since the next one's work would hold it up; whoever came meanwhile is told to come
again, but for the last to come, who has the next turn. So whoever is answered is answered about as fast as ever, at any
load.

Who waits has cost nothing but the reading of the request, and who is told to come again only that and a write: a turn is
the start of the work, and the work of one request is not interrupted by the next (``app``).

Not for threads: everything happens on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

PLACES = 256
ROUNDS = 1
"""How often the event loop goes round between two turns: it sees who came, hears what is on disk, and answers it."""
BURST = 32
"""A queue that is not longer waits, however long: so many clients that each wait for their answer are no overload."""
LOOK_TURNS = 12
"""A longer one is looked at after so many turns: if it is as long as before, or longer, it stands."""
GROWING_TURNS = 3
"""A longer one that has grown with each of so many turns stands at once: several times what can be answered comes."""
ANSWER_SECONDS = 0.05
"""A turn lasts no longer than that for its answer: a large request's is made in a thread, and holds nobody up."""
CALM_SECONDS = 0.25
"""It is over when nobody waits and nobody had to be told for so long."""


class Full(Exception):
    """Too much waits already: for its turn, or for the disk."""


class Turns:
    """A queue for one turn at a time."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], bool], Callable[[], None]]] = deque()
        self._is_busy = self._is_standing = False
        self._unanswered: asyncio.TimerHandle | None = None
        self._refused_at = 0.0
        self._begin_anew()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def is_full(self) -> bool:
        """Whether nobody else can wait: who asks this for somebody tells them so."""
        full = self._unanswered is not None or len(self._waiting) >= PLACES
        if full:
            self._refused_at = asyncio.get_running_loop().time()
        return full

    def take(self, start: Callable[[], bool], refuse: Callable[[], None]) -> None:
        """Call ``start`` when the turn comes, which is at once if nobody waits, or ``refuse`` if it never will.

        ``start`` schedules the work as a task, and returns whether it did: its owner may be gone.
        """
        if self.is_full():
            refuse()
        elif self._is_busy:
            self._waiting.append((start, refuse))
        elif start():
            self._is_busy = True
            self._is_standing &= asyncio.get_running_loop().time() < self._refused_at + CALM_SECONDS
            self._last()

    def answered(self) -> None:
        """Whoever had the turn is answered, or gone. One that comes late may end another's turn: that is only early."""
        if self._unanswered is not None:
            self._unanswered.cancel()
            self._unanswered = None
            self._rest()

    def _last(self) -> None:
        """A turn has begun."""
        if self._is_standing:
            self._unanswered = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self.answered)
        else:
            self._rest()

    def _rest(self, rounds: int = ROUNDS) -> None:
        """After the task that was just scheduled, whatever is quick: reading, saying no, answering what is done."""
        loop = asyncio.get_running_loop()
        loop.call_soon(self._rest, rounds - 1) if rounds else loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """The next turn, for whoever may have stayed."""
        self._watch()
        while self._waiting:
            start, _ = self._waiting.popleft()
            if start():
                self._turns += 1
                self._last()
                return
        self._is_busy = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._turns = self._grown = self._length_before = 0
        self._length_then = PLACES + 1  # nobody has looked yet

    def _watch(self) -> None:
        """Whether the queue stands; if it does, all who wait but the youngest are told now."""
        length = len(self._waiting)
        self._grown = self._grown + 1 if length > self._length_before else 0
        self._is_standing |= length > BURST and self._grown >= GROWING_TURNS
        if self._turns >= LOOK_TURNS:
            self._is_standing |= length > BURST and length >= self._length_then
            self._turns, self._length_then = 0, length
        while self._is_standing and len(self._waiting) > 1:
            _, refuse = self._waiting.popleft()
            refuse()
            self._refused_at = asyncio.get_running_loop().time()
        self._length_before = len(self._waiting)
