"""The point-in-time join: for each spine row, the newest fact that was true *and known* by its time.

For a spine row with keys k and time T, and a group with ttl L, the answer is the row of the group with the same keys,
``T - L <= event_time <= T`` and ``known_time <= T`` that has the greatest ``(event_time, known_time)``; a tie goes to
the greater ``row_hash``. Why the way below is exact, with ``effective = max(event_time, known_time)``:

- **ttl may be applied last**, because it bounds the *leading* sort key: if the greatest candidate is too old, all are.
- **Dominance.** A row can answer iff ``(event_time, known_time, row_hash)`` is a strict running maximum of its key in
  the order of ``effective``. What is left then has one row an instant, and an ASOF join on ``effective`` finds it.
- **Two classes.** Rows known when the group's rule says (class A) are monotone already and need no window; it runs over
  the rest (class B) alone. The maximum of a union is the greater of the maxima, so one ASOF a class suffices. The write
  door's marks say whether there is a class B at all, and whether A has ties (only then are structs compared).
- **Match narrow, gather late.** DuckDB matches on keys, times and a row's place (file, row); the values are then read
  a few columns at a time and put beside the spine in its own order. Nothing wide is ever sorted.

A null key equals nothing, so it finds nothing; neither does NaN, which the write door keeps out of keys. The result
does not depend on file order, row order or the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from store import blobs, tables
from store.errors import InvalidInput, NotFound
from store.features import group as groups
from store.features.group import EVENT_TIME, KNOWN_TIME, ROW_HASH, Group
from store.features.write import OFF_RULE, TIED, instants
from store.layout import Root

_MEMORY = "2GB"
_CELLS_AT_ONCE = 32_000_000
_FILE = 32  # bits of an id below the file's index
_MICROSECOND = timedelta(microseconds=1)
_NEVER = np.iinfo(np.int64).min
_LAST = "row(s._time, TIMESTAMPTZ 'infinity', 9223372036854775807)"


@dataclass(frozen=True)
class Use:
    """Which features of which group, and how the spine names its keys.

    ``group`` is a name (its newest version) or ``name@2``. ``keys`` maps the group's key columns to the spine's, for
    those that have another name there. An output column is ``prefix + feature``.
    """

    group: str
    features: tuple[str, ...]
    keys: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    @property
    def outputs(self) -> dict[str, str]:
        """Output column → feature, in order."""
        return {self.prefix + feature: feature for feature in self.features}


def join(
    root: Root,
    spine: pl.DataFrame,
    uses: Sequence[Use],
    *,
    time: str = "event_time",
    versions: Mapping[str, int] | None = None,
    zone: str | None = None,
) -> pl.DataFrame:
    """The spine, untouched and in its order, with the features of ``uses`` beside it, null where nothing was known.

    ``time`` names the spine's time column, any unit and zone, never null; naive times are read in ``zone``.
    ``versions`` pins the version of a group's table (by the name in ``Use.group``, or ``name@version``); default the
    newest. The features have the dtypes their group declares.

    Raises InvalidInput: a missing column, a key of another type, clashing output columns, an unknown pin, a naive time.
    NotFound: an unknown group, feature or version.
    """
    resolved = [(use, groups.load(root, use.group)) for use in uses]
    pins = _pins(versions or {}, resolved)
    _check_outputs(spine, resolved)
    times = _times(spine, time, zone)
    columns: list[pl.Series] = []
    for use, group in resolved:
        keys = _keys(spine, use, group)
        table = _table(root, group, pins.get(group.reference))
        files, places = _match(root, group, table, keys, times)
        found = gather(files, places, group, use.features)
        columns += [found.get_column(feature).alias(name) for name, feature in use.outputs.items()]
    return spine.with_columns(columns)


def query_digest(uses: Sequence[Use]) -> str:
    """SHA-256 of what is joined, in what order and under what names; keys that map to themselves make no difference."""
    return blobs.digest(blobs.canonical([described(use) for use in uses]))


def described(use: Use) -> dict[str, object]:
    """The use as JSON, in one form only."""
    keys = {key: column for key, column in use.keys.items() if key != column}
    return {"group": use.group, "features": list(use.features), "keys": keys, "prefix": use.prefix}


def gather(files: Sequence[str], places: pl.Series, group: Group, features: Sequence[str]) -> pl.DataFrame:
    """The features' values at ``places``: positions in the files read one after the other, null where there is none.

    They are taken in the order they lie in, then put into the order asked: random reads over all rows cost four times
    as much. A few columns are read at a time, so memory holds some of the table and never all of it.
    """
    if not files:
        return pl.DataFrame([_nothing(places.len(), group.values[name], name) for name in features])
    lazy = pl.scan_parquet(list(files), hive_partitioning=False)
    rows = int(lazy.select(pl.len()).collect().item())
    found, order = places.is_not_null(), places.arg_sort()
    ordered, back = places.fill_null(0).gather(order), order.arg_sort()
    present = pl.all() if found.all() else pl.when(found).then(pl.all())
    step = max(1, _CELLS_AT_ONCE // max(rows, 1))
    parts = [
        lazy.select(features[first : first + step])
        .collect()
        .select(pl.all().gather(ordered))
        .select(pl.all().gather(back))
        .select(present)
        for first in range(0, len(features), step)
    ]
    return pl.concat(parts, how="horizontal")


def _nothing(height: int, dtype: pl.DataType, name: str = "") -> pl.Series:
    return pl.Series(name, [None], dtype=dtype).new_from_index(0, height)


@dataclass(frozen=True)
class _Table:
    """One version of a group's table, and the write door's marks on it."""

    path: Path
    version: int
    off_rule: bool
    tied: bool


def _table(root: Root, group: Group, pinned: int | None) -> _Table:
    path = groups.path(root, group)
    newest = tables.version(path)
    version = newest if pinned is None else pinned
    if not 0 <= version <= newest:
        raise NotFound(
            f"{group.reference} has no table version {version}.",
            f"Its newest is {newest}.",
            "Pin a version that exists, or none for the newest.",
        )
    off_rule, tied = (tables.transaction(path, mark, version) is not None for mark in (OFF_RULE, TIED))
    return _Table(path, version, off_rule, tied)


def _pins(versions: Mapping[str, int], resolved: Sequence[tuple[Use, Group]]) -> dict[str, int]:
    names = {name: group.reference for use, group in resolved for name in (use.group, group.reference)}
    if unknown := sorted(set(versions) - set(names)):
        raise InvalidInput(
            f"Versions are pinned for {unknown}, which are not joined.",
            f"Joined: {', '.join(names)}.",
            "Pin versions of joined groups only.",
        )
    return {names[name]: version for name, version in versions.items()}


def _check_outputs(spine: pl.DataFrame, resolved: Sequence[tuple[Use, Group]]) -> None:
    taken = dict.fromkeys(spine.columns, "the spine")
    for use, group in resolved:
        if not use.features:
            raise InvalidInput(
                f"No feature of {use.group} is asked for.",
                f"Its features: {', '.join(group.values)}.",
                "Name some, or leave the group out.",
            )
        if unknown := [feature for feature in use.features if feature not in group.values]:
            raise NotFound.among(f"feature of {use.group}", unknown[0], group.values)
        if unmapped := sorted(set(use.keys) - set(group.keys)):
            raise InvalidInput(
                f"{use.group} has no keys {unmapped}.",
                f"Its keys: {', '.join(group.keys) or 'none'}.",
                "Map its own keys with `keys=`.",
            )
        for feature in use.features:
            name = use.prefix + feature
            if name in taken:
                raise InvalidInput(
                    f"The column {name!r} of {use.group} would be there twice.",
                    f"{taken[name]} has one of that name.",
                    "Give this use a `prefix` of its own, such as Use(..., prefix='origin_').",
                )
            taken[name] = use.group


def _column(spine: pl.DataFrame, name: str, what: str) -> pl.Series:
    if name not in spine.columns:
        raise InvalidInput(
            f"The spine has no column {name!r}, {what}.",
            f"Its columns: {', '.join(spine.columns)}.",
            "Rename a column, or say which one it is (`time=`, or `keys=` of the Use).",
        )
    return spine.get_column(name)


def _times(spine: pl.DataFrame, time: str, zone: str | None) -> pl.Series:
    times = instants(_column(spine, time, "the time to join at"), zone, f"The spine's {time}")
    if absent := times.null_count():
        found = f"{absent:,} of {times.len():,} rows"
        raise InvalidInput(f"The spine's {time} is null in {found}.", remedy="Drop those rows.")
    return times


def _keys(spine: pl.DataFrame, use: Use, group: Group) -> dict[str, pl.Series]:
    """The spine's key columns in the group's dtypes; integers that do not fit become null, and so match nothing."""
    keys: dict[str, pl.Series] = {}
    for key, dtype in group.keys.items():
        name = use.keys.get(key, key)
        keys[key] = key_column(_column(spine, name, f"the key {key} of {use.group}"), dtype, f"{use.group}.{key}")
    return keys


def key_column(column: pl.Series, dtype: pl.DataType, what: str) -> pl.Series:
    """A key column in the group's dtype. InvalidInput when it is of another kind."""
    mine = column.dtype
    if mine.is_integer() and dtype.is_integer():
        return column.cast(dtype, strict=False)
    if isinstance(mine, pl.Datetime) and isinstance(dtype, pl.Datetime):
        return instants(column, None, f"The spine's {column.name}")
    if mine in (pl.Float32, dtype) and dtype.is_float() and (mine, dtype) != (pl.Float64, pl.Float32):
        return column.cast(dtype) + 0.0
    if mine == dtype or mine == pl.Null or (dtype == pl.String and isinstance(mine, pl.Categorical | pl.Enum)):
        return column.cast(dtype)
    raise InvalidInput(
        f"The spine's {column.name} is {mine}, the key {what} is {dtype}.",
        "Keys of different kinds are never equal.",
        f"Cast {column.name} to {dtype}, or map the key to another column with `keys=`.",
    )


def _match(
    root: Root, group: Group, table: _Table, keys: Mapping[str, pl.Series], times: pl.Series
) -> tuple[list[str], pl.Series]:
    """The files that hold answers, and for each spine row the place of its answer in them (null: none)."""
    files = _files(group, table, times)
    if not files:
        return [], _nothing(times.len(), pl.Int64())
    with _connection(root) as connection:
        connection.register("_spine", _narrow(keys, times).to_arrow())
        best = _matched(connection, _regular(group, table), files, times.len())
        if table.off_rule:
            best = _greater(best, _matched(connection, _irregular(group), files, times.len()))
        ids, events, _ = best
        if group.ttl is not None:
            ids[(ids >= 0) & (times.to_physical().to_numpy() - events > group.ttl // _MICROSECOND)] = -1
        return _places(connection, files, ids)


def _files(group: Group, table: _Table, times: pl.Series) -> list[str]:
    """Files that can hold an answer: true by the spine's last time, and not too old for its first one."""
    if times.is_empty():
        return []
    first, last = times.min(), times.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    try:
        start = None if group.ttl is None else first - group.ttl
    except OverflowError:
        start = None
    return tables.files(table.path, version=table.version, column=EVENT_TIME, start=start, end=last + _MICROSECOND)


def _connection(root: Root) -> duckdb.DuckDBPyConnection:
    spill = str(root.cache / "duckdb")
    connection = duckdb.connect(
        config={"memory_limit": _MEMORY, "temp_directory": spill, "preserve_insertion_order": False}
    )
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def _narrow(keys: Mapping[str, pl.Series], times: pl.Series) -> pl.DataFrame:
    """The spine as the match needs it, under names that no column of a user can have."""
    named = [column.alias(f"_k{position}") for position, column in enumerate(keys.values())]
    return pl.DataFrame([pl.int_range(times.len(), eager=True).alias("_row"), times.alias("_time"), *named])


def _facts(group: Group, where: str, *more: str) -> str:
    keys = [f'"{key}" AS _k{position}' for position, key in enumerate(group.keys)]
    place = f"(file_index::BIGINT << {_FILE}) + file_row_number AS _id"
    columns = [*keys, f"{EVENT_TIME} AS _event", f"{KNOWN_TIME} AS _known", place, *more]
    return f"SELECT {', '.join(columns)} FROM read_parquet($files, hive_partitioning = false) WHERE {where}"


def _rule(group: Group) -> str:
    if not group.delay:
        return f"{KNOWN_TIME} <= {EVENT_TIME}"
    return f"epoch_us({KNOWN_TIME}) - epoch_us({EVENT_TIME}) = {group.delay // _MICROSECOND}"


def _regular(group: Group, table: _Table) -> str:
    """Class A: effective is the later of two times that move together, so no window is needed."""
    effective = "_known" if group.delay > timedelta(0) else "_event"
    where = _rule(group) if table.off_rule else "true"
    both = ["_event", "_known"]
    wanted = both if table.off_rule else both[:1] if group.ttl is not None else []
    if not table.tied:
        return _asof(group, _facts(group, where), f"s._time >= f.{effective}", wanted)
    facts = _facts(group, where, f"{ROW_HASH} AS _tie")
    return _asof(group, facts, f"{_LAST} >= row(f.{effective}, f._known, f._tie)", wanted)


def _irregular(group: Group) -> str:
    """Class B, reduced to the running maxima of each key; then there is one row an instant.

    In this order the greatest ``effective`` before a row is that of the row before it. What can be computed is not carried
    through the sort, which is most of the work: each column more makes it heavier.
    """
    parts = ", ".join(f"_k{position}" for position in range(len(group.keys)))
    effective = "greatest(_event, _known)"
    maxima = f"""
        SELECT * EXCLUDE (_tie) FROM ({_facts(group, f"NOT ({_rule(group)})", f"{ROW_HASH} AS _tie")})
        WINDOW before AS (
            {f"PARTITION BY {parts}" if parts else ""} ORDER BY {effective}, _event DESC, _known DESC, _tie DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
        QUALIFY coalesce(
            _event > max(_event) OVER before
            OR (_event = max(_event) OVER before AND {effective} > lag({effective}) OVER before),
            true
        )"""
    return _asof(group, maxima, "s._time >= greatest(f._event, f._known)", ["_event", "_known"])


def _asof(group: Group, facts: str, inequality: str, times: Sequence[str]) -> str:
    """The spine's row, the fact's id, and those of its times that are needed: each one more makes the sort heavier."""
    columns = ", ".join(["s._row", "f._id", *(f"epoch_us(f.{time}) AS {time}" for time in times)])
    equal = [f"s._k{position} = f._k{position}" for position in range(len(group.keys))]
    return f"""
        SELECT {columns}
        FROM _spine s ASOF JOIN ({facts}) f ON {" AND ".join([*equal, inequality])}"""


_Best = tuple[np.ndarray, np.ndarray, np.ndarray]


def _matched(connection: duckdb.DuckDBPyConnection, query: str, files: Sequence[str], height: int) -> _Best:
    """Id (-1: none), event and known time (µs since 1970, if fetched) of each spine row's best fact, in its order."""
    found = connection.sql(query, params={"files": list(files)}).to_arrow_table()
    rows = found.column("_row").to_numpy()
    best = []
    for name, empty in (("_id", -1), ("_event", _NEVER), ("_known", _NEVER)):
        column = np.full(height, empty, dtype=np.int64)
        if name in found.column_names:
            column[rows] = found.column(name).to_numpy()
        best.append(column)
    return best[0], best[1], best[2]


def _greater(one: _Best, other: _Best) -> _Best:
    """Row by row the greater ``(event_time, known_time)``. Never equal: the two decide which class a row is in."""
    later = (other[1] > one[1]) | ((other[1] == one[1]) & (other[2] > one[2]))
    merged = [np.where(later, theirs, mine) for mine, theirs in zip(one, other, strict=True)]
    return merged[0], merged[1], merged[2]


def _places(
    connection: duckdb.DuckDBPyConnection, files: Sequence[str], ids: np.ndarray
) -> tuple[list[str], pl.Series]:
    """From (file, row) to positions in those files that hold an answer."""
    found, of_file = ids >= 0, ids >> _FILE
    used = np.flatnonzero(np.bincount(of_file[found], minlength=len(files)))
    names = [files[index] for index in used.tolist()]
    if not names:
        return [], _nothing(ids.size, pl.Int64())
    counted = "SELECT file_name, num_rows FROM parquet_file_metadata($files)"
    rows = dict(connection.execute(counted, {"files": names}).fetchall())
    starts = np.zeros(len(files), dtype=np.int64)
    starts[used] = np.cumsum([0, *(rows[name] for name in names[:-1])])
    places = pl.DataFrame({"place": starts[of_file] + (ids & (1 << _FILE) - 1), "found": found})
    return names, places.select(pl.when("found").then("place")).to_series()
