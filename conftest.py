"""Fixtures that more than one folder of tests shares (see ``tests/worlds.py``), and who runs beside whom."""

from __future__ import annotations

import pytest
from _pytest.nodeid import coerce_node_id

pytest_plugins = ["tests.worlds"]
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
