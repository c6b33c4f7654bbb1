"""Prefect's server as the console asks it: out of reach is an answer, and a deployment's parameters are a form."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from console import actions

SCHEMA = {
    "properties": {
        "environment": {"default": "production", "position": 1, "title": "environment", "type": "string"},
        "pipeline": {"position": 0, "title": "pipeline", "type": "string"},
        "due": {"anyOf": [{"type": "string"}, {"type": "null"}], "position": 2, "title": "due"},
        "trials": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 4, "position": 3},
    },
    "required": ["pipeline"],
}


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, as Prefect's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: where}):
            yield where


@pytest.mark.parametrize(
    "ask",
    [
        lambda: actions.recent(("train",)),
        lambda: actions.deployment("train"),
        lambda: actions.start("train", {"pipeline": "flight_delay"}, "request"),
        lambda: actions.run("0c0ffee0-1234-4000-8000-000000000000"),
    ],
)
def test_a_server_that_is_down_is_a_value_that_names_it(nobody: str, ask: Callable[[], Any]) -> None:
    found = ask()
    assert isinstance(found, actions.OutOfReach)
    assert found.address == nobody
    assert nobody in found.why


@pytest.fixture
def answering() -> Iterator[list[int]]:
    """A server, as Prefect's, that answers with these status codes, the last one again and again."""
    codes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(codes.pop(0) if len(codes) > 1 else codes[0])
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
            yield codes
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("codes", "why"),
    [
        ([503, 503, 404], "knows no such deployment"),
        ([503, 503, 503, 404], r"The server refused: code 503\."),
        ([409, 404], r"The server refused: code 409\."),
    ],
)
def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(
    answering: list[int], codes: list[int], why: str
) -> None:
    """Prefect answers 503 when its database is locked for a moment."""
    answering += codes
    found = actions.deployment("train")
    assert isinstance(found, actions.OutOfReach)
    assert re.search(why, found.why), found.why


def test_no_server_at_all_is_a_value_and_starts_none() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        found = actions.recent()
    assert found == actions.OutOfReach("", "No Prefect server is set: PREFECT_API_URL is empty.")


def test_what_is_no_id_of_a_run_is_not_asked_for() -> None:
    assert isinstance(actions.run("../admin"), actions.OutOfReach)


def test_a_refusal_carries_the_servers_words() -> None:
    request = httpx.Request("POST", "http://127.0.0.1/api")
    error = httpx.HTTPStatusError(
        "", request=request, response=httpx.Response(409, json={"detail": "no such parameter"}, request=request)
    )
    assert actions._detail(error) == "no such parameter"


def test_a_schema_becomes_fields_in_its_order_with_their_kinds() -> None:
    found = actions.fields(SCHEMA)
    assert [(field.name, field.kind, field.required) for field in found] == [
        ("pipeline", "string", True), ("environment", "string", False), ("due", "string", False), ("trials", "integer", False),
    ]  # fmt: skip
    assert (found[1].default, found[3].title) == ("production", "Trials")
