"""A real service under load: swaps, kills, its end, and more than it can bear. ``make soak`` does more of it."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from flows.building import artifact
from flows.serving import supervisor
from store import blobs, ledger
from store.registry import models, packages
from store.traffic import collect, outcomes, predictions
from tests.flows.serving.flood import flood
from tests.flows.serving.load import Load
from tests.flows.serving.world import NOW, SOURCE, World, fitted, imported, row, until
from tests.soak import SOAK, times

pytestmark = pytest.mark.e2e
WORKSPACE = Path(__file__).parents[3]
ROWS = [{"row": row(n)} for n in range(512)]
SERVE = (
    "import sys\nfrom flows.serving import supervisor\nfrom store.layout import Root\n"
    "supervisor.serve(Root.open(sys.argv[1]), 'tiny', 'production', announce=lambda url: print(url, flush=True))\n"
)
OWN = """
class Own(LogisticRegression):
    def __setstate__(self, state):
        super().__setstate__(state)
        if __import__("os").environ.get("PYTHONHASHSEED") == "0":  # as in the runner's children
            getattr(self, self.habit)()

    def crash(self):
        __import__("os").abort()

    def slow(self):
        __import__("time").sleep(1)
"""


@pytest.fixture(autouse=True)
def workspace_on_the_childrens_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(WORKSPACE))


@pytest.fixture
def world(tmp_path):
    return World.made(tmp_path)


@pytest.fixture
def package(world):
    made = world.publish(code=SOURCE + OWN)
    world.promote(made)
    return made


def own(world, habit):
    """A model of the package's own class, with a habit when it is loaded."""
    with imported(world.scratch / "1.0.0"):
        chance = np.random.default_rng(1)
        data = chance.normal(size=(60, 3))
        model = sys.modules["tiny"].Own().fit(data, data[:, 0] + chance.normal(size=60) > 0)
        model.habit = habit
        return artifact.dumps(model)


def health(url):
    return httpx.get(f"{url}/health", timeout=30).json()


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def collected(world):
    """The ids of every stored prediction, after two drains."""
    for _ in range(2):
        collect.drain(world.root, "production", "tiny", packages.get(world.root, "tiny").manifest(world.root))
    return predictions.read(world.root, "production", "tiny")["prediction_id"].to_list()


def test_models_good_and_bad_and_a_new_package_come_and_go_and_every_request_is_answered(world, package):
    good = [fitted(1), fitted(2)]
    with supervisor.running(world.root, "tiny", "production") as service:
        child = service.serving.process.pid
        with Load(service.url) as load:
            for number in range(times(4, 50)):
                model = world.promote(package, seed=1 + number % 2)
                until(load.seen("model", model.digest))

            corrupt = models.get(world.root, "tiny", "production", blobs.digest(good[number % 2 - 1]))
            where = blobs.path(world.root, corrupt.digest)
            where.write_bytes(where.read_bytes()[:-1])
            models.promote(world.root, corrupt, expected=model.digest, actor="tests", now=NOW, reason="test")
            refused = [corrupt.digest]
            until(lambda: (health(service.url)["load_error"] or {}).get("digest") == refused[0])
            crashing = world.promote(package, data=own(world, "crash"))
            refused.append(crashing.digest)
            until(lambda: (health(service.url)["load_error"] or {}).get("digest") == refused[1])
            assert "did not survive its first load" in health(service.url)["load_error"]["message"]

            slow = world.promote(package, data=own(world, "slow"))
            until(load.seen("model", slow.digest))
            assert health(service.url)["load_error"] is None

            newer = world.publish("2.0.0")
            third = world.promote(newer, seed=4)
            until(load.seen("package", newer.digest))
            until(lambda: gone(child))
            told = {"outcomes": [{"prediction_id": load.ids()[0], "late": True}]}
            assert httpx.post(f"{service.url}/v1/tiny/outcomes", json=told).status_code == 202
        successor = service.serving.process.pid
    assert set(load.statuses()) == {200}
    assert load.refused == 0
    digests = {blobs.digest(data) for data in good}
    assert digests | {slow.digest, third.digest} <= {one.answer["model"] for one in load.answered}
    assert crashing.digest not in {one.answer["model"] for one in load.answered}
    assert [row.digest for row in ledger.find(world.root, action="model.load_refused")] == refused
    assert gone(successor)
    assert sorted(collected(world)) == sorted(load.ids())
    assert outcomes.read(world.root, "production", "tiny")["prediction_id"].to_list() == load.ids()[:1]


def test_a_process_that_is_killed_again_and_again_loses_and_doubles_no_answered_prediction(world, package):
    with supervisor.running(world.root, "tiny", "production") as service, Load(service.url) as load:
        for _ in range(times(2, 20)):
            count = len(load.answered)
            until(lambda: len(load.answered) > count + 50)  # noqa: B023  (it is called in this round)
            child = service.serving.process.pid
            os.kill(child, signal.SIGKILL)
            until(lambda: service.serving and service.serving.process.pid != child)  # noqa: B023
        count = len(load.answered)
        until(lambda: len(load.answered) > count + 50)
    stored = collected(world)
    assert len(stored) == len(set(stored))
    assert set(load.ids()) <= set(stored)
    assert set(load.statuses()) - {200} <= {"ConnectionResetError", "IncompleteReadError", "BrokenPipeError"}


@contextlib.contextmanager
def serving(world):
    """``supervisor.serve`` as a process: the process, the URL, and the serving process's id."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(world.root.path)], stdout=subprocess.PIPE, text=True)
    with process, contextlib.ExitStack() as end:
        end.callback(process.kill)
        url = process.stdout.readline().strip()

        def ready():
            with contextlib.suppress(httpx.HTTPError):
                return health(url)["status"] == "ready"

        until(ready)
        yield process, url, int(ledger.find(world.root, action="model.served")[-1].body.process.rpartition(":")[2])


class Readiness:
    """What somebody hears who asks ``/health`` again and again, each time on a new connection, until nobody listens."""

    def __init__(self, url):
        self.url, self.heard = f"{url}/health", []
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()

    def _watch(self):
        with contextlib.suppress(httpx.ConnectError):
            while True:
                answer = httpx.get(self.url, timeout=30)
                self.heard.append((answer.status_code, answer.json()["status"]))

    def in_order(self):
        """Without repetitions."""
        return [said for said, _ in itertools.groupby(self.heard)]


def test_told_to_end_it_says_so_asks_to_be_left_then_ends_and_no_request_is_lost(world, package):
    for _ in range(times(1, 10)):
        with serving(world) as (process, url, child), Load(url, clients=20) as load:
            with Readiness(url) as readiness:
                until(lambda: len(load.answered) > 50)
                process.send_signal(signal.SIGTERM)
                until(lambda: process.poll() is not None)
            assert process.returncode == 0
            until(lambda: gone(child))
        assert readiness.in_order() == [(200, "ready"), (503, "draining")]  # and only then nobody listened
        assert set(load.statuses()) == {200}
        assert any(one.headers.get("connection") == "close" for one in load.answered)
        assert load.refused == 20  # then nobody listened, and every client was told
        assert set(load.ids()) <= set(collected(world))


def test_a_killed_supervisor_takes_its_process_along(world, package):
    with serving(world) as (process, _, child):
        process.kill()
        process.wait()
        until(lambda: gone(child))


def resident(pid):
    """Megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_asked_for_ten_times_what_it_can_bear_it_answers_some_tells_the_others_and_does_not_grow(world, package):
    with supervisor.running(world.root, "tiny", "production") as service:
        child = service.serving.process.pid
        idle = flood(service.url, ROWS, times(2, 20), connections=1)
        able = flood(service.url, ROWS, times(2, 10), connections=4)
        before = resident(child)
        load = flood(service.url, ROWS, times(3, 30), connections=200, rate=10 * able.rate)
        grown = resident(child) / before
        after = flood(service.url, ROWS, 1, connections=1)
        assert service.serving.process.pid == child
    ratio = load.quantile(0.99) / idle.quantile(0.99)
    print(
        f"able {able.rate:.0f}/s, asked {load.asked / load.lasted:.0f}/s, answered {load.rate:.0f}/s; p99 idle "
        f"{idle.quantile(0.99):.4f} s, under load {load.quantile(0.99):.4f} s, {ratio:.1f}×; memory {grown:.2f}×"
    )
    assert set(load.statuses) == {"200", "429"}
    assert load.retry_after == ["1"]
    assert [set(run.statuses) for run in (idle, able, after)] == [{"200"}] * 3
    assert [run.lost for run in (idle, able, load, after)] == [0] * 4
    assert grown < 1.2
    answered = idle.predictions | able.predictions | load.predictions | after.predictions
    collected(world)
    stored = predictions.read(world.root, "production", "tiny")
    assert dict(zip(stored["prediction_id"], stored["prediction"], strict=True)) == answered
    assert not SOAK or ratio <= 3
