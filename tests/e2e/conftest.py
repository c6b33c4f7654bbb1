"""A real Prefect server with a worker and our deployments, once a session."""

from __future__ import annotations

import pytest

from console import prefect_server
from console.processes import Processes, free_port
from tests.worlds import copied


@pytest.fixture(scope="session")
def prefect(delivered, tmp_path_factory):
    """(environment, root, processes) of a running Prefect whose workers have a copy of ``delivered`` as their root."""
    home = tmp_path_factory.mktemp("prefect")
    root = copied(delivered, home / "root")
    port = free_port()
    env = prefect_server.environment(home, port, root.path)
    with Processes(home / "logs") as processes:
        prefect_server.start(processes, env, port)
        yield env, root, processes
