"""HTTP/1.1 as uvicorn speaks it, with an end to whatever a client may do without one, and turns for what takes work.

httptools has no limit for a request's line and headers, and joins their pieces as they come: a header of 100 MB takes
seconds on the event loop, and its memory. uvicorn has none for the time a request takes to come, nor for a connection on
which none ever does. Here a request whose next part does not end within ``MAX_HEAD`` is answered with 431, one that is
not complete within ``COMPLETE_SECONDS`` with 408, and their connections are closed.

A POST is given to the application when its body is there and its turn has come (``turns``). Who gets no turn is answered
with 429 from here, at a small part of what it costs the application to say so: at ten times the load that can be borne,
saying no must not take the time for answering.
"""

from __future__ import annotations

import re
import resource
from asyncio import BaseTransport, Transport
from asyncio.events import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from flows.serving import problem
from flows.serving.turns import Turns

MAX_HEAD = 64 * 1024
"""Bytes of a request line and headers, of one chunk's head, or of trailers; a little more may come in one piece."""
MAX_BODY = 1024 * 1024
MAX_BODIES = 64 * MAX_BODY
"""Bytes of all bodies whose requests are not answered yet."""
MAX_CONNECTIONS = 2000
OTHER_FILES = 500
COMPLETE_SECONDS = 10.0

_PLAIN_HEAD = re.compile(
    rb"POST /[!-~]* HTTP/1\.1\r\n(?:(?!transfer-|expect|upgrade|connection: *close|content-length)[a-z-]+:[ -~]*\r\n)*"
    rb"content-length: *([0-9]{1,7})\r\n(?:(?!transfer-|expect|upgrade|connection: *close|content-length)[a-z-]+:[ -~]*\r\n)*",
    re.IGNORECASE,
)

_BUSY, _BUSY_CLOSES = (
    problem.answer(429, "busy", problem.BUSY, closes=closes, retry_s=problem.BUSY_SECONDS) for closes in (False, True)
)
_CROWDED = problem.answer(
    429, "busy", "There are too many connections. Use one for many requests, and close what is idle.",
    closes=True, retry_s=problem.BUSY_SECONDS,
)  # fmt: skip
_MALFORMED = problem.answer(400, "malformed", "This is not HTTP/1.1.", closes=True)
_LATE = problem.answer(
    408, "too_slow", f"The request was not complete within {COMPLETE_SECONDS:.0f} seconds.", closes=True
)
_LARGE_HEAD = problem.answer(431, "too_large", "The request's head is too large.", closes=True)


@dataclass
class Shared:
    """What all connections of one process share. ``is_draining``: answers close their connections."""

    is_draining: Callable[[], bool]
    turns: Turns = field(default_factory=Turns)
    held: int = 0


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, shared: Shared, **given: Any) -> None:
        super().__init__(*args, **given)
        self._shared = shared
        self._unended = 0
        self._is_begun = False
        self._heard_at = 0.0
        self._complete_by: TimerHandle | None = None
        self._coming: tuple[RequestResponseCycle, ASGI3Application] | None = None
        self._held = 0
        self._has_turn = False

    # ---- a connection ----

    def connection_made(self, transport: BaseTransport) -> None:  # type: ignore[override]
        """Somebody is there. One of too many is told so, and one who says nothing has the time of an idle one."""
        super().connection_made(cast(Transport, transport))
        if len(self.connections) > MAX_CONNECTIONS:
            self._end(_CROWDED)
            return
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client's. A piece in which nothing ends adds to what has not ended."""
        if self.transport.is_closing():
            return
        if (
            self._shared.turns.is_full()
            and self._is_between()
            and _is_one_post(data)
            and not self._shared.is_draining()
        ):
            self._heard_at = self.loop.time()
            self.transport.write(_BUSY)
            return
        self._unended += len(data)
        super().data_received(data)
        if self._unended > MAX_HEAD:
            self._end(_LARGE_HEAD)
        if self._is_begun or (self.timeout_keep_alive_task is None and self._is_idle()):  # or line breaks, for ever
            if self._complete_by is None:
                self._complete_by = self.loop.call_later(COMPLETE_SECONDS, self._late)
        elif self._complete_by is not None:
            self._complete_by.cancel()
            self._complete_by = None

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever was there is gone, and with them what they have sent."""
        super().connection_lost(error)
        self._unset_keepalive_if_required()
        if self._complete_by is not None:
            self._complete_by.cancel()
        self._coming = None
        self._give_free()
        self._end_turn()

    def timeout_keep_alive_handler(self) -> None:
        """Idle for too long; who has not even taken their last answer gets no more of it."""
        if (rest := self._heard_at + self.timeout_keep_alive - self.loop.time()) > 0:
            self.timeout_keep_alive_task = self.loop.call_later(rest, self.timeout_keep_alive_handler)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def send_400_response(self, _: str) -> None:
        """What came is not HTTP/1.1."""
        self._end(_MALFORMED)

    def _end(self, answer: bytes) -> None:
        """The last answer on this connection, unless it stands in the middle of another."""
        if self.transport.is_closing():
            return
        if self._is_idle() or not self.cycle.response_started:
            self.transport.write(answer)
        self.transport.close()

    def _late(self) -> None:
        """What was begun has not been completed. It has more time if those before it are not answered yet."""
        self._complete_by = None
        if self.flow.read_paused or not (self._is_idle() or self._coming):
            self._complete_by = self.loop.call_later(COMPLETE_SECONDS, self._late)
        else:
            self._end(_LATE)

    def _is_idle(self) -> bool:
        """Whether nothing is being answered, nor waits for it."""
        return self.cycle is None or self.cycle.response_complete

    def _is_between(self) -> bool:
        """Whether the next byte is the first of a request, and nothing else is to be done here."""
        return self.timeout_keep_alive_task is not None and self._complete_by is None

    # ---- a request ----

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._is_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head. Its body may be asked for."""
        self._unended = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body. One that is too large is the application's to refuse."""
        self._unended = 0
        super().on_body(body)
        if self._coming is None:
            return
        self._held += len(body)
        self._shared.held += len(body)
        if self._shared.held > MAX_BODIES:
            self._end(_BUSY_CLOSES)
        elif len(self.cycle.body) > MAX_BODY:
            self._start()
        else:
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """The end of a request: it may have its turn."""
        self._unended = 0
        self._is_begun = False
        super().on_message_complete()
        if self._coming is not None:
            self._queue(*self._coming)
            self._coming = None

    def on_response_complete(self) -> None:
        """An answer, and what it was for need not be kept."""
        if not self.pipeline:
            self._give_free()
        self._end_turn()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """What only asks is answered; what takes work waits for its body, then for its turn."""
        if cycle.scope["method"] != "POST" or _declared(cycle) > MAX_BODY:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._coming = cycle, app
            if cycle.waiting_for_100_continue:
                cycle.waiting_for_100_continue = False
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            self._queue(cycle, app)

    def _start(self) -> None:
        """Without a turn, and before the body is complete."""
        assert self._coming is not None
        super()._start_asgi_task(*self._coming)
        self._coming = None

    def _queue(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        def start() -> bool:
            if cycle.disconnected or self.transport.is_closing():
                return False
            HttpToolsProtocol._start_asgi_task(self, cycle, app)
            self._has_turn = True
            return True

        self._shared.turns.take(start, lambda: self._refuse(cycle))

    def _refuse(self, cycle: RequestResponseCycle) -> None:
        """No turn: the answer, as if the application had given it."""
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        if cycle.keep_alive and not self._shared.is_draining():
            self.transport.write(_BUSY)
        else:
            self.transport.write(_BUSY_CLOSES)
            self.transport.close()
        if self.pipeline:
            self.loop.call_soon(self.on_response_complete)  # not from here: the next one may be refused as well
        else:
            self.on_response_complete()

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._shared.turns.answered()

    def _give_free(self) -> None:
        self._shared.held -= self._held
        self._held = 0


def _is_one_post(data: bytes) -> bool:
    """Whether this is a whole POST and nothing more, and of a kind that can be told from its head without a parser."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or not data.startswith(b"POST "):
        return False
    found = _PLAIN_HEAD.fullmatch(data, 0, end + 2)
    return found is not None and len(data) == end + 4 + int(found[1])


def room() -> None:
    """Let this process have as many files as that many connections take, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _declared(cycle: RequestResponseCycle) -> int:
    """The bytes of the body, as its head says; 0 if it does not."""
    for name, value in cycle.scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
