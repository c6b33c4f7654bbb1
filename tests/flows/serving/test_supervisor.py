"""A real service: its processes, its port, and what does not start. Under load it is in ``test_load``."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from flows.serving import port, supervisor
from store.errors import NotFound, Unreachable
from tests.flows.serving.world import SOURCE, World, row, until

pytestmark = pytest.mark.e2e
WORKSPACE = Path(__file__).parents[3]
BROKEN = "\nif __import__('os').environ.get('PYTHONHASHSEED') == '0':  # as in the runner's children\n    1 / 0\n"


@pytest.fixture(autouse=True)
def workspace_on_the_childrens_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(WORKSPACE))


@pytest.fixture
def world(tmp_path):
    return World.made(tmp_path)


@pytest.fixture
def package(world):
    made = world.publish()
    world.promote(made)
    return made


def health(url):
    return httpx.get(f"{url}/health", timeout=30).json()


def test_a_package_that_does_not_start_never_takes_over(world, package):
    with supervisor.running(world.root, "tiny", "production") as service:
        child = service.serving.process.pid
        broken = world.publish("2.0.0", SOURCE + BROKEN)
        until(lambda: "ZeroDivisionError" in service.problem)
        assert health(service.url)["package"]["digest"] == package.digest
        world.deliver(package)
        until(lambda: service.coming is None and service.is_ready())
        assert service.serving.process.pid == child
        assert broken.digest != package.digest


def test_a_service_that_never_gets_ready_is_said_with_the_reason(world, package, monkeypatch):
    monkeypatch.setattr(supervisor, "HOPELESS", 1)
    world.publish("2.0.0", SOURCE + BROKEN)
    with pytest.raises(Unreachable, match="ZeroDivisionError"), supervisor.running(world.root, "tiny", "production"):
        pass


def test_without_a_model_the_service_runs_and_says_so(world):
    world.publish()
    with (
        pytest.raises(Unreachable, match=r"has no model.*assay train tiny"),
        supervisor.running(world.root, "tiny", "production", ready_s=5),
    ):
        pass


def test_a_taken_port_is_said(world, package):
    with socket.socket() as other:
        other.bind((port.HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(Unreachable, match=f"Port {taken} of 127.0.0.1 cannot be used. Another process listens"):
            supervisor.serve(world.root, "tiny", "production", taken)


def test_what_is_not_deployed_cannot_be_served(world):
    with pytest.raises(NotFound, match="assay integrate tiny"):
        supervisor.serve(world.root, "tiny", "production")


def test_a_process_by_itself_announces_its_drain_answers_meanwhile_and_ends_with_code_0(world, package):
    code = Path(supervisor.runner.unpacked(world.root, package).path)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "flows.serving", "--root", str(world.root.path), "--pipeline", "tiny",
            "--environment", "production", "--package", package.digest, "--port", "0", "--grace", "4",
        ],
        env=os.environ | {"PYTHONPATH": f"{code}:{WORKSPACE}"}, cwd=code, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    url = process.stdout.readline().split()[-1]
    assert httpx.post(f"{url}/v1/tiny/predict", json={"row": row()}, timeout=30).status_code == 200
    process.send_signal(signal.SIGTERM)
    until(lambda: health(url)["status"] == "draining")
    answer = httpx.post(f"{url}/v1/tiny/predict", json={"row": row()}, timeout=30)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert process.wait(60) == 0
    process.stdout.close()


def test_who_was_ready_is_started_again_soon_and_who_never_was_ever_later():
    pauses = []
    for was_ready in (True, True, True, False, False, False):
        pause = supervisor._Pause("package", pauses[-1].failures if pauses else 0)
        pause.failed("package", was_ready=was_ready)
        pauses.append(pause)
    assert [pause.failures for pause in pauses] == [1, 1, 1, 2, 3, 4]
    assert [pause.hopeless("package") for pause in pauses] == [False, False, False, False, True, True]
