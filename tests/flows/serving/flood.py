"""A load generator in a process of its own, light enough not to be what is measured.

    python -m tests.flows.serving.flood URL --seconds 5 [--connections 100] [--rate 5000] < bodies, one a line

With a rate the loop is open: a request is due every ``1 / rate`` s, whatever became of those before; one that finds no
connection free is sent late, and its seconds count from when it was due. Without a rate every connection asks again as
soon as it is answered. Answers are taken apart only as far as their end, status and ``retry-after``; what they say is
kept and printed at the end, as one JSON object (``Flooded``).
"""

from __future__ import annotations

import argparse
import gc
import itertools
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass
class Flooded:
    """What became of the requests of one run.

    ``lasted``: seconds, of the whole run. ``lost``: without an answer. ``statuses``: how many by status.
    ``retry_after``: whatever those not answered with 200 were told. ``seconds``: what each 200 took. ``predictions``: by id.
    """

    asked: int
    lasted: float
    lost: int
    statuses: dict[str, int]
    retry_after: list[str]
    seconds: list[float]
    predictions: dict[str, float]

    def quantile(self, share: float) -> float:
        """Of the seconds that answers with 200 took."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def rate(self) -> float:
        """Answers with 200 a second."""
        return len(self.seconds) / self.lasted


def flood(
    url: str, bodies: Sequence[dict[str, Any]], seconds: float, *, connections: int = 100, rate: float = 0.0,
    pipeline: str = "tiny",
) -> Flooded:  # fmt: skip
    """One run, in a process of its own, which sends the bodies in turn."""
    command = [sys.executable, "-m", "tests.flows.serving.flood", url, "--seconds", str(seconds)]
    command += ["--connections", str(connections), "--rate", str(rate), "--pipeline", pipeline]
    said = b"\n".join(map(orjson.dumps, bodies))
    return Flooded(**orjson.loads(subprocess.run(command, check=True, input=said, stdout=subprocess.PIPE).stdout))


@dataclass(eq=False)
class _Connection:
    """``since``: when the request it waits for was due."""

    socket: socket.socket
    since: float = 0.0
    back: bytes = b""


@dataclass
class _Run:
    address: tuple[str, int]
    connections: int
    pause_s: float
    bodies: list[bytes]
    pipeline: str
    asked: int = 0
    lost: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    refusals: set[bytes] = field(default_factory=set)
    answers: list[tuple[float, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        head = (
            f"POST /v1/{self.pipeline}/predict HTTP/1.1\r\nhost: service\r\n"
            "content-type: application/json\r\ncontent-length: "
        ).encode()
        self._requests = itertools.cycle([b"%b%d\r\n\r\n%b" % (head, len(body), body) for body in self.bodies])
        self._poll, self._by_file = select.epoll(), dict[int, _Connection]()
        self._free: deque[_Connection] = deque(self._connected() for _ in range(self.connections))

    def go(self, seconds: float) -> float:
        """Ask for so long, then wait for what is under way. How long it took."""
        began = time.perf_counter()
        end, due = began + seconds, began
        while (now := time.perf_counter()) < end or len(self._free) < self.connections:
            while self._free and now < end and due <= now:
                self._ask(self._free.popleft(), due if self.pause_s else now)
                due += self.pause_s
            wait = max(0.0, due - now) if self.pause_s and self._free else 1.0
            for file, _ in self._poll.poll(min(wait, max(0.0, end - now) or 1.0)):
                self._hear(self._by_file[file])
        return time.perf_counter() - began

    def _connected(self) -> _Connection:
        made = socket.create_connection(self.address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(made, select.EPOLLIN)
        self._by_file[made.fileno()] = _Connection(made)
        return self._by_file[made.fileno()]

    def _ask(self, one: _Connection, since: float) -> None:
        one.since = since
        self.asked += 1
        one.socket.send(next(self._requests))

    def _hear(self, one: _Connection) -> None:
        try:
            more = one.socket.recv(65536)
        except OSError:
            more = b""
        if not more:
            self.lost += 1
            self._replace(one)
            return
        one.back = back = one.back + more
        end = back.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        place = back.find(b"content-length: ", 0, end) + 16
        length = int(back[place : back.find(b"\r", place)])
        if len(back) < end + length:
            return
        one.back = b""
        status = back[9:12]
        self.statuses[status.decode()] += 1
        if status == b"200":
            self.answers.append((time.perf_counter() - one.since, back[end:]))
        else:
            at = back.find(b"retry-after: ", 0, end)
            self.refusals.add(back[at + 13 : back.find(b"\r", at)] if at > 0 else b"")
        if back.find(b"connection: close", 0, end) > 0:
            self._replace(one)
        else:
            self._free.append(one)

    def _replace(self, one: _Connection) -> None:
        del self._by_file[one.socket.fileno()]
        one.socket.close()
        self._free.append(self._connected())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--pipeline", default="tiny")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: as fast as they are answered")
    asked = parser.parse_args()
    host, port = asked.url.removeprefix("http://").split(":")
    run = _Run(
        (host, int(port)),
        asked.connections,
        1 / asked.rate if asked.rate else 0.0,
        sys.stdin.buffer.read().splitlines(),
        asked.pipeline,
    )
    gc.disable()
    lasted = run.go(asked.seconds)
    told = [one for _, answer in run.answers for one in orjson.loads(answer)["predictions"]]
    found = Flooded(
        run.asked, lasted, run.lost, dict(run.statuses), sorted(text.decode() for text in run.refusals),
        [seconds for seconds, _ in run.answers], {one["id"]: one["prediction"] for one in told},
    )  # fmt: skip
    sys.stdout.buffer.write(orjson.dumps(found))


if __name__ == "__main__":
    main()
