"""Processes of ours are waited for on conditions, and end for certain."""

import os
import socket

import pytest

from console.processes import Processes, free_port, python, refuse_taken, wait_for
from store.errors import InvalidInput, Unreachable

ENV = dict(os.environ)
CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_leaving_the_block_ends_a_process_and_its_children(tmp_path):
    """Even children that were not told."""
    with Processes(tmp_path) as processes:
        processes.start("parent", python("-c", CHILD), ENV)
        pid = int(wait_for("the child", lambda: (tmp_path / "parent.log").read_text().strip() or None, processes, 30))
        parent = processes.running["parent"].pid
        assert alive(pid)
    assert not alive(parent)
    wait_for("the child's end", lambda: True if not alive(pid) else None, Processes(tmp_path), 10)


def test_a_process_that_died_is_told_with_its_last_words(tmp_path):
    """Waiting ends at once, not at the deadline."""
    with Processes(tmp_path) as processes:
        processes.start("server", python("-c", "raise SystemExit('no such database')"), ENV)
        with pytest.raises(Unreachable, match="no such database"):
            wait_for("the server", lambda: None, processes, 30)


def test_waiting_has_a_deadline(tmp_path):
    """The error names what was waited for."""
    with pytest.raises(Unreachable, match="Waited 0 s for Godot"):
        wait_for("Godot", lambda: None, Processes(tmp_path), 0.2)


def test_a_taken_port_is_named_with_the_option_that_changes_it():
    """Nothing was started yet."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InvalidInput, match=rf"Port {port} on 127\.0\.0\.1 is taken; console .* --console-port"):
            refuse_taken({"console": port})
    refuse_taken({"console": free_port()})


def test_an_errand_may_end_and_one_that_fails_is_told_with_its_last_words(tmp_path):
    """What is meant to end is no death of a service."""
    with Processes(tmp_path) as processes:
        processes.finish("deploy", python("-c", "print('deployed')"), ENV)
        processes.check()
        with pytest.raises(Unreachable, match=r"(?s)failed with code 3.*no such pool"):
            processes.finish("deploy", python("-c", "print('no such pool'); raise SystemExit(3)"), ENV)


def test_after_the_block_was_left_nothing_starts_any_more(tmp_path):
    """A thread that has not heard of the end yet leaves nothing behind."""
    with Processes(tmp_path) as processes:
        pass
    with pytest.raises(Unreachable, match="was not started"):
        processes.start("late", python("-c", "import time; time.sleep(600)"), ENV)
    assert processes.running == {}
