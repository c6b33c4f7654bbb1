"""Prefect's automation, not our code, starts the training that a due asks for; the service swaps under traffic."""

import json
import os
import signal
import subprocess
from datetime import timedelta

import httpx
import pytest
import yaml

from console import prefect_server
from console.demo.replay import Replayer
from console.processes import WORKSPACE, answers, free_port, python, wait_for
from flows.pipeline import Window
from store import clock, ledger
from store.registry import dues, models
from tests.worlds import NOW

pytestmark = pytest.mark.e2e
PIPELINE = "flight_delay"
EMIT = "from flows import monitor; from store.layout import Root; monitor.notify(Root.open(), 'flight_delay', 'production')"


def run(env, *words: str) -> str:
    """A command of ours under the test's Prefect."""
    return subprocess.run(
        python(*words), env=env, cwd=WORKSPACE, check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_every_flow_is_a_deployment_with_description_tags_and_limit(prefect):
    """`prefect deploy --all` of a clone, as it stands."""
    env, _, _ = prefect
    declared = yaml.safe_load((WORKSPACE / "prefect.yaml").read_text())["deployments"]
    found = {
        one["entrypoint"]: one
        for one in httpx.post(env["PREFECT_API_URL"] + "/deployments/filter", json={}, timeout=120).json()
    }
    assert found.keys() == {one["entrypoint"] for one in declared}
    assert all(one["description"] and one["tags"] and one["concurrency_options"] for one in found.values())


@pytest.fixture(scope="module")
def trained(prefect):
    """A due opened and its event sent, while questions go on until the due is closed: the due, and what was answered."""
    env, root, processes = prefect
    port = free_port()
    processes.start("service", python("-m", "console.cli", "serve", PIPELINE, "--port", str(port)), env)
    url = f"http://127.0.0.1:{port}"
    wait_for("the service", answers(url + "/health"), processes)
    champion = models.champion(root, PIPELINE, "production")
    due = dues.open_due(
        root, "a" * 64, pipeline=PIPELINE, environment="production", kinds=["drift"], reasons=["a test says so"],
        window_end=NOW, champion=champion.digest, actor="test", now=clock.now(root),
    )  # fmt: skip
    run(env, "-c", EMIT)
    with Replayer(root, url, PIPELINE, Window(NOW, NOW + timedelta(days=1)), publish=lambda: None) as replayer:

        def closed():
            replayer.probe()
            found = dues.get(root, due.id)
            return found if found.closed else None

        found = wait_for("the automation's run", closed, processes, 240)
    processes.stop("service")
    return found, replayer.traffic


def test_a_due_in_the_ledger_is_trained_by_the_automation_while_the_service_answers(trained):
    """Event → automation → train: the due is claimed by an automation's run and closed; no request fails meanwhile."""
    found, traffic = trained
    assert found.claimed.body.by == "automation"
    assert found.claimed.actor.startswith("prefect:")
    assert found.closed.body.outcome == "kept"
    assert sum(traffic.models.values()) > 0
    assert traffic.failed == 0


def test_the_same_event_again_trains_nothing(prefect):
    """A forged event for a due that nobody opened starts a run that finds nothing to do."""
    env, root, processes = prefect
    registered = len(models.listed(root, PIPELINE))
    payload = {"pipeline": PIPELINE, "environment": "production", "due": "f" * 64}
    run(env, "-c", f"from flows.orchestration import emit; emit('assay.retraining.due', '{PIPELINE}', {payload})")

    def finished():
        body = {
            "sort": "START_TIME_DESC",
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
        }
        runs = httpx.post(env["PREFECT_API_URL"] + "/flow_runs/filter", json=body, timeout=120).json()
        return next((one for one in runs if one["parameters"].get("due") == "f" * 64), None)

    ended = wait_for("the forged event's run", finished, processes, 120)
    assert ended["state"]["type"] == "COMPLETED"
    assert ended["created_by"]["type"] == "AUTOMATION"
    assert len(models.listed(root, PIPELINE)) == registered


def test_steps_and_artifacts_are_seen_in_prefects_ui(prefect, trained):
    """The training's steps were tasks of its run, and its report is an artifact."""
    env, _, _ = prefect
    tasks = httpx.post(env["PREFECT_API_URL"] + "/task_runs/filter", json={"limit": 200}, timeout=120).json()
    assert {"claim", "build", "register", "compare"} <= {one["name"].rpartition("-")[0] for one in tasks}
    artifacts = httpx.post(env["PREFECT_API_URL"] + "/artifacts/filter", json={}, timeout=120).json()
    assert any(one["key"] == "flight-delay-training" for one in artifacts), json.dumps(artifacts)[:300]


def test_a_training_whose_server_was_killed_is_finished_or_begun_again(prefect):
    """Whatever becomes of its run, the due ends once: by that run, or by the next one that the monitor's event starts."""
    env, root, processes = prefect
    before = len(dues.listed(root, "arrival_minutes"))
    start = "from flows.orchestration import start_deployment; start_deployment('train', {'pipeline': 'arrival_minutes', 'reason': 'e2e'})"
    run(env, "-c", start)

    def due():
        return next(iter(dues.listed(root, "arrival_minutes")[before:]), None)

    wait_for("the run's claim", lambda: due() and due().claimed, processes, 120)
    server = processes.running.pop("prefect-server")
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    prefect_server.serve(processes, env, int(env["PREFECT_SERVER_API_PORT"]))

    def ended():
        if dues.waiting(root, "arrival_minutes", "production"):
            run(env, "-c", EMIT.replace(PIPELINE, "arrival_minutes"))
        return due().closed

    closed = wait_for("the training's end", ended, processes, 300)
    assert closed.body.outcome == "kept"
    assert len(dues.listed(root, "arrival_minutes")) == before + 1
    assert ledger.verify(root) == ledger.head(root)
