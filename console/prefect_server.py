"""Prefect on this machine: server, work pool, deployments, worker. All of it on 127.0.0.1, none of it phoning home."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from console.processes import Processes, answers, python, wait_for

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


def start(processes: Processes, env: Mapping[str, str], port: int, *, live: bool = False) -> None:
    """Server, work pool, deployments and worker; unless ``live``, schedules are paused: a simulated root goes by its replayer's clock.

    Returns when all of it is up: half a minute on a fresh database.
    """
    serve(processes, env, port)
    create_pool(processes, env)
    processes.start("prefect-worker", worker(), env)
    _prefect(processes, env, "--no-prompt", "deploy", "--all")
    if not live:
        _prefect(processes, env, "deployment", "schedule", "pause", "--all")


def serve(processes: Processes, env: Mapping[str, str], port: int) -> None:
    """The server alone; returns when it answers."""
    processes.start("prefect-server", command(port), env)
    wait_for("Prefect's server", answers(env["PREFECT_API_URL"] + "/health"), processes)


def command(port: int) -> list[str]:
    """The command that serves Prefect on a port of 127.0.0.1."""
    return python("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))


def worker() -> list[str]:
    """The command of a worker of our pool: SQLite bears two runs at once."""
    return python("-m", "prefect", "worker", "start", "--pool", POOL, "--limit", "2")


def create_pool(processes: Processes, env: Mapping[str, str]) -> None:
    """A process pool. Runs are started with this interpreter, once: the default command starts Python twice."""
    template = Path(env["PREFECT_HOME"]) / "pool.json"
    template.write_text(json.dumps(_template(python()[0])))
    options = ("--type", "process", "--base-job-template", str(template), "--overwrite")
    _prefect(processes, env, "work-pool", "create", POOL, *options)


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


def _prefect(processes: Processes, env: Mapping[str, str], *words: str) -> None:
    processes.finish(
        "-".join(("prefect", *(word for word in words[:3] if word.isalpha()))), python("-m", "prefect", *words), env
    )
