"""What up and down say when they cannot do it. That they do is in ``tests/e2e/test_up``."""

import json
import subprocess

import pytest

from console import up
from console.processes import Processes, free_port, python
from store import process
from store.errors import Conflict, Unreachable

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@pytest.fixture
def ports():
    return {name: free_port() for name in ("prefect", "console", "service")}


def test_a_root_that_is_up_is_not_started_again_and_its_places_are_told(root, ports):
    """Its keeper lives: this process, which says so as a keeper does."""
    with Processes(root.path / "logs") as processes:
        urls = {"Prefect": "http://127.0.0.1:4200", "console": "http://127.0.0.1:8501"}
        up.Keeper(root, ports, processes, {}, urls=urls).tell(ready=True)
    with pytest.raises(Conflict) as refused:
        up.start(root, ports)
    assert refused.value.asked == f"{root.path} is up already."
    assert refused.value.exists == "Prefect at http://127.0.0.1:4200, console at http://127.0.0.1:8501."
    assert refused.value.remedy == "`assay down` stops it."


def test_a_root_that_does_not_come_up_is_said_with_its_keepers_last_words(root, ports):
    """A file lies where Prefect's home has to be, so the keeper dies as soon as it begins; nothing is left to stop."""
    (root.path / "prefect").write_text("")
    with pytest.raises(Unreachable) as refused:
        up.start(root, ports)
    assert refused.value.asked == f"{root.path} does not come up."
    assert f"FileExistsError: [Errno 17] File exists: '{root.path / 'prefect'}'" in refused.value.exists
    assert refused.value.remedy == f"Its logs lie in {root.path / 'logs'}."
    assert up.stop(root) is False


def test_a_keeper_that_does_not_end_is_said_with_how_long_it_was_waited_for(root):
    """A process that hears no SIGTERM."""
    with subprocess.Popen(python("-c", DEAF), stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout.readline() == "deaf\n"
        told = {"process": process.identity(keeper.pid), "ready": True, "urls": {}}
        (root.path / "up.json").write_text(json.dumps(told))
        with pytest.raises(Unreachable) as refused:
            up.stop(root, patience_s=0.2)
        assert keeper.poll() is None
        keeper.kill()
    assert refused.value.asked == f"{root.path} does not go down."
    assert (refused.value.exists, refused.value.remedy) == ("Waited 0 s.", f"Logs: {root.path / 'logs'}.")
