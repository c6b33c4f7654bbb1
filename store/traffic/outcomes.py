"""What became of it: one row an outcome that an application reported, late and in parts as they come.

Columns: ``outcome_id`` str; ``received_at`` (store time) and ``recorded_at`` (wall clock) Datetime[us, UTC];
``prediction_id`` str, null where the outcome names the key fields instead; the request's key fields and the outcome's
fields in their declared dtypes, null where this report does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from store import tables
from store.layout import Root
from store.traffic import fields
from store.traffic.fields import TIME

KIND = "outcome"
_FIXED: dict[str, pl.DataType] = {
    "outcome_id": pl.String(), "received_at": TIME, "recorded_at": TIME, "prediction_id": pl.String(),
}  # fmt: skip


def path(root: Root, environment: str, pipeline: str) -> Path:
    """Where the table lies."""
    return root.traffic(environment, pipeline, "outcomes")


def schema(manifest: Mapping[str, Any]) -> pl.Schema:
    """The table for a pipeline's manifest. InvalidInput: a field whose dtype or name no table can hold."""
    return pl.Schema({**_FIXED, **fields.typed(declared(manifest), tuple(_FIXED), "outcome")})


def declared(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What an outcome may say: the key fields of the request, and the outcome's own, with their dtypes as text."""
    return {name: manifest["request"][name] for name in manifest["key"]} | dict(manifest["outcome"])


def read(
    root: Root, environment: str, pipeline: str, start: datetime | None = None, end: datetime | None = None
) -> pl.DataFrame:
    """Outcomes with ``start <= received_at < end``, oldest first. Before any: no rows, the fixed columns only."""
    table = path(root, environment, pipeline)
    if not tables.exists(table):
        return pl.DataFrame(schema=_FIXED)
    return tables.read(table, column="received_at", start=start, end=end).sort("received_at", "outcome_id")


def record(
    *, outcome_id: str, received_at: datetime, recorded_at: datetime, prediction_id: str | None,
    outcome: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """One outcome as the spool holds it."""
    return {
        "kind": KIND, "outcome_id": outcome_id, "received_at": received_at, "recorded_at": recorded_at,
        "prediction_id": prediction_id, "outcome": outcome,
    }  # fmt: skip


def flat(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A spooled outcome as a row of the table."""
    return {name: stored[name] for name in _FIXED} | dict(stored["outcome"])
