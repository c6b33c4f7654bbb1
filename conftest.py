"""Fixtures that more than one folder of tests shares: see ``tests/worlds.py``."""

pytest_plugins = ["tests.worlds"]
