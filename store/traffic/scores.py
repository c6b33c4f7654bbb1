"""What a batch scoring predicted: one row a question, model and package, in a table beside the served predictions.

A score is nobody's answer: no application asked, none relies on it. So it lies in a table of its own (``traffic/<environment>/
<pipeline>/scores``), where neither the monitor, which judges what was *served*, nor the features made of traffic look.

Columns: ``scored_at`` (store time), ``recorded_at`` (wall clock), ``event_time`` (when the question is asked)
Datetime[us, UTC]; ``model`` and ``package`` str (digests); the request's key fields in their declared dtypes; ``x_<column>``
for every model column, String where the model saw text, else Float64 (missing: null); ``prediction`` Float64, never null.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from store import clock, tables
from store.errors import Conflict
from store.layout import Root
from store.traffic import fields
from store.traffic.fields import TIME

SEEN = "x_"
_ATTEMPTS = 20
_FIXED: dict[str, pl.DataType] = {
    "scored_at": TIME, "recorded_at": TIME, "event_time": TIME, "model": pl.String(), "package": pl.String(),
}  # fmt: skip
_ANSWER: dict[str, pl.DataType] = {"prediction": pl.Float64()}


def path(root: Root, environment: str, pipeline: str) -> Path:
    """Where the table lies."""
    return root.traffic(environment, pipeline, "scores")


def file(root: Root, environment: str, pipeline: str, model: str, start: datetime, end: datetime) -> Path:
    """Where a scoring's parquet file goes if nobody says where: named by window and model, so the same one replaces itself."""
    name = f"scores-{clock.utc(start):%Y%m%dT%H%M%SZ}-{clock.utc(end):%Y%m%dT%H%M%SZ}-{model[:8]}.parquet"
    return root.traffic(environment, pipeline, "files") / name


def key(manifest: Mapping[str, Any]) -> list[str]:
    """What tells two questions apart: the request's key fields and ``event_time``."""
    return ["event_time", *(name for name in manifest["key"] if name != "event_time")]


def schema(manifest: Mapping[str, Any], seen: pl.Schema) -> pl.Schema:
    """The table for a pipeline's manifest. ``seen``: dtypes of the model's columns as a scoring has them.

    InvalidInput: a key field whose dtype or name no table can hold.
    """
    keys = {name: manifest["request"][name] for name in key(manifest)[1:]}
    named = {SEEN + name: pl.String() if _is_text(seen[name]) else pl.Float64() for name in manifest["columns"]}
    return pl.Schema({**_FIXED, **fields.typed(keys, (*_FIXED, *_ANSWER), "request"), **named, **_ANSWER})


def add(
    root: Root, environment: str, pipeline: str, manifest: Mapping[str, Any], rows: pl.DataFrame, *,
    model: str, package: str, scored_at: datetime,
) -> int:  # fmt: skip
    """Add the scores that are not there yet and return how many were added; a question has one score a model and package.

    ``rows``: key fields, ``event_time``, the model's columns, ``prediction``. Conflict: a column is stored with another dtype, or 20
    races were lost.
    """
    where, wanted = path(root, environment, pipeline), schema(manifest, rows.schema)
    tables.create(where, wanted)
    tables.widen(where, wanted)
    stamps = {"scored_at": clock.utc(scored_at), "recorded_at": clock.wall()}
    frame = rows.select(
        *(pl.lit(instant, TIME).alias(name) for name, instant in stamps.items()),
        *(pl.lit(digest).alias(name) for name, digest in {"model": model, "package": package}.items()),
        *(pl.col(name).cast(wanted[name]) for name in key(manifest)),
        *(_plain(name, rows.schema[name]).alias(SEEN + name) for name in manifest["columns"]),
        pl.col("prediction").cast(pl.Float64),
    ).unique(key(manifest), keep="first", maintain_order=True)
    for _ in range(_ATTEMPTS):
        version, stored = tables.version(where), tables.schema(where)
        there = _of(tables.read(where, version=version), model, package).select(key(manifest))
        fresh = frame.join(there, on=key(manifest), how="anti", nulls_equal=True)
        lacking = [pl.lit(None, dtype).alias(name) for name, dtype in stored.items() if name not in fresh.columns]
        if fresh.is_empty() or tables.extend(where, fresh.with_columns(lacking), after=version):
            return fresh.height
    raise Conflict(f"Could not append to {where.name}.", f"{_ATTEMPTS} attempts lost to others.", "Run it again.")


def read(
    root: Root, environment: str, pipeline: str, start: datetime | None = None, end: datetime | None = None, *,
    model: str = "", package: str = "",
) -> pl.DataFrame:  # fmt: skip
    """Scores of questions with ``start <= event_time < end`` (of one model, of one package), oldest question first.

    Before any: no rows, the fixed columns only.
    """
    where = path(root, environment, pipeline)
    if not tables.exists(where):
        return pl.DataFrame(schema={**_FIXED, **_ANSWER})
    found = _of(tables.read(where, column="event_time", start=start, end=end), model, package)
    keys = [name for name in found.columns if name not in (*_FIXED, *_ANSWER) and not name.startswith(SEEN)]
    return found.sort("event_time", *keys, "recorded_at", "model", "package")


def _of(rows: pl.DataFrame, model: str, package: str) -> pl.DataFrame:
    named = {"model": model, "package": package}
    return rows.filter(*(pl.col(name) == digest for name, digest in named.items() if digest))


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _plain(name: str, dtype: pl.DataType) -> pl.Expr:
    """A model column as the traffic tables hold it: text, or Float64 with null for missing; times in microseconds."""
    if _is_text(dtype):
        return pl.col(name).cast(pl.String)
    physical = pl.col(name).to_physical() if dtype.is_temporal() else pl.col(name)
    return physical.cast(pl.Float64).fill_nan(None)
