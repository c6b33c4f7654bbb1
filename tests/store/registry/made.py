"""Payloads to record in a test: the golden ones, with what matters changed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from store import actions, blobs
from store.actions import ModelRegistered, PackagePublished
from store.layout import Root
from store.ledger import Row
from store.registry import aliases
from store.registry.models import Model, register
from store.registry.packages import Package, publish
from tests.conftest import NOW

_GOLDEN = json.loads((Path(__file__).parents[1] / "golden_ledger.json").read_text())
PIPELINE, ENVIRONMENT = "flights", "production"


def body(action: str, **changes: Any) -> Any:
    *_, stored = [row["payload"] for row in _GOLDEN if row["action"] == action]
    return dataclasses.replace(actions.payload(action, json.loads(stored)), **changes)


def package(root: Root, version: str, wheel: bytes = b"", pipeline: str = PIPELINE, **given: Any) -> Package:
    asked = {"actor": "ada", "now": NOW, **given}
    found: PackagePublished = body("package.published", version=version)
    return publish(root, pipeline, wheel or f"wheel {version}".encode(), found, **asked)


def model(root: Root, version: str, data: bytes = b"", environment: str = ENVIRONMENT, **given: Any) -> Model:
    asked = {"actor": "ada", "now": NOW, **given}
    lineage = {"package": asked.pop("package")} if "package" in asked else {}
    found: ModelRegistered = body("model.registered", version=version, **lineage)
    return register(root, PIPELINE, environment, data or f"model {version}".encode(), found, **asked)


def move(root: Root, name: str, expected: str | None, alias: str = aliases.CHAMPION, **given: Any) -> Row:
    """Point an alias at the digest of a name, if it points at ``expected`` (a name too)."""
    asked = {
        "action": "package.delivered" if alias == aliases.DEPLOYED else "model.promoted",
        "pipeline": PIPELINE, "environment": ENVIRONMENT, "actor": "ada", "now": NOW, "reason": f"{name} is better.",
        "digest": digest(name), "label": name, "expected": None if expected is None else digest(expected), **given,
    }  # fmt: skip
    return aliases.move(root, alias=alias, **asked)


def digest(name: str) -> str:
    return blobs.digest(name.encode())
