"""What a connection can rely on, and what it cannot do: spoken over real sockets, byte by byte."""

import contextlib
import functools
import socket
import threading

import orjson
import pytest
import uvicorn

from flows.serving import app, port, protocol, turns
from flows.serving.__main__ import Server
from flows.serving.protocol import Protocol, Shared
from tests.flows.serving.world import row, until

BODY = orjson.dumps({"row": row(), "dry_run": True})
LINE = b"POST /v1/tiny/predict HTTP/1.1\r\n"
HEAD = LINE + b"host: a\r\ncontent-type: application/json\r\n"
GOOD = HEAD + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class House:
    """A server in this process, and the turns that its connections share."""

    def __init__(self, service, idle_s=60):
        self.socket, self.shared = port.listening(), Shared(lambda: service.draining)
        http = functools.partial(Protocol, shared=self.shared)
        config = uvicorn.Config(
            app.create(service), http=http, log_level="critical", timeout_keep_alive=idle_s, timeout_graceful_shutdown=1
        )
        self.server = Server(config, service, 0.0)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))

    def __enter__(self):
        self.address = self.socket.getsockname()
        self.thread.start()
        until(lambda: self.server.started)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()

    def in_the_loop(self, work):
        done = threading.Event()
        self.server.loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(30)

    @contextlib.contextmanager
    def full(self):
        """Every place is taken, by somebody who will not want it, and no turn ends."""
        queue = self.shared.turns

        def fill():
            queue._is_busy = True
            queue._waiting.extend([(lambda: False, lambda: None)] * turns.PLACES)

        self.in_the_loop(fill)
        yield
        self.in_the_loop(queue._go_on)

    def connected(self):
        return Connection(socket.create_connection(self.address, timeout=30))


class Connection:
    def __init__(self, made):
        self.socket, self.file = made, made.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def say(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def hear(self):
        """Status, headers and content of the next answer; None if there is none any more."""
        with contextlib.suppress(ConnectionResetError):
            if line := self.file.readline():
                lines = iter(self.file.readline, b"\r\n")
                headers = dict(line.decode().strip().split(": ", 1) for line in lines)
                return int(line.split()[1]), headers, self.file.read(int(headers.get("content-length", 0)))
        return None

    def is_closed(self):
        return self.hear() is None


@pytest.fixture
def house(service):
    with House(service) as made:
        yield made


def kind(answer):
    status, _, content = answer
    return status, orjson.loads(content)["error"]["type"]


def test_who_finds_no_place_is_told_when_to_come_again_on_the_same_connection(house):
    with house.connected() as one:
        with house.full():
            for way in ([GOOD], [GOOD[:40], GOOD[40:]], [GOOD[:-10], GOOD[-10:]]):
                answer = one.say(*way).hear()
                assert kind(answer) == (429, "busy")
                assert answer[1]["retry-after"] == "1"
                assert "connection" not in answer[1]
            assert one.say(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").hear()[0] == 200
        assert one.say(GOOD).hear()[0] == 200


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_who_finds_no_place_and_wants_to_go_is_let_go(house, version):
    with house.full(), house.connected() as one:
        one.say(GOOD.replace(b"HTTP/1.1", version).replace(b"host: a", b"connection: close"))
        answer = one.hear()
        assert (answer[0], answer[1]["connection"]) == (429, "close")
        assert one.is_closed()


def test_while_draining_who_finds_no_place_is_told_to_go_elsewhere(house, service):
    service.draining = True
    with house.full(), house.connected() as one:
        answer = one.say(GOOD).hear()
        assert (answer[0], answer[1]["connection"], answer[1]["retry-after"]) == (429, "close", "1")
        assert one.is_closed()


def test_many_requests_in_one_piece_are_answered_in_order_or_told_each_of_them(house):
    with house.connected() as one:
        one.say((GOOD + b"GET /v1/tiny HTTP/1.1\r\nhost: a\r\n\r\n") * 20)
        assert ["predictions" in orjson.loads(one.hear()[2]) for _ in range(40)] == [True, False] * 20
        with house.full():
            one.say(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n" + GOOD * 2000)
            assert [one.hear()[0] for _ in range(2001)] == [200] + [429] * 2000
        assert one.say(GOOD).hear()[0] == 200


def test_a_body_may_come_in_pieces_in_chunks_and_after_it_was_asked_for(house):
    with house.connected() as one:
        assert one.say(GOOD[:60], GOOD[60:-40], GOOD[-40:]).hear()[0] == 200
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:]))
        assert one.say(HEAD + b"transfer-encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n").hear()[0] == 200
        one.say(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert one.hear()[0] == 100
        assert one.say(BODY).hear()[0] == 200
        padded = BODY + b" " * 500_000
        assert one.say(HEAD + b"content-length: %d\r\n\r\n" % len(padded), padded).hear()[0] == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_sent_and_while_it_is(house):
    with house.connected() as one:
        one.say(HEAD + b"expect: 100-continue\r\ncontent-length: 104857600\r\n\r\n")
        assert kind(one.hear()) == (413, "too_large")
    with house.connected() as one:
        one.say(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        one.say(*[b"10000\r\n" + b" " * 65536 + b"\r\n"] * 17)
        assert kind(one.hear()) == (413, "too_large")


def test_a_packed_body_is_refused_unopened(house):
    with house.connected() as one:
        answer = one.say(GOOD.replace(b"host: a", b"content-encoding: gzip")).hear()
        assert kind(answer) == (415, "unsupported_media_type")


def test_what_is_no_http_is_refused_with_a_reason(house):
    with house.connected() as one:
        assert kind(one.say(b"\x16\x03\x01\x02\x00\x01" * 20).hear()) == (400, "malformed")
        assert one.is_closed()


SLOW = {
    "a line": b"POST /v1/ti",
    "a head": HEAD,
    "a body": GOOD[:-1],
    "a body in chunks": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n{",
    "line breaks": b"\r\n",
    "a second request": GOOD + GOOD[:50],
}


@pytest.mark.parametrize("name", SLOW)
def test_a_request_that_does_not_end_is_ended(service, monkeypatch, name):
    monkeypatch.setattr(protocol, "COMPLETE_SECONDS", 0.3)
    with House(service) as house, house.connected() as one, house.connected() as other:
        one.say(SLOW[name])
        if SLOW[name].startswith(GOOD):
            assert one.hear()[0] == 200
        assert kind(one.hear()) == (408, "too_slow")
        assert one.is_closed()
        assert other.say(GOOD).hear()[0] == 200


def test_bytes_that_trickle_are_no_more_time(service, monkeypatch):
    monkeypatch.setattr(protocol, "COMPLETE_SECONDS", 0.3)
    with House(service) as house, house.connected() as one:
        one.socket.setblocking(False)
        sent = iter(GOOD)

        def ended():
            with contextlib.suppress(BlockingIOError):
                return one.socket.recv(100)
            one.socket.send(bytes([next(sent)]))

        assert until(ended).startswith(b"HTTP/1.1 408 ")


def test_who_says_nothing_has_the_time_of_an_idle_connection(service):
    with House(service, idle_s=1) as house, house.connected() as silent, house.connected() as idle:
        assert idle.say(GOOD).hear()[0] == 200
        assert silent.is_closed()
        assert idle.is_closed()


def test_one_connection_too_many_is_told_so_and_the_others_stay(house, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 3)
    with contextlib.ExitStack() as stay:
        others = [stay.enter_context(house.connected()) for _ in range(3)]
        assert [other.say(GOOD).hear()[0] for other in others] == [200] * 3
        with house.connected() as one:
            answer = one.hear()
            assert kind(answer) == (429, "busy")
            assert (answer[1]["connection"], answer[1]["retry-after"]) == ("close", "1")
            assert one.is_closed()
        assert [other.say(GOOD).hear()[0] for other in others] == [200] * 3
    until(lambda: not house.server.server_state.connections)
    with house.connected() as one:
        assert one.say(GOOD).hear()[0] == 200


def test_bodies_that_are_not_complete_hold_no_turn_and_only_so_many_bytes(house, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_BODIES", 1_000_000)
    slow = HEAD + b"content-length: 700000\r\n\r\n" + b" " * 600_000
    with house.connected() as one, house.connected() as other:
        one.say(slow)
        until(lambda: house.shared.held == 600_000)
        assert other.say(GOOD).hear()[0] == 200
        with house.connected() as late:
            answer = late.say(slow).hear()
            assert (kind(answer), answer[1]["connection"]) == ((429, "busy"), "close")
    until(lambda: house.shared.held == 0)
    with house.connected() as one:
        assert one.say(slow + b" " * 100_000).hear()[0] == 400
    until(lambda: house.shared.held == 0)
