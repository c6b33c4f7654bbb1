"""One root and one clean world for all checks; nothing writes to either."""

from __future__ import annotations

import pytest

from flows.checks.world import World
from store.layout import Root
from tests.flows.checks import shop


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return shop.root(tmp_path_factory.mktemp("shops"))


@pytest.fixture(scope="session")
def clean(shops: Root) -> World:
    return shop.world(shops)


@pytest.fixture(scope="session")
def minutes(shops: Root) -> World:
    return shop.world(shops, shop.MINUTES)
