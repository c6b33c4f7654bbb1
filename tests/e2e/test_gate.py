"""The gate on a real Prefect: every verdict is a task of its own, on whatever runner the flow has."""

import json
import subprocess
import sys

import httpx
import pytest

pytestmark = pytest.mark.e2e

ON_DASK = """
import json
from distributed import Client, LocalCluster
from prefect_dask import DaskTaskRunner
from flows.prove import prove

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        on_dask = prove.with_options(task_runner=DaskTaskRunner(address=cluster.scheduler_address))
        found = on_dask("arrival_minutes", faults=["F09", "F10", "F12", "F13"])
        done = client.run(lambda dask_worker: dask_worker.state.executed_count)
    print(json.dumps({"found": found, "done": list(done.values())}))
"""


def test_on_two_workers_of_dask_the_verdicts_are_the_same_and_prefect_shows_each_as_a_task(prefect, tmp_path):
    """Asked for by processes that hold neither the data nor the pipeline."""
    environment, _, _ = prefect
    script = tmp_path / "on_dask.py"
    script.write_text(ON_DASK)
    ran = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    found = told["found"]
    fates = {one["code"]: one["fate"] for one in found["faults"]}
    assert [one["verdict"] for one in found["checks"]] == ["PASS"]
    assert fates == {"F09": "KILLED", "F10": "KILLED", "F12": "N/A", "F13": "N/A"}
    assert len(told["done"]) == 2
    assert min(told["done"]) >= 1  # both workers had a part in it
    tasks = tasks_of(environment["PREFECT_API_URL"])
    names = {f"{one['code']} {one['title']}" for one in (*found["checks"], *found["faults"])}
    assert names <= {task["name"] for task in tasks if task["state_name"] == "Completed"}


def tasks_of(api):
    """The newest task runs that Prefect knows."""
    asked = httpx.post(f"{api}/task_runs/filter", json={"sort": "EXPECTED_START_TIME_DESC", "limit": 50}, timeout=30)
    return asked.raise_for_status().json()
