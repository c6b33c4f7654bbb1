"""Fixtures that more than one folder of tests shares (see ``tests/worlds.py``), and who runs beside whom."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.worlds"]
EXPENSIVE = ("delivered",)
"""Worlds that take minutes to make: every test that stands on one, whatever fixtures lie between, runs in the process that made it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them before xdist, which writes the mark into the test's id, looks."""
    for item in items:
        for world in EXPENSIVE:
            if world in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(world))
