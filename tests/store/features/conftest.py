"""A fresh root a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.layout import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root.open(tmp_path / "root")
