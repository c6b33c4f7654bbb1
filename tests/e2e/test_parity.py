"""A verb run as a call, and run by Prefect, leave the same rows in the ledger but for times."""

import json
import os
import subprocess
from datetime import timedelta

import httpx
import pytest

from console.demo.replay import Replayer
from console.processes import WORKSPACE, python
from flows import collect, ingest
from flows.pipeline import Window
from flows.serving import supervisor
from store import clock, ledger
from tests.soak import takes_minutes
from tests.worlds import NOW, copied

pytestmark = [pytest.mark.e2e, takes_minutes]
PIPELINE = "arrival_minutes"
VERBS = {
    "ingest": {},
    "explore": {"pipeline": "flight_delay"},
    "integrate": {"pipeline": PIPELINE},
    "deliver": {"pipeline": PIPELINE, "approve": True, "reason": "parity"},
    "train": {"pipeline": PIPELINE, "reason": "parity"},
    "collect": {"pipeline": "flight_delay"},
    "monitor": {"pipeline": "flight_delay"},
    "report": {"pipeline": "flight_delay"},
    "score": {"pipeline": PIPELINE},
    "maintain": {},
}
ALL = """
import json, sys
from console.cli.flows import ran
print(json.dumps({name: ran(name, **parameters) for name, parameters in json.loads(sys.argv[1]).items()}))
"""
"""The command line's way to run a flow, for all of them in one process: their imports are what takes long."""
TIMES = {"recorded_at", "store_time", "prev", "hash", "request", "seq"}
OWN = {"run", "by", "process", "due", "report", "window", "file", "bytes"}
"""Payload fields that name the run itself, or bytes that hold its times."""


@pytest.fixture(scope="module")
def lived(delivered, tmp_path_factory):
    """A root with a week of traffic in its spool and its store: something to do for every flow. Read it only."""
    root = copied(delivered, tmp_path_factory.mktemp("lived") / "root")

    def publish() -> None:
        ingest.run(root)
        collect.run(root, "flight_delay")

    with (
        supervisor.running(root, "flight_delay", "production") as service,
        Replayer(root, service.url, "flight_delay", Window(NOW, NOW + timedelta(days=7)), publish) as replayer,
    ):
        replayer.begin()
        replayer.until(NOW + timedelta(days=7), lambda _: None)
    return root


def said(root, env):
    """What each flow returned to the command line."""
    env = env | {"ASSAY_ROOT": str(root.path)}
    command = python("-c", ALL, json.dumps(VERBS))
    done = subprocess.run(command, env=env, cwd=WORKSPACE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def told(row):
    """A row without its times, and without what names its run."""
    fields = {
        name: value for name, value in vars(row).items() if name not in TIMES | {"actor", "payload", "body", "digest"}
    }
    return fields | {"body": {name: value for name, value in vars(row.body).items() if name not in OWN}}


def test_every_verb_writes_the_same_rows_with_and_without_prefect(lived, prefect, tmp_path):
    """The ten flows, on two copies of one root; those of the one are runs that Prefect knows."""
    env, _, _ = prefect
    plain, watched = copied(lived, tmp_path / "plain"), copied(lived, tmp_path / "watched")
    head = ledger.head(lived)
    without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    assert said(plain, without).keys() == said(watched, env).keys() == VERBS.keys()
    rows, rows_too = ([told(row) for row in ledger.rows(root)[head:]] for root in (plain, watched))
    assert [row["action"] for row in rows] == [row["action"] for row in rows_too]
    assert rows == rows_too
    assert {row.actor.partition(":")[0] for row in ledger.rows(watched)[head:]} >= {"prefect"}
    runs = httpx.post(env["PREFECT_API_URL"] + "/flows/filter", json={}, timeout=60).json()
    assert {one["name"] for one in runs} >= VERBS.keys()
    assert clock.now(plain) == clock.now(watched)


def test_a_prefect_that_does_not_answer_is_said_before_anything_is_begun(lived, tmp_path):
    """Exit code 4, and the way without it."""
    root = copied(lived, tmp_path / "root")
    env = os.environ | {"ASSAY_ROOT": str(root.path), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = subprocess.run(
        python("-m", "console.cli", "explore", PIPELINE),
        env=env,
        cwd=WORKSPACE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "unset PREFECT_API_URL" in " ".join(done.stderr.split())
    assert ledger.head(root) == ledger.head(lived)
