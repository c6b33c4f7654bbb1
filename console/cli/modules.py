"""Modules that a verb needs only when it is called: importing them all would make ``assay --help`` take seconds."""

from __future__ import annotations

import importlib
import os
from typing import Any


def load(name: str) -> Any:
    """A module, imported now."""
    return importlib.import_module(name)


def flow(name: str) -> Any:
    """A module of ``flows``, imported now."""
    return load(f"flows.{name}")


def prefect_url() -> str:
    """Where Prefect's API is, empty where flows run as plain calls."""
    return os.environ.get("PREFECT_API_URL", "")


def actor() -> str:
    """Who acts, for the ledger."""
    found: str = flow("orchestration").actor()
    return found
