"""Applications that keep asking over connections they keep, and what became of every single request."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import orjson

from tests.flows.serving.world import row


@dataclass
class Asked:
    """One request. ``status``: 0 when there was no answer; then ``lost`` says at what point."""

    began_at: float
    status: int = 0
    lost: str = ""
    answer: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)
    seconds: float = 0.0


class Load:
    """``clients`` connections that send ``rate`` requests a second together; without a rate, each without a pause.

    A client whose connection is closed with an answer makes another. While nobody listens (``refused``) it tries again.
    """

    def __init__(self, url: str, clients: int = 10, rate: float | None = 100.0, *, lasting: bool = False) -> None:
        self.host, port = url.removeprefix("http://").split(":")
        self.port, self.clients, self.lasting = int(port), clients, lasting
        self.pause_s = clients / rate if rate else 0.0
        self.asked: list[Asked] = []
        self.refused = 0
        self._stop, self._count = threading.Event(), itertools.count()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def answered(self) -> list[Asked]:
        return [one for one in list(self.asked) if one.status == 200]

    def statuses(self) -> Counter:
        """How many requests ended how: with a status, or lost at a point."""
        return Counter(one.status or one.lost for one in list(self.asked))

    def ids(self) -> list[str]:
        return [prediction["id"] for one in self.answered for prediction in one.answer["predictions"]]

    def seen(self, name: str, value: str):
        """A condition: a request that was sent after this call was answered so."""
        since = time.monotonic()
        return lambda: any(one.answer.get(name) == value for one in list(self.asked[-50:]) if one.began_at > since)

    async def _all(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number: int) -> None:
        connection = None
        due = time.monotonic() + self.pause_s * number / self.clients
        while not self._stop.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self.pause_s, time.monotonic() - 1.0)
            if connection is None:
                try:
                    connection = await asyncio.open_connection(self.host, self.port)
                except ConnectionRefusedError:
                    self.refused += 1
                    if not self.lasting:
                        return
                    due = time.monotonic() + 0.02
                    continue
            one = await self._ask(*connection)
            self.asked.append(one)
            if not one.status or one.headers.get("connection") == "close":
                connection[1].close()
                connection = None
        if connection:
            connection[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
        body = orjson.dumps({"row": row(next(self._count))})
        one = Asked(time.monotonic())
        try:
            writer.write(
                b"POST /v1/tiny/predict HTTP/1.1\r\nhost: service\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            content = await reader.readexactly(int(headers["content-length"]))
            one.status, one.headers, one.answer = int(head[0].split()[1]), headers, orjson.loads(content)
        except (OSError, asyncio.IncompleteReadError) as error:
            one.lost = type(error).__name__
        one.seconds = time.monotonic() - one.began_at
        return one
