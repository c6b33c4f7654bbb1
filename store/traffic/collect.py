"""From the spool into the tables, every record exactly once.

A drain reads each segment from where the table says it stopped, and commits the rows together with where it stops now
(Delta's application transaction: writer = segment, version = byte offset), on the condition that nobody committed since
it looked. Killed anywhere, it has moved a batch or it has not; of two at once, one commits and the other looks again.
Predictions and outcomes are two tables, each with its own offsets: each is exactly-once by itself. A segment is deleted
when nobody can write it any more and both tables have all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from store import tables
from store.errors import Conflict
from store.layout import Root
from store.traffic import fields, outcomes, predictions, spool

_ATTEMPTS = 20
_WORTH_A_COMMIT = 1024 * 1024  # bytes of the other table's records that may be read again instead of committed as read


@dataclass(frozen=True)
class Drained:
    """The rows this drain moved, in the tables' columns; either may be empty.

    Who derives from them and is killed meanwhile gets them no second time: derive from the tables' ``received_at``.
    """

    predictions: pl.DataFrame
    outcomes: pl.DataFrame


@dataclass(frozen=True)
class _Table:
    """One of the two: the records it takes, the columns it starts with, and those its records ask for."""

    kind: str
    path: Path
    flat: Callable[[Mapping[str, Any]], dict[str, Any]]
    start: pl.Schema
    schema: Callable[[Sequence[Mapping[str, Any]]], pl.Schema]


def prepare(
    root: Root, environment: str, pipeline: str, manifest: Mapping[str, Any], text: Collection[str] | None = None
) -> None:
    """Create both tables, or widen them by what this manifest adds.

    ``text``: see ``predictions.schema``; None leaves columns that are there as they are. A service knows it, and calls
    this before it takes a request, so a package whose fields contradict what is stored never serves.
    Conflict: a field or model column that is stored with another dtype.
    """
    known = _stored_text(root, environment, pipeline) if text is None else text
    for path, schema in (
        (predictions.path(root, environment, pipeline), predictions.schema(manifest, known)),
        (outcomes.path(root, environment, pipeline), outcomes.schema(manifest)),
    ):
        tables.create(path, schema)
        tables.widen(path, schema)


def drain(root: Root, environment: str, pipeline: str, manifest: Mapping[str, Any]) -> Drained:
    """Move everything spooled so far into the tables, one commit a table, and return what was moved.

    ``manifest``: a package's, as ``Pipeline.manifest`` makes it; needed where no service has made the tables yet.
    Refused: a damaged segment, named with the offset; nothing of it is lost. Conflict: 20 races lost.
    """
    segments = spool.segments(root, environment, pipeline)
    asked = _Table(
        predictions.KIND, predictions.path(root, environment, pipeline), predictions.flat, predictions.start(manifest),
        lambda records: predictions.schema(manifest, predictions.text(records)),
    )  # fmt: skip
    fixed = outcomes.schema(manifest)
    told = _Table(outcomes.KIND, outcomes.path(root, environment, pipeline), outcomes.flat, fixed, lambda _: fixed)
    moved_asked, ends_asked = _move(asked, segments)
    moved_told, ends_told = _move(told, segments)
    both = {name: min(end, ends_told[name]) for name, end in ends_asked.items() if name in ends_told}
    spool.remove_consumed(root, environment, pipeline, both)
    return Drained(moved_asked, moved_told)


def collected(root: Root, environment: str, pipeline: str) -> dict[str, int]:
    """How far each segment is in both tables: its name to the byte offset up to which nothing of it is only in the spool.

    Refused: a damaged segment.
    """
    kinds = {
        predictions.KIND: predictions.path(root, environment, pipeline), outcomes.KIND: outcomes.path(root, environment, pipeline),
    }  # fmt: skip
    segments, found = spool.segments(root, environment, pipeline), dict[str, int]()
    if not segments or not all(map(tables.exists, kinds.values())):
        return found
    for kind, table in kinds.items():
        done = tables.transactions(table, [path.name for path in segments])
        for path in segments:
            records, ends = _read(kind, [path], done)
            begin = done.get(path.name, 0)
            end = begin if records else ends.get(path.name, begin)
            found[path.name] = min(end, found.get(path.name, end))
    return found


def lag(root: Root, environment: str, pipeline: str) -> int:
    """Bytes spooled that the predictions table does not have yet."""
    sizes = {path.name: path.stat().st_size for path in spool.segments(root, environment, pipeline)}
    table = predictions.path(root, environment, pipeline)
    done = tables.transactions(table, sizes) if sizes and tables.exists(table) else {}
    return sum(size - done.get(name, 0) for name, size in sizes.items())


def _move(table: _Table, segments: Sequence[Path]) -> tuple[pl.DataFrame, dict[str, int]]:
    """One table's rows out of the segments, and up to where each segment holds nothing more for this table."""
    tables.create(table.path, table.start)
    for _ in range(_ATTEMPTS):
        version = tables.version(table.path)
        begins = tables.transactions(table.path, [path.name for path in segments], version)
        records, ends = _read(table.kind, segments, begins)
        columns = _widened(table, records)
        frame = fields.frame([table.flat(record) for record in records], columns)
        passed = {name: end for name, end in ends.items() if end > begins.get(name, 0)}
        if not records and sum(end - begins.get(name, 0) for name, end in passed.items()) < _WORTH_A_COMMIT:
            return frame, ends
        if tables.extend(table.path, frame, after=version, transactions=list(passed.items())):
            return frame, ends
    raise Conflict(f"Could not append to {table.path.name}.", f"{_ATTEMPTS} attempts lost to others.", "Run it again.")


def _widened(table: _Table, records: Sequence[Mapping[str, Any]]) -> pl.Schema:
    """The table's columns, after it was given those that it lacks for these records."""
    found = tables.schema(table.path)
    lacking = {name: dtype for name, dtype in table.schema(records).items() if name not in found}
    if not records or not lacking:
        return found
    tables.widen(table.path, pl.Schema(lacking))
    return tables.schema(table.path)


def _read(
    kind: str, segments: Sequence[Path], begins: Mapping[str, int]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    found, ends = list[dict[str, Any]](), {}
    for path in segments:
        try:
            records, ends[path.name] = spool.read(path, begins.get(path.name, 0))
        except FileNotFoundError:  # another drain has moved all of it and deleted it
            continue
        found += [record for record in records if record["kind"] == kind]
    return found, ends


def _stored_text(root: Root, environment: str, pipeline: str) -> set[str]:
    path = predictions.path(root, environment, pipeline)
    stored = tables.schema(path) if tables.exists(path) else pl.Schema()
    served = {name: dtype for name, dtype in stored.items() if name.startswith(predictions.SERVED)}
    return {name.removeprefix(predictions.SERVED) for name, dtype in served.items() if dtype == pl.String}
