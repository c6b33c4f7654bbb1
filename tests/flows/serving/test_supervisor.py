"""A real service: its processes, its port, its hand-overs, and its end."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from flows.serving import port, supervisor
from store import ledger
from store.errors import NotFound, Unreachable
from store.registry import packages
from store.traffic import collect, outcomes, predictions
from tests.flows.serving.world import SOURCE, World, row, until

pytestmark = pytest.mark.e2e
WORKSPACE = Path(__file__).parents[3]
SERVE = (
    "import sys\nfrom flows.serving import supervisor\nfrom store.layout import Root\n"
    "supervisor.serve(Root.open(sys.argv[1]), 'tiny', 'production', announce=lambda url: print(url, flush=True))\n"
)
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


class Traffic:
    """Applications that ask without pause; what they were answered."""

    def __init__(self, url, clients=2):
        self.url, self.answers, self.failures = url, [], []
        self._stop, self._count = threading.Event(), itertools.count()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def ids(self):
        return [one["id"] for answer in list(self.answers) for one in answer["predictions"]]

    def seen(self, name, value):
        return lambda: any(answer[name] == value for answer in list(self.answers[-5:]))

    def _ask(self):
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/v1/tiny/predict", json={"row": row(next(self._count))})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.answers.append(answer.json())
                else:
                    self.failures.append(answer.text)


def health(url):
    return httpx.get(f"{url}/health", timeout=30).json()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] == "Z"


def drained(world):
    return collect.drain(world.root, "production", "tiny", packages.get(world.root, "tiny").manifest(world.root))


def test_a_service_lives_through_new_models_bad_models_new_packages_and_leaves_nothing(world, package):
    with supervisor.running(world.root, "tiny", "production") as service:
        child = service.serving.process.pid
        with Traffic(service.url) as traffic:
            second = world.promote(package, seed=1)
            until(traffic.seen("model", second.digest))

            broken = world.promote(package, data=b"no model")
            until(lambda: (health(service.url)["load_error"] or {}).get("digest") == broken.digest)
            assert health(service.url)["model"]["digest"] == second.digest

            newer = world.publish("2.0.0")
            third = world.promote(newer, seed=3)
            until(traffic.seen("package", newer.digest))
            until(lambda: gone(child))
            told = {"outcomes": [{"prediction_id": traffic.ids()[0], "late": True}]}
            assert httpx.post(f"{service.url}/v1/tiny/outcomes", json=told).status_code == 202
        successor = service.serving.process.pid
    assert traffic.failures == []
    assert traffic.answers[-1]["model"] == third.digest
    assert gone(successor)
    drained(world)
    stored = predictions.read(world.root, "production", "tiny")
    assert sorted(stored["prediction_id"]) == sorted(traffic.ids())
    assert set(stored["model"]) >= {second.digest, third.digest}
    assert outcomes.read(world.root, "production", "tiny")["prediction_id"].to_list() == traffic.ids()[:1]
    assert [found.digest for found in ledger.find(world.root, action="model.load_refused")] == [broken.digest]


def test_a_killed_process_is_replaced_and_every_answered_prediction_is_there_once(world, package):
    with supervisor.running(world.root, "tiny", "production") as service:
        with Traffic(service.url, clients=3) as traffic:
            until(lambda: len(traffic.answers) > 50)
            child = service.serving.process.pid
            os.kill(child, signal.SIGKILL)
            count = len(traffic.answers)
            until(lambda: len(traffic.answers) > count + 50)
        assert service.serving.process.pid != child
    drained(world)
    drained(world)
    stored = predictions.read(world.root, "production", "tiny")["prediction_id"].to_list()
    assert len(stored) == len(set(stored))
    assert set(traffic.ids()) <= set(stored)


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


def serving(world):
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(world.root.path)], stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()

    def ready():
        try:
            return health(url)["status"] == "ready"
        except httpx.HTTPError:
            return False

    until(ready)
    pid = int(ledger.find(world.root, action="model.served")[-1].body.process.rpartition(":")[2])
    return process, url, pid


def test_sigterm_says_farewell_finishes_what_it_took_and_leaves_no_process(world, package):
    process, url, child = serving(world)
    with Traffic(url, clients=1) as traffic:
        until(lambda: len(traffic.answers) > 10)
        process.send_signal(signal.SIGTERM)
        until(lambda: process.poll() is not None)
    assert process.returncode == 0
    until(lambda: gone(child))
    process.stdout.close()
    drained(world)
    stored = predictions.read(world.root, "production", "tiny")["prediction_id"].to_list()
    assert sorted(stored) == sorted(traffic.ids())


def test_a_killed_supervisor_takes_its_process_along(world, package):
    process, _, child = serving(world)
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: gone(child))


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
