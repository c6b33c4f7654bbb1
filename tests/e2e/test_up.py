"""All of a root, up and down: what dies is started again, and nothing is left behind."""

import json
import os
import signal
import subprocess
import time

import httpx
import pytest

from console.processes import WORKSPACE, free_port, python
from store import process
from tests.soak import takes_minutes
from tests.worlds import copied

pytestmark = [pytest.mark.e2e, takes_minutes]


@pytest.fixture
def assay(delivered, tmp_path):
    """The command line on a root of its own, and where that root is."""
    root = copied(delivered, tmp_path / "root")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")} | {
        "ASSAY_ROOT": str(root.path)
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = python("-m", "console.cli", *words)
        return subprocess.run(command, env=env, cwd=WORKSPACE, capture_output=True, text=True, timeout=240)

    yield root, run
    run("down")


def until(ready, seconds=120):
    """What ``ready`` gives as soon as it gives anything."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, "waited in vain"
    return found


def answers(url):
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_root_goes_up_keeps_running_and_goes_down(assay):
    """Server, worker, both services and the console answer; a killed service and a killed server come back; then all of it is gone."""
    root, run = assay
    ports = [f"--{name}-port={free_port()}" for name in ("console", "prefect", "service")]
    first = run("up", *ports, "-o", "json")
    assert first.returncode == 0, first.stderr
    places = {one["what"]: one["where"] for one in json.loads(first.stdout)}
    assert places.keys() == {"Prefect", "console", "service of flight_delay", "service of arrival_minutes"}
    again = run("up", *ports)
    assert (again.returncode, again.stdout) == (2, "")
    assert "is up already" in " ".join(again.stderr.split())
    service = places["service of flight_delay"] + "/health"
    until(lambda: answers(service))
    told = json.loads((root.path / "up.json").read_text())
    for name in ("service of flight_delay", "prefect-server"):
        os.kill(told["pids"][name], signal.SIGKILL)

    def restarted():
        pids = json.loads((root.path / "up.json").read_text())["pids"]
        return all(pids[name] != told["pids"][name] for name in ("service of flight_delay", "prefect-server"))

    until(restarted)
    until(lambda: answers(service) and answers(places["Prefect"] + "/api/health"))
    last = json.loads((root.path / "up.json").read_text())
    alive = [last["process"], *map(process.identity, last["pids"].values())]
    assert not any(map(process.ended, alive))
    assert run("down").returncode == 0
    assert all(map(process.ended, alive))
    assert not any(answers(url) for url in places.values())
    assert "Nothing of this root was up" in run("down").stdout
