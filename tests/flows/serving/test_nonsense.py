"""Whatever is sent, the answer is a refusal with a reason: never a failure of ours, never silence."""

import asyncio
import contextlib
import os
import random
import socket
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.serving import app, supervisor
from flows.serving.protocol import MAX_HEAD
from flows.serving.service import Service
from tests.flows.serving.world import World, row
from tests.soak import times

WORKSPACE = Path(__file__).parents[3]
PATHS = ("/v1/tiny/predict", "/v1/tiny/outcomes")


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    world = World.made(tmp_path_factory.mktemp("nonsense"))
    package = world.publish()
    world.promote(package)
    service = Service(world.root, world.contract(package), package, "production")
    service.watch.look()
    yield app.create(service)
    service.stop()


def answered(application, path, body, kind=b"application/json"):
    """Status and content of the answer, without a server between."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2), "headers": [(b"content-type", kind)], "state": {},
    }  # fmt: skip
    sent = []

    async def call():
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        await asyncio.wait_for(application(scope, receive, send), 60)

    asyncio.run(call())
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def checked(application, path, body):
    status, content = answered(application, path, body)
    assert status < 500
    if status >= 400:
        error = orjson.loads(content)["error"]
        assert error["type"]
        assert error["message"]
        assert len(content) < 20_000
    return status


ODD = st.sampled_from([0, -0.0, 1e308, -1e308, 2**63 - 1, 2**63, -(2**63), 2**64, 1e-320, "", " ", "\0", "NaN", "١", "0001-01-01",
    "9999-12-31T23:59:59.999999-14:00", "2013-04-01T10:00:00+99:99", "2013-W14-1", "𝔘", True, None, [], {}, [[]], [{}]])  # fmt: skip
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUE = st.recursive(
    ODD | PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)
NAMES = st.sampled_from([*row(), "features", "prediction_id", "late", "minutes", "clouds", "kind", "row", "rows"])
ROW = st.builds(
    lambda changed, left_out: {name: value for name, value in (row() | changed).items() if name not in left_out},
    st.dictionaries(NAMES | st.text(max_size=3), VALUE, max_size=3), st.sets(NAMES, max_size=1),
)  # fmt: skip
REQUEST = (
    st.builds(lambda rows: {"rows": rows}, st.lists(ROW | VALUE, max_size=3))
    | st.builds(lambda one: {"row": one}, ROW)
    | st.builds(lambda told: {"outcomes": told}, st.lists(ROW | VALUE, max_size=3))
    | st.dictionaries(NAMES, VALUE, max_size=3)
    | VALUE
)


def said(value):
    """As JSON, which has no half surrogates and no more than 64 bits; what has, is sent as JSON says it all the same."""
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return repr(value).replace("'", '"').encode(errors="surrogatepass")


@settings(max_examples=times(400, 10_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), value=REQUEST)
@example(path=PATHS[0], value={"row": row(departs="9999-12-31T23:59:59Z")})
@example(path=PATHS[0], value={"row": row(departs="0001-01-01T00:00:00Z")})
def test_json_of_any_shape_is_answered_or_refused_with_a_reason(application, path, value):
    checked(application, path, said(value))


PIECES = [
    b'{"rows":[',
    b"]}",
    b'{"row":',
    b"}",
    b"{",
    b"[",
    b'"miles":',
    b"1e400",
    b"-",
    b"NaN",
    b'"\\ud800"',
    b"\xff",
    b",",
    b"\0",
]


@settings(max_examples=times(200, 5_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=200) | st.lists(st.sampled_from(PIECES)).map(b"".join))
@example(path=PATHS[0], body=b"[" * 900_000)
@example(path=PATHS[0], body=b'{"row":' * 100_000)
@example(path=PATHS[1], body=b'{"outcomes":[{"minutes":' + b"9" * 500_000 + b"}]}")
@example(path=PATHS[0], body=b'{"row":{"miles":1,"miles":2}}')
@example(path=PATHS[0], body=b'{"rows":[' + b"{}," * 9_998 + b"{}]}")
@example(path=PATHS[0], body=b"{" + b",".join(b'"%d":0' % n for n in range(90_000)) + b"}")
def test_bytes_that_are_hardly_json_are_refused_with_a_reason(application, path, body):
    assert checked(application, path, body) >= 400


# ---- over a real socket ---------------------------------------------------------------------------------------------

GOOD_BODY = orjson.dumps({"row": row()})
GOOD = (
    b"POST /v1/tiny/predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(GOOD_BODY), GOOD_BODY)
)
ENDLESS = b"a" * (8 * MAX_HEAD)
HEAD = b"POST /v1/tiny/predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
CRAFTED = [
    b"", b"\r\n" * 50, b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"GET /health\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 20,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /%ff%00%zz HTTP/1.1\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n", b"BREW /v1/tiny HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    HEAD + b"content-length: -1\r\n\r\n", HEAD + b"content-length: 9\r\ncontent-length: 8\r\n\r\n123456789",
    HEAD + b"content-length: 99999999999999999999999\r\n\r\n{}", HEAD + b"content-length: 104857600\r\n\r\n" + b" " * 2**21,
    HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 10_000, HEAD + b"transfer-encoding: gzip\r\n\r\n1",
    HEAD + b"transfer-encoding: chunked\r\n\r\n1;" + ENDLESS, HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + ENDLESS,
    HEAD + b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: a\r\n\r\n", HEAD + b"expect: 100-continue\r\n\r\n",
    b"GET /" + ENDLESS, b"GET / HTTP/1.1\r\nx: " + ENDLESS, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 60_000 + b"\r\n", GOOD * 20,
]  # fmt: skip


def mutated(chance):
    """A good request with something wrong somewhere."""
    data = bytearray(GOOD)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(data))
        end = min(len(data), place + chance.randint(1, 20))
        data[place:end] = chance.choice([b"", chance.randbytes(1), chance.randbytes(9), data[place:end] * 3])
        data = data or bytearray(b"x")
    return bytes(data)


def spoken(address, data):
    """What comes back until the other side has no more to say. A hang is a failure."""
    back = b""
    with socket.create_connection(address, timeout=60) as connection:
        with contextlib.suppress(OSError):  # it would not hear the rest
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65536):
                back += more
    return back


@pytest.mark.e2e
def test_raw_bytes_get_no_failure_and_no_hang_and_leave_the_process_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(WORKSPACE))
    world, chance = World.made(tmp_path), random.Random(0)
    package = world.publish()
    world.promote(package)
    with supervisor.running(world.root, "tiny", "production") as service:
        host, port = service.url.removeprefix("http://").split(":")
        child = service.serving.process.pid
        grown = resident(child)
        for data in [*CRAFTED, *(mutated(chance) for _ in range(times(300, 10_000)))]:
            back = spoken((host, int(port)), data)
            statuses = [int(line[9:12]) for line in back.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
            assert all(status < 500 for status in statuses), (data[:200], back[:500])
        for begun in (b"GET /", b"GET / HTTP/1.1\r\nx: "):
            assert b" 431 " in spoken((host, int(port)), begun + b"a" * (MAX_HEAD + 1))
        with httpx.Client(base_url=service.url, timeout=60) as client:
            assert client.post("/v1/tiny/predict", json={"row": row()}).status_code == 200
        assert service.serving.process.pid == child
        assert resident(child) < 1.2 * grown


def resident(pid):
    """Megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
