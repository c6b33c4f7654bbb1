"""The one door through which rows enter a feature group.

Everything the join relies on is made true here, once, instead of being checked at every read:

- **Instants** are microseconds in UTC. A naive time is refused unless the group declares its zone; one that the zone
  has twice or never (when its clocks change) is refused too, since a guess would move the row.
- **Each row is there once.** A row is the same as another when keys, ``event_time``, ``known_time`` and ``row_hash``
  are. What is already there is read from one version of the table, and the rest committed only if that version is still
  the newest; who loses that race looks again. So it also holds between concurrent writers, with or without ``batch``.
- **Marks** say what the join must reckon with, so that it need not look: ``OFF_RULE`` once a row was known at another
  time than the group's rule says (late rows, forecasts), ``TIED`` once two rows on the rule share keys and
  ``event_time``. They are application transactions of the commit that brings the first such row: a pinned version has
  exactly the marks it had. Rows put into the table past this door would void them.

``row_hash`` settles exact ties, so it must be the same on every machine and in every later version: see ``row_hash``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from store import blobs, clock, ledger, tables
from store.actions import GroupDeclared
from store.errors import Conflict, InvalidInput
from store.features import group as groups
from store.features.group import EVENT_TIME, KNOWN_TIME, ROW_HASH, TIME, Group
from store.layout import Root

OFF_RULE, TIED = "assay.off_rule", "assay.tied"
_ATTEMPTS = 100
_MICROSECOND = timedelta(microseconds=1)
_GOLDEN, _NULL, _ALL = 0x9E3779B97F4A7C15, 0x6E756C6C6E756C6C, 0xFFFFFFFFFFFFFFFF


def declare(root: Root, group: Group, *, derivation: str, actor: str, now: datetime) -> None:
    """Record the group under its version, once, and create its table.

    ``derivation`` is the digest of the code that makes the rows. The same declaration again changes nothing (nor does
    another description). Conflict: the version already stands for another derivation, other columns, ttl, delay or
    zone, or a higher version exists. A new version has a table of its own (``features/<name>@2``), which starts empty:
    rows of two derivations never meet, and what was frozen on the old version can still be rebuilt.
    """
    wanted = group.declaration(derivation)
    if not any(_same(row.body, wanted) for row in ledger.find(root, action="group.declared", subject=group.name)):
        ledger.append(
            root,
            "group.declared",
            wanted,
            subject=group.name,
            digest=derivation,
            actor=actor,
            now=now,
            request=f"group-{group.reference}-{blobs.digest(repr(wanted).encode())}",
            guard=lambda rows: _refuse_other(group, wanted, rows),
        )
    tables.create(groups.path(root, group), group.schema)


def write(root: Root, group: Group, frame: pl.DataFrame, *, now: datetime, batch: tuple[str, int] | None = None) -> int:
    """Add the rows that are not yet there and return how many were added.

    ``frame`` has the group's keys and values and ``event_time``, in any order, and may have ``known_time``; without it
    a row is known at ``event_time + group.delay`` (bulk history). Dtypes are the group's, or ones that convert without
    loss: integers whose values fit, integers to floats that hold them exactly, Float32 to Float64, categories to
    strings. Times of any unit and zone become microseconds UTC, nanoseconds cut off. ``now`` is store time; no row is
    stamped with it (a live row brings its own ``known_time``). With ``batch = (writer, number)`` a number that this
    writer has already brought, or a lower one, adds nothing, whatever the rows.

    Raises InvalidInput, naming the column: missing or unknown, another dtype, a naive time, a null (or NaN) in a key or
    time. Conflict: the group was declared otherwise. NotFound: it was never declared.
    """
    clock.utc(now)
    _check_declared(root, group)
    rows, path = _conformed(group, frame), groups.path(root, group)
    for _ in range(_ATTEMPTS):
        version = tables.version(path)
        if batch is not None and _brought(tables.transaction(path, batch[0]), batch[1]):
            return 0
        present = _present(root, group, rows, version)
        fresh = rows.join(present, on=_identity(group), how="anti")
        if fresh.is_empty() and batch is None:
            return 0
        marks = [(mark, 1) for mark in _marks(group, fresh, present)]
        if tables.extend(path, fresh, after=version, transactions=[*marks, *([batch] if batch else [])]):
            return fresh.height
    lost = f"{_ATTEMPTS} attempts lost to other writers."
    raise Conflict(f"Could not write to the feature group {group.name}.", lost, "Run it again.")


def rows(root: Root, group: Group, start: datetime, end: datetime) -> pl.DataFrame:
    """The facts with ``start <= event_time < end``: keys, both times (Datetime[us, UTC]) and values, no ``row_hash``.

    Sorted by ``event_time``, keys, ``known_time``, ties as the join settles them.
    """
    found = tables.read(groups.path(root, group), column=EVENT_TIME, start=clock.utc(start), end=clock.utc(end))
    return found.sort(EVENT_TIME, *group.keys, KNOWN_TIME, ROW_HASH).drop(ROW_HASH)


def instants(series: pl.Series, zone: str | None, what: str) -> pl.Series:
    """The times as Datetime[us, UTC]; naive ones are read in ``zone``. ``what`` names the column in errors.

    InvalidInput: not a Datetime, naive without a zone, or a wall-clock time that the zone has twice or never.
    """
    if not isinstance(series.dtype, pl.Datetime):
        raise InvalidInput(f"{what} is {series.dtype}, not a Datetime.", remedy="Make it a Datetime with a time zone.")
    if series.dtype.time_zone is None:
        series = _localised(series, zone, what)
    return series.dt.convert_time_zone("UTC").dt.cast_time_unit("us")


def row_hash(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """A 64-bit content hash of the columns, in the order given: Int64, never null. A million rows × 10: about 0.2 s.

    Each value becomes a word: integers, dates and instants their two's complement, booleans 0 or 1, floats the bits of
    their float64 (one NaN), strings the first 8 bytes of BLAKE2b over UTF-8, little-endian. With ``mix`` the finaliser
    of splitmix64 (Steele, Lea and Flood 2014), ``hash = mix(hash XOR w)`` over the columns from 0, where ``w`` is
    ``mix(word + golden * (position + 1))``, or a constant for null. It settles ties; it is no defence against forgery.
    """
    state = np.zeros(frame.height, dtype=np.uint64)
    for position, column in enumerate(columns, start=1):
        series = frame.get_column(column)
        words = _mix(_words(series) + np.uint64(_GOLDEN * position & _ALL))
        words[series.is_null().to_numpy()] = np.uint64(_NULL)
        state = _mix(state ^ words)
    return pl.Series(ROW_HASH, state.view(np.int64))


def on_rule(group: Group) -> pl.Expr:
    """Whether a row was known when the group's rule says: by its event time, or exactly ``delay`` after it."""
    if not group.delay:
        return pl.col(KNOWN_TIME) <= pl.col(EVENT_TIME)
    return pl.col(KNOWN_TIME) == pl.col(EVENT_TIME) + group.delay


def _localised(series: pl.Series, zone: str | None, what: str) -> pl.Series:
    if zone is None:
        raise InvalidInput(f"{what} is naive: it has no time zone.", remedy="Give it one, or declare its `zone`.")
    try:
        found = series.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    except pl.exceptions.PolarsError:
        raise InvalidInput(
            f"{what} cannot be read in the zone {zone!r}.", remedy="Zones are such as US/Pacific."
        ) from None
    unclear = series.filter(found.is_null() & series.is_not_null())
    if unclear.is_empty():
        return found
    raise InvalidInput(
        f"{what} cannot be read in {zone}: {unclear[0]} is there twice or never, as are {unclear.len() - 1:,} more.",
        "A change of the clocks repeats an hour or leaves one out.",
        "Convert the column to UTC first.",
    )


def _same(one: GroupDeclared, other: GroupDeclared) -> bool:
    return {**vars(one), "description": ""} == {**vars(other), "description": ""}


def _refuse_other(group: Group, wanted: GroupDeclared, known: Sequence[ledger.Row]) -> None:
    before = [row.body for row in known if row.action == "group.declared" and row.subject == group.name]
    newest = max((body.version for body in before), default=0)
    if group.version > newest:
        return
    stands = next((body for body in before if body.version == group.version), None)
    differs = [name for name, value in vars(wanted).items() if stands and getattr(stands, name) != value]
    raise Conflict(
        f"The feature group {group.name} cannot be declared as version {group.version}.",
        f"That version stands with another {', '.join(differs)}." if stands else f"Its newest version is {newest}.",
        f"Raise `version` to {newest + 1}: it gets a table of its own, and what uses version {newest} stays as it is.",
    )


def _check_declared(root: Root, group: Group) -> None:
    stands = groups.load(root, group.reference)
    if not _same(stands.declaration(""), group.declaration("")):
        raise Conflict(
            f"These rows are for another declaration of {group.reference} than the ledger holds.",
            f"It holds keys {dict(stands.keys)}, values {dict(stands.values)}, ttl {stands.ttl}, delay {stands.delay}.",
            "Declare the change under a higher `version` first.",
        )


def _identity(group: Group) -> list[str]:
    return [*group.keys, EVENT_TIME, KNOWN_TIME, ROW_HASH]


def _conformed(group: Group, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as the table stores it: the group's schema, each row once, ordered by time."""
    needed = [*group.keys, EVENT_TIME, *group.values]
    missing, unknown = sorted(set(needed) - set(frame.columns)), sorted(set(frame.columns) - {*needed, KNOWN_TIME})
    if missing or unknown:
        raise InvalidInput(
            f"These rows do not fit {group.name}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}.",
            f"Its columns: {', '.join(needed)}, and optionally {KNOWN_TIME}.",
            "Give the rows exactly these columns.",
        )
    columns = [_lossless(group, frame.get_column(name), dtype) for name, dtype in group.keys.items()]
    columns += [instants(frame.get_column(EVENT_TIME), group.zone, f"{group.name}.{EVENT_TIME}")]
    known = (columns[-1] + group.delay).alias(KNOWN_TIME)
    if KNOWN_TIME in frame.columns:
        known = instants(frame.get_column(KNOWN_TIME), group.zone, f"{group.name}.{KNOWN_TIME}")
    for column in (*columns, known):
        _refuse_missing(group, column)
    columns += [known, *(_lossless(group, frame.get_column(name), dtype) for name, dtype in group.values.items())]
    ready = pl.DataFrame([_unsigned_zero(column, group) for column in columns])
    ready = ready.with_columns(row_hash(ready, list(group.values)))
    return ready.unique(subset=_identity(group)).sort(EVENT_TIME, *group.keys, KNOWN_TIME, ROW_HASH)


def _refuse_missing(group: Group, column: pl.Series) -> None:
    absent = column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0)
    if absent:
        raise InvalidInput(
            f"{group.name}.{column.name} is missing in {absent:,} of {column.len():,} rows.",
            "A key or time is never null: such a row could answer no question.",
            "Drop these rows, or fill the column, before writing.",
        )


def _unsigned_zero(column: pl.Series, group: Group) -> pl.Series:
    """Keys of -0.0 and 0.0 are one key."""
    return (column + 0.0).alias(column.name) if column.name in group.keys and column.dtype.is_float() else column


def _lossless(group: Group, series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The column in the group's dtype, if every value survives it."""
    what = f"{group.name}.{series.name}"
    if series.dtype == dtype or series.dtype == pl.Null:
        return series.cast(dtype)
    if dtype == TIME:
        return instants(series, group.zone, what)
    if series.dtype.is_integer() and (dtype.is_integer() or dtype.is_float()):
        cast = series.cast(dtype, strict=False)
        if cast.cast(series.dtype, strict=False).equals(series):
            return cast
    elif (series.dtype, dtype) == (pl.Float32, pl.Float64) or (
        dtype == pl.String and isinstance(series.dtype, pl.Categorical | pl.Enum)
    ):
        return series.cast(dtype)
    raise InvalidInput(
        f"{what} is {series.dtype}, and not every value of it is a {dtype}.",
        f"The group declares {series.name} as {dtype}.",
        "Cast it in the derivation, or declare another dtype under a higher `version`.",
    )


def _brought(newest: int | None, number: int) -> bool:
    return newest is not None and newest >= number


def _present(root: Root, group: Group, rows: pl.DataFrame, version: int) -> pl.DataFrame:
    """Times, keys and hashes of what the table holds over the rows' span of event times."""
    if rows.is_empty():
        return rows.select(_identity(group))
    first, last = rows.item(0, EVENT_TIME), rows.item(-1, EVENT_TIME)
    return tables.read(
        groups.path(root, group),
        version=version,
        columns=_identity(group),
        column=EVENT_TIME,
        start=first,
        end=last + _MICROSECOND,
    )


def _marks(group: Group, fresh: pl.DataFrame, present: pl.DataFrame) -> list[str]:
    regular = fresh.filter(on_rule(group))
    place = [*group.keys, EVENT_TIME]
    tied = (
        regular.select(place).is_duplicated().any()
        or not regular.join(present.filter(on_rule(group)), on=place, how="semi").is_empty()
    )
    return [OFF_RULE] * (regular.height < fresh.height) + [TIED] * tied


def _words(series: pl.Series) -> np.ndarray:
    """One 64-bit word a value; what stands where a value is null does not matter."""
    if series.dtype == pl.String:
        distinct = series.drop_nulls().unique()
        if distinct.is_empty():
            return np.zeros(series.len(), dtype=np.uint64)
        digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in distinct)
        words = pl.Series(np.frombuffer(digests, dtype="<u8"), dtype=pl.UInt64)
        series = series.replace_strict(distinct, words, return_dtype=pl.UInt64)
        return series.fill_null(0).to_numpy()
    if series.dtype.is_float():
        floats = series.cast(pl.Float64).fill_null(0.0).to_numpy().copy()
        floats[np.isnan(floats)] = np.nan
        return floats.view(np.uint64)
    return series.to_physical().cast(pl.Int64).fill_null(0).to_numpy().view(np.uint64)


def _mix(words: Any) -> Any:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
