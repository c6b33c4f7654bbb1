"""One root, one neighbour and a clean world of either kind for all checks and faults; nothing writes to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.checks.elsewhere import Neighbour
from flows.checks.world import World
from store.layout import Root
from tests.flows.checks import shop


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The shops' facts and moods. Read it only."""
    return shop.root(tmp_path_factory.mktemp("shops"))


@pytest.fixture(scope="session")
def next_door() -> Iterator[Path]:
    """The other process that K09 asks, started once."""
    with Neighbour() as neighbour:
        yield neighbour.address


@pytest.fixture(scope="session")
def clean(shops: Root, next_door: Path) -> World:
    """A classification that every check passes."""
    return shop.world(shops).but(neighbour=next_door)


@pytest.fixture(scope="session")
def minutes(shops: Root, next_door: Path) -> World:
    """A regression that every check passes."""
    return shop.world(shops, shop.MINUTES).but(neighbour=next_door)
