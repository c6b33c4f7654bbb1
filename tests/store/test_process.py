"""A process is known again by its identity, and another one that has its number is not it."""

import subprocess
import sys

import pytest

from store import process


def test_this_process_has_not_ended():
    assert process.identity() == process.identity()
    assert not process.ended(process.identity())


def test_a_process_that_was_killed_has_ended_before_and_after_its_parent_hears_of_it():
    """Its number is still taken until then."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = process.identity(child.pid)
    assert not process.ended(told)
    child.kill()
    while process._state(child.pid) not in ("Z", "X"):
        pass
    assert process.ended(told)
    child.communicate()
    assert process.ended(told)


@pytest.mark.parametrize(
    ("part", "other", "ended"),
    [
        (0, "another-machine", False),
        (1, "another-boot", True),
        (2, "another-namespace", False),
        (4, "1", True),
    ],
)
def test_what_is_told_of_another_process_is_only_what_is_certain(part, other, ended):
    """The same number begun at another moment is another process; another machine's cannot be seen from here."""
    parts = process.identity().split("/")
    parts[part] = other
    assert process.ended("/".join(parts)) is ended


@pytest.mark.parametrize("told", ["", "7", "a/b/c/d"])
def test_nothing_is_told_of_what_is_no_identity(told):
    assert not process.ended(told)


def test_where_the_system_tells_nothing_nothing_has_ended(monkeypatch, tmp_path):
    told = process.identity()
    monkeypatch.setattr(process, "PROC", tmp_path)
    assert process.identity() == ""
    assert not process.ended(told)
