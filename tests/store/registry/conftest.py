"""One race of four processes, looked at by several tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from store.layout import Root
from store.registry import dues
from tests.conftest import NOW
from tests.store.registry import made, racer


@dataclass(frozen=True)
class Race:
    """The root after it, and what each process did and saw."""

    root: Root
    did: list[dict[str, Any]]


@pytest.fixture(scope="session")
def race(tmp_path_factory: pytest.TempPathFactory) -> Race:
    root = Root.open(tmp_path_factory.mktemp("race") / "root")
    for number in range(racer.DUES):
        dues.open_due(
            root, f"due {number:08d}", pipeline=f"{made.PIPELINE}_{number}", environment=made.ENVIRONMENT, kinds=["hand"],
            reasons=["By hand."], window_end=NOW, champion=None, actor="ada", now=NOW,
        )  # fmt: skip
    return Race(root, racer.race(root, ["ann", "ben", "cat", "dan"], "register"))
