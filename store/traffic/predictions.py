"""What was asked and answered: one row a prediction, with the features the model saw.

Columns: ``prediction_id`` str; ``received_at`` (store time), ``recorded_at`` (wall clock) Datetime[us, UTC]; ``model``
and ``package`` str (digests); the request's fields in their declared dtypes; ``x_<column>`` for every model column as
it was served, String where the model saw text, else Float64 (missing: null); ``prediction`` Float64, never null.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from store import tables
from store.layout import Root
from store.traffic import fields
from store.traffic.fields import TIME

KIND = "prediction"
SERVED = "x_"
_FIXED: dict[str, pl.DataType] = {
    "prediction_id": pl.String(), "received_at": TIME, "recorded_at": TIME,
    "model": pl.String(), "package": pl.String(),
}  # fmt: skip
_ANSWER: dict[str, pl.DataType] = {"prediction": pl.Float64()}


def path(root: Root, environment: str, pipeline: str) -> Path:
    """Where the table lies."""
    return root.traffic(environment, pipeline, "predictions")


def schema(manifest: Mapping[str, Any], text: Collection[str] = ()) -> pl.Schema:
    """The table for a pipeline's manifest. ``text``: model columns that hold text beside the request's String fields.

    InvalidInput: a request field whose dtype or name no table can hold.
    """
    request = fields.typed(manifest["request"], (*_FIXED, *_ANSWER), "request")
    textual = {name for name, dtype in request.items() if dtype == pl.String} | set(text)
    served = {SERVED + name: pl.String() if name in textual else pl.Float64() for name in manifest["columns"]}
    return pl.Schema({**_FIXED, **request, **served, **_ANSWER})


def start(manifest: Mapping[str, Any]) -> pl.Schema:
    """The table without the model columns of which only rows, or a service, can say whether they hold text."""
    known = {SERVED + name for name in manifest["request"]}
    return pl.Schema({n: dtype for n, dtype in schema(manifest).items() if not n.startswith(SERVED) or n in known})


def read(
    root: Root, environment: str, pipeline: str, start: datetime | None = None, end: datetime | None = None
) -> pl.DataFrame:
    """Predictions with ``start <= received_at < end``, oldest first. Before any: no rows, the fixed columns only."""
    table = path(root, environment, pipeline)
    if not tables.exists(table):
        return pl.DataFrame(schema={**_FIXED, **_ANSWER})
    return tables.read(table, column="received_at", start=start, end=end).sort("received_at", "prediction_id")


def record(
    *, prediction_id: str, received_at: datetime, recorded_at: datetime, model: str, package: str,
    request: Mapping[str, Any], served: Mapping[str, Any], prediction: float,
) -> dict[str, Any]:  # fmt: skip
    """One prediction as the spool holds it."""
    return {
        "kind": KIND, "prediction_id": prediction_id, "received_at": received_at, "recorded_at": recorded_at,
        "model": model, "package": package, "request": request, "served": served, "prediction": prediction,
    }  # fmt: skip


def flat(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A spooled prediction as a row of the table."""
    row = {name: stored[name] for name in (*_FIXED, *_ANSWER)} | dict(stored["request"])
    return row | {SERVED + name: value for name, value in stored["served"].items()}


def text(stored: Sequence[Mapping[str, Any]]) -> set[str]:
    """The model columns that hold text in any of these spooled predictions."""
    return {name for one in stored for name, value in one["served"].items() if isinstance(value, str)}
