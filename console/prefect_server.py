"""Prefect on this machine: server, work pool, deployments, worker. All of it on 127.0.0.1, none of it phoning home."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from console.processes import WORKSPACE, Processes, answers, python, wait_for
from store.errors import Unreachable

POOL = "assay"


def environment(home: Path, port: int, root: Path) -> dict[str, str]:
    """The environment of every process that belongs to this Prefect: server, worker, runs, console."""
    return dict(os.environ) | {
        "ASSAY_ROOT": str(root),
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_DEFAULT_WORK_POOL_NAME": POOL,
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def start_server(processes: Processes, env: Mapping[str, str], port: int) -> None:
    """Start it; ``ready`` says when it answers (16 s and more on a fresh database)."""
    words = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    processes.start("prefect-server", python(*words), env)


def ready(processes: Processes, env: Mapping[str, str]) -> None:
    """Wait until the server answers."""
    wait_for("Prefect's server", answers(env["PREFECT_API_URL"] + "/health"), processes)


def start_worker(processes: Processes, env: Mapping[str, str], pool: str = POOL) -> None:
    """A process worker of our pool. Runs are started with this interpreter, once: the default command starts Python twice."""
    template = Path(env["PREFECT_HOME"]) / "pool.json"
    template.write_text(json.dumps(_template(python()[0])))
    _prefect(env, "work-pool", "create", pool, "--type", "process", "--base-job-template", str(template), "--overwrite")
    processes.start("prefect-worker", python("-m", "prefect", "worker", "start", "--pool", pool, "--limit", "2"), env)


def deploy(env: Mapping[str, str]) -> None:
    """``prefect deploy --all`` of the workspace, as it stands."""
    _prefect(env, "--no-prompt", "deploy", "--all")


def pause_schedules(env: Mapping[str, str]) -> None:
    """No scheduled run of its own accord: a simulated root goes by its replayer's clock."""
    _prefect(env, "deployment", "schedule", "pause", "--all")


def _template(interpreter: str) -> dict[str, object]:
    properties = {
        "command": {"type": "string", "title": "Command", "default": f"{interpreter} -m prefect.engine"},
        "env": {
            "type": "object",
            "title": "Environment",
            "default": {},
            "additionalProperties": {"type": ["string", "null"]},
        },
        "labels": {"type": "object", "title": "Labels", "default": {}, "additionalProperties": {"type": "string"}},
        "name": {"type": ["string", "null"], "title": "Name", "default": None},
        "stream_output": {"type": "boolean", "title": "Stream output", "default": True},
        "working_dir": {"type": ["string", "null"], "title": "Working directory", "default": None},
    }
    configuration = {name: f"{{{{ {name} }}}}" for name in properties}
    return {"job_configuration": configuration, "variables": {"type": "object", "properties": properties}}


def _prefect(env: Mapping[str, str], *words: str) -> None:
    done = subprocess.run(python("-m", "prefect", *words), env=dict(env), cwd=WORKSPACE, capture_output=True, text=True)
    if done.returncode:
        raise Unreachable(
            f"`prefect {' '.join(words)}` failed.",
            "\n".join((done.stdout + done.stderr).splitlines()[-8:]),
            "Mend what it says, and run it again.",
        )
