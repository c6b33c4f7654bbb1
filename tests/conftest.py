"""What every test may ask for: an empty root, and one fixed instant."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from store.layout import Root

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # else idle OpenMP threads spin, and the tests take turns with them

NOW = datetime(2013, 4, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_root_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_ROOT", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root.open(tmp_path / "root")
