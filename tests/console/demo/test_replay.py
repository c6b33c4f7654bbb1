"""The replayed world tells its operator when the service it talks to is not there, or is another's."""

import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from console.demo.replay import Replayer
from console.processes import free_port
from flows.pipeline import Window
from store.errors import Unreachable

MORNING = datetime(2013, 4, 1, 12, tzinfo=UTC)


@pytest.fixture
def replayer(root):
    """A replayer of one hour with departures, at a port."""

    def made(port):
        window = Window(MORNING, MORNING + timedelta(hours=1))
        return Replayer(root, f"http://127.0.0.1:{port}", "flight_delay", window, lambda: None)

    return made


class Quiet(BaseHTTPRequestHandler):
    """Somebody else's server: it knows no POST."""

    def log_message(self, *_):
        pass


def test_a_service_that_is_not_there_is_said_with_its_address(replayer):
    """Nobody listens at its port."""
    port = free_port()
    with replayer(port) as one, pytest.raises(Unreachable) as refused:
        one.ask()
    assert refused.value.asked.startswith("The service does not answer: ")
    assert f"http://127.0.0.1:{port}" in refused.value.exists
    assert refused.value.remedy == "Look into its log."


def test_a_refusal_is_said_with_the_answer_and_counted(replayer):
    """Another program has the service's port; no prediction is counted."""
    with HTTPServer(("127.0.0.1", 0), Quiet) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            with replayer(other.server_port) as one, pytest.raises(Unreachable) as refused:
                one.ask()
        finally:
            other.shutdown()
    assert refused.value.asked == "The service answered 501 to predict."
    assert "Unsupported method" in refused.value.exists
    assert refused.value.remedy == "Look into its log."
    assert (one.traffic.asked, one.traffic.failed) == (0, 1)
