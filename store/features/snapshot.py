"""A frozen training set: nothing is copied but the spine; the rest is a recipe that gives the same rows again.

A snapshot's id is the SHA-256 of what determines its rows: the table version of each group, the spine's content and
the query. Tables are append-only with time travel, compaction leaves old versions readable, and the join is
deterministic; so joining the stored spine at the recorded versions gives the same content, however much was ingested
since. ``content`` proves it: ``rebuild`` refuses rows that do not hash to it.

Digests are of content (``content_digest``), not of parquet bytes, which change with the library that writes them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from store import blobs, clock, ledger, tables
from store.actions import SnapshotFrozen
from store.errors import Conflict, InvalidInput, NotFound, Refused
from store.features import group as groups
from store.features.join import Use, described, join, query_digest
from store.layout import Root


@dataclass(frozen=True)
class Snapshot:
    """A training set and what it takes to make it again.

    ``id``: SHA-256 of table versions, spine and query. ``frame``: the joined rows. ``manifest``: the blob that
    ``rebuild`` reads. ``tables``: ``name@version`` of each group → version of its Delta table. ``content``: SHA-256 of
    the joined rows. ``rows``: how many.
    """

    id: str
    frame: pl.DataFrame
    manifest: str
    tables: dict[str, int]
    content: str
    rows: int


def freeze(
    root: Root,
    spine: pl.DataFrame,
    uses: Sequence[Use],
    *,
    pipeline: str,
    time: str = "event_time",
    window_start: datetime,
    window_end: datetime,
    actor: str,
    now: datetime,
) -> Snapshot:
    """Join the spine at the tables' present versions and record how, once a pipeline and id (``snapshot.frozen``).

    The spine is as ``join`` takes it. Freezing the same again returns the snapshot first recorded, with the window it
    was recorded with. Raises what ``join`` raises; Refused when the same id now has other content.
    """
    pinned, versions = _pinned(root, uses)
    frame = join(root, spine, pinned, time=time, versions=versions)
    recipe = {"tables": versions, "spine": content_digest(spine), "query": query_digest(pinned), "time": time}
    identity, content = blobs.digest(blobs.canonical(recipe)), content_digest(frame)
    stored = blobs.put(root, _parquet(spine))
    manifest = blobs.put_json(root, {**recipe, "spine_blob": stored, "uses": [described(use) for use in pinned]})
    window = (clock.utc(window_start).isoformat(), clock.utc(window_end).isoformat())
    body = SnapshotFrozen(manifest, *window, rows=frame.height, content=content, tables=versions)
    row = _record(root, body, identity, pipeline, actor, now)
    if row.body.content != content:
        raise _other_content(identity, row.body.content, content)
    return Snapshot(identity, frame, row.body.manifest, dict(row.body.tables), content, row.body.rows)


def rebuild(root: Root, snapshot_id: str) -> pl.DataFrame:
    """The snapshot's rows, joined again at the recorded versions.

    NotFound: no such snapshot. Refused: the rows do not hash to the recorded content, or a blob was changed.
    """
    row = _recorded(root, snapshot_id)
    if row is None:
        known = sorted({found.digest for found in ledger.find(root, action="snapshot.frozen")})
        raise NotFound.among("snapshot", snapshot_id, known)
    manifest = blobs.get_json(root, row.body.manifest)
    spine = pl.read_parquet(io.BytesIO(blobs.get(root, manifest["spine_blob"])))
    uses = [Use(use["group"], tuple(use["features"]), use["keys"], use["prefix"]) for use in manifest["uses"]]
    frame = join(root, spine, uses, time=manifest["time"], versions=manifest["tables"])
    if (found := content_digest(frame)) != row.body.content:
        raise _other_content(snapshot_id, row.body.content, found)
    return frame


def content_digest(frame: pl.DataFrame) -> str:
    """SHA-256 of the frame's content: names, dtypes, values, in the order of columns and rows.

    Fed column by column: the canonical JSON of ``[name, dtype, rows]``; one bit a row for null; then the values,
    little-endian: numbers as they are (one NaN, 0 for null), dates and times as integers, booleans as bytes, strings as
    their lengths in bytes (Int64) and then their UTF-8. InvalidInput: a column of another kind (lists, structs).
    """
    digest = hashlib.sha256()
    for column in frame:
        digest.update(blobs.canonical([column.name, _dtype(column), column.len()]))
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        for part in _bytes(column):
            digest.update(part)
    return digest.hexdigest()


def _pinned(root: Root, uses: Sequence[Use]) -> tuple[list[Use], dict[str, int]]:
    """The uses with their group's version spelled out, and the version each table has now."""
    pinned, versions = [], {}
    for use in uses:
        group = groups.load(root, use.group)
        pinned.append(Use(group.reference, use.features, use.keys, use.prefix))
        if group.reference not in versions:
            versions[group.reference] = tables.version(groups.path(root, group))
    return pinned, versions


def _recorded(root: Root, identity: str, pipeline: str = "") -> ledger.Row | None:
    found = ledger.find(root, action="snapshot.frozen", subject=pipeline, digest=identity)
    return found[0] if found else None


def _record(root: Root, body: SnapshotFrozen, identity: str, pipeline: str, actor: str, now: datetime) -> ledger.Row:
    request = f"snapshot-{pipeline}-{identity}"
    try:
        return ledger.append(
            root,
            "snapshot.frozen",
            body,
            subject=pipeline,
            digest=identity,
            actor=actor,
            now=now,
            request=request,
        )
    except Conflict:  # The id is recorded, with another window or spine bytes of another library: that row stands.
        row = _recorded(root, identity, pipeline)
        if row is None:
            raise
        return row


def _other_content(identity: str, recorded: str, found: str) -> Refused:
    return Refused(
        f"The snapshot {identity[:8]} does not have the rows it was frozen with.",
        f"Recorded content {recorded[:8]}, found {found[:8]}.",
        "A feature table was changed past the write door: restore it from a copy.",
    )


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _dtype(column: pl.Series) -> str:
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        return f"datetime[{dtype.time_unit},{dtype.time_zone or 'naive'}]"
    if isinstance(dtype, pl.Duration):
        return f"duration[{dtype.time_unit}]"
    number = (dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128)) or dtype.is_float()
    if number or isinstance(dtype, pl.Date | pl.Time | pl.String | pl.Boolean | pl.Categorical | pl.Enum | pl.Null):
        return type(dtype).__name__.lower()
    raise InvalidInput(
        f"The column {column.name} is {dtype}, which cannot be frozen.",
        "A snapshot holds numbers, strings, booleans, dates and times.",
        "Leave it out, or make plain columns of it.",
    )


def _bytes(column: pl.Series) -> list[bytes]:
    dtype: Any = column.dtype
    if dtype == pl.Null:
        return []
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        text = column.cast(pl.String).fill_null("")
        return [_little(text.str.len_bytes().cast(pl.Int64)), "".join(text.to_list()).encode()]
    if dtype.is_float():
        filled = column.fill_null(0.0)
        return [_little(filled.set(filled.is_nan(), float("nan")))]
    if dtype == pl.Boolean:
        return [_little(column.fill_null(False).cast(pl.UInt8))]
    return [_little(column.to_physical().fill_null(0))]


def _little(series: pl.Series) -> bytes:
    values = series.to_numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
