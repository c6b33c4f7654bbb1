"""Fixtures that more than one folder of tests shares (``tests/worlds.py``), and who runs beside whom."""

import pytest

pytest_plugins = ["tests.worlds"]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the delivered world run in one process of ``-n 2``, so that it is made once."""
    for item in items:
        if "delivered" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("delivered"))
