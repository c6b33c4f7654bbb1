"""Roots made once a session, and copies of them for who writes: six weeks of flights, and the bakeries."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import ingest
from store import clock
from store.layout import Root
from tests.flows.building import filled


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A simulated root with the archive from January to 15 February 2013. Read it only."""
    root = Root.open(tmp_path_factory.mktemp("flights") / "root")
    clock.move(root, datetime(2013, 2, 15, tzinfo=UTC))
    ingest.run(root, start=datetime(2013, 1, 1, tzinfo=UTC))
    return root


@pytest.fixture
def flights_copy(flights: Root, tmp_path: Path) -> Root:
    """A copy of ``flights`` to write into."""
    shutil.copytree(flights.path, tmp_path / "flights")
    return Root.open(tmp_path / "flights")


@pytest.fixture(scope="session")
def bakery(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The bakeries of ``tests.flows.building``, six days of them. Read it only."""
    return filled(Root.open(tmp_path_factory.mktemp("bakery") / "root"))


@pytest.fixture
def bakery_copy(bakery: Root, tmp_path: Path) -> Root:
    """A copy of ``bakery`` to write into."""
    shutil.copytree(bakery.path, tmp_path / "bakery")
    return Root.open(tmp_path / "bakery")
