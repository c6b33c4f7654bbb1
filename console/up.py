"""All of one root, started together and kept running: Prefect's server and worker, the deployments, services, console.

``start`` leaves a keeper behind, a process of its own; it starts again what dies, and ends all of it when it is told to. What
is running is said in ``<root>/up.json``: the keeper's identity and where each thing answers. Logs lie in ``<root>/logs``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console import prefect_server, server
from console.processes import WORKSPACE, Processes, answers, python, refuse_taken
from store import process
from store.errors import AssayError, Conflict, Unreachable
from store.layout import Root, write_atomically
from store.registry import packages

PATIENCE_S = 180.0
LOOK_S = 0.5
BACKOFF_S = (0.0, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Before the n-th start in a row; who lived for a minute begins at nothing again."""


def start(root: Root, ports: Mapping[str, int]) -> dict[str, str]:
    """Start everything and return where it answers. Conflict when this root is up already; InvalidInput when a port is taken."""
    if (running := _running(root)) is not None:
        raise Conflict(f"{root.path} is up already.", _places(running["urls"]), "`assay down` stops it.")
    refuse_taken(ports)
    logs = root.path / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (root.path / "up.json").unlink(missing_ok=True)
    with open(logs / "up.log", "wb") as log:
        keeper = subprocess.Popen(
            python("-m", "console.up", str(root.path), json.dumps(dict(ports))),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=WORKSPACE, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_S
    while (running := _running(root)) is None or not running["ready"]:
        if keeper.poll() is not None or time.monotonic() > deadline:
            last = "\n".join((logs / "up.log").read_text(errors="replace").splitlines()[-8:])
            keeper.terminate()
            raise Unreachable(f"{root.path} does not come up.", last, f"Its logs lie in {logs}.")
        time.sleep(LOOK_S)
    return dict(running["urls"])


def stop(root: Root, patience_s: float = 60) -> bool:
    """End the keeper and all it started; False when nothing was up."""
    running = _running(root)
    if running is None:
        return False
    os.kill(int(running["process"].split("/")[3]), signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while not process.ended(running["process"]):
        if time.monotonic() > deadline:
            raise Unreachable(
                f"{root.path} does not go down.", f"Waited {patience_s:.0f} s.", f"Logs: {root.path / 'logs'}."
            )
        time.sleep(0.1)
    return True


@dataclass
class Keeper:
    """What should run, and how often it had to be started in a row."""

    root: Root
    ports: Mapping[str, int]
    processes: Processes
    env: Mapping[str, str]
    tries: dict[str, int] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Start all, then look again and again."""
        prefect_server.start(self.processes, self.env, self.ports["prefect"], live=True)
        for name in ("prefect-server", "prefect-worker"):
            self.since[name] = time.monotonic()
        self.urls = {
            "Prefect": f"http://127.0.0.1:{self.ports['prefect']}",
            "console": f"http://127.0.0.1:{self.ports['console']}",
        }
        self.tell(ready=False)
        while True:
            for name, command in self.wanted().items():
                self.look(name, command)
            self.tell(ready=all(answers(url)() for url in self._healths()))
            time.sleep(LOOK_S)

    def wanted(self) -> dict[str, list[str]]:
        """The commands of what should run now, services of what is in production among them."""
        found = {
            "prefect-server": prefect_server.command(self.ports["prefect"]),
            "prefect-worker": prefect_server.worker(),
            "console": server.command(self.ports["console"]),
        }
        for pipeline in packages.delivered(self.root, "production"):
            name = f"service of {pipeline}"
            if name not in self.urls:
                known = sum(other.startswith("service of") for other in self.urls)
                self.urls[name] = f"http://127.0.0.1:{self.ports['service'] + known}"
            port = self.urls[name].rpartition(":")[2]
            found[name] = python("-m", "console.cli", "serve", pipeline, "--port", port)
        return found

    def look(self, name: str, command: list[str]) -> None:
        """Start what does not run, after a while that grows with every death in a row."""
        running = self.processes.running.get(name)
        if running is not None and running.poll() is None:
            return
        now, began = time.monotonic(), self.since.get(name)
        if began is not None and now - began > 60:
            self.tries[name] = 0
        tries = self.tries.get(name, 0)
        if began is not None and now - began < BACKOFF_S[min(tries, len(BACKOFF_S) - 1)]:
            return
        if running is not None:
            print(f"{name} ended with code {running.returncode}; it is started again", flush=True)
            self.processes.stop(name)
        self.tries[name], self.since[name] = tries + 1, now
        self.processes.start(name, command, self.env, keep_log=True)

    def tell(self, *, ready: bool) -> None:
        """Say in the root what runs where."""
        said: dict[str, Any] = {"process": process.identity(), "ready": ready, "urls": self.urls}
        said["pids"] = {name: running.pid for name, running in self.processes.running.items()}
        text = json.dumps(said, indent=2).encode()
        path = self.root.path / "up.json"
        if not path.exists() or path.read_bytes() != text:
            write_atomically(path, text)

    def _healths(self) -> list[str]:
        """What is asked whether it is there. A service without a model yet answers 503, and is no reason to wait."""
        return [f"{self.urls['Prefect']}/api/health", f"{self.urls['console']}/_stcore/health"]


def _running(root: Root) -> dict[str, Any] | None:
    """What ``up.json`` says, if its keeper lives."""
    try:
        said: dict[str, Any] = json.loads((root.path / "up.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return None if process.ended(said["process"]) else said


def _places(urls: Mapping[str, str]) -> str:
    return ", ".join(f"{name} at {url}" for name, url in urls.items()) + "."


def main(root: Root, ports: Mapping[str, int]) -> None:
    """The keeper."""
    home = root.path / "prefect"
    home.mkdir(exist_ok=True)
    env = prefect_server.environment(home, ports["prefect"], root.path)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Processes(root.path / "logs") as processes:
        try:
            Keeper(root, ports, processes, env).run()
        except KeyboardInterrupt:
            pass  # told to end: the block ends all of it
        except AssayError as error:
            print(error, flush=True)
    (root.path / "up.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Root.open(Path(sys.argv[1])), json.loads(sys.argv[2]))
