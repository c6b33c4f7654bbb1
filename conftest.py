"""Fixtures that more than one folder of tests shares (see ``tests/worlds.py``), who runs beside whom, and which errors a run triggered."""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.nodeid import coerce_node_id

from tests import errors

pytest_plugins = ["tests.worlds", "tests.flows.checks.fixtures"]
EXPENSIVE = ("delivered",)
"""Worlds that take minutes to make: every test that stands on one, whatever fixtures lie between, runs in the process that made it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the group of a test into its id, where ``--dist loadgroup`` looks for it.

    xdist would do so itself, but writes to an attribute that pytest 9.2 does not read any more (3.8: ``item._nodeid``).
    """
    for item in items:
        for world in EXPENSIVE:
            if world in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(world))
        group = item.get_closest_marker("xdist_group")
        if group is not None and getattr(config.option, "loadgroup", False) and hasattr(item, "_id"):
            item._id = coerce_node_id(f"{item.nodeid}@{group.args[0]}")


# ---- every error is triggered ----------------------------------------------------------------------------------------

_reached: set[tuple[str, int]] = set()


def pytest_configure(config: pytest.Config) -> None:
    """Note who makes an error, in this process."""
    errors.watch(_reached)


def pytest_testnodedown(node: Any, error: object) -> None:
    """What another process of this run (xdist) reached."""
    _reached.update(map(tuple, getattr(node, "workeroutput", {}).get("errors", ())))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run of the whole suite fails where an error of ``docs/errors.md`` was triggered by no test."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["errors"] = sorted(_reached)
    elif _whole(session.config) and (missed := errors.missed(_reached)):
        session.exitstatus = exitstatus or pytest.ExitCode.TESTS_FAILED
        print("\nNo test triggers these errors:", *missed, sep="\n  ")


def _whole(config: pytest.Config) -> bool:
    chosen = config.option.keyword or config.option.markexpr or getattr(config.option, "lf", False)
    return not chosen and not config.option.collectonly and config.args == config.getini("testpaths")
