"""Key lookups for services: what the join would say now, in microseconds.

``materialise`` computes each key's newest fact at ``now`` and writes it into a new SQLite file, which is never changed
again: readers open it ``mode=ro&immutable=1``, without locks. A pointer file names the file in force and is replaced
atomically, so a reader sees one materialisation or the next, never half of either; it keeps its open connection until
the pointer changes. Each group version has its pointer (``name@2.json``) and the newest one the group's plain name too.

A row is packed: a bit a value for null, the fixed-width values, then the strings. The file carries the declaration it
was packed by, so a lookup needs neither ledger nor table.

    online/<group>/42.sqlite            rows(k0, k1, ..., packed BLOB), declaration(body)
    online/<group>/<group>.json         {"file": "42.sqlite", "now": ..., "reference": "<group>@1"}
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from store import blobs, clock, tables
from store.actions import GroupDeclared
from store.errors import InvalidInput, NotFound, Unreachable
from store.features import group as groups
from store.features.group import EVENT_TIME, KNOWN_TIME, ROW_HASH, Group
from store.features.join import Use, gather
from store.layout import Root, write_atomically, writing

KEPT = 3
_ATTEMPTS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CODES = {
    pl.String: "I",
    pl.Boolean: "?",
    pl.Date: "i",
    pl.Datetime: "q",
    pl.Float32: "f",
    pl.Float64: "d",
    pl.Int8: "b",
    pl.Int16: "h",
    pl.Int32: "i",
    pl.Int64: "q",
}


def materialise(root: Root, group_names: Sequence[str], *, now: datetime) -> None:
    """Make lookups of these groups (``name`` or ``name@2``) answer as of ``now``.

    A materialisation never replaces one of a later ``now``. The last ``KEPT`` files of a group are kept for readers
    that are just opening one; who has a file open may go on reading it after it is gone.
    """
    now = clock.utc(now)
    for name in group_names:
        group = groups.load(root, name)
        folder = root.online(group.name)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            file = _published(folder, _written(folder, group, _newest(root, group, now)))
        pointer = {"file": file.name, "now": now.isoformat(), "reference": group.reference}
        _point(folder / f"{group.reference}.json", pointer)
        if group == groups.load(root, group.name):
            _point(folder / f"{group.name}.json", pointer)
        _remove_old(folder)


def lookup(
    root: Root, uses: Sequence[Use], rows: Sequence[Mapping[str, Any]], *, at: Sequence[datetime]
) -> list[dict[str, Any]]:
    """For each row a dict of the output columns of ``uses`` alone, as ``join`` would have them at its time ``at``.

    ``rows`` hold the keys under the spine's names; ``at`` has one instant a row, with a zone. Null where the key is
    unknown or null, the fact older than the group's ttl at that instant, or not yet effective then. Facts that became
    known after the last ``materialise`` are not seen. Dates are ``date``, instants ``datetime`` in UTC.

    Raises NotFound: a group never materialised, an unknown feature. InvalidInput: a missing key, a key of another type.
    """
    if len(rows) != len(at):
        raise InvalidInput(f"{len(rows)} rows were asked with {len(at)} times.", remedy="Give one time a row.")
    instants = [_micros(instant) for instant in at]
    found: list[dict[str, Any]] = [{} for _ in rows]
    for use in uses:
        reader = _reader(root, use.group)
        names, positions = reader.wanted(use)
        if found and not found[0].keys().isdisjoint(names):
            twice = sorted(found[0].keys() & set(names))
            raise InvalidInput(f"The columns {twice} would be there twice.", remedy="Give a use a `prefix` of its own.")
        for row, instant, output in zip(rows, instants, found, strict=True):
            values = reader.row(reader.key(row, use), instant)
            output.update(dict.fromkeys(names) if values is None else zip(names, map(values.__getitem__, positions)))
    return found


def _newest(root: Root, group: Group, now: datetime) -> pl.DataFrame:
    """Each key's greatest ``(event_time, known_time, row_hash)`` among what is true and known by ``now``.

    Files that hold nothing younger than the group's ttl are not read: from ``now`` on they can answer no question.
    """
    oldest = None if group.ttl is None else now - group.ttl
    files = tables.files(groups.path(root, group), column=EVENT_TIME, start=oldest)
    keys, times = list(group.keys), [EVENT_TIME, KNOWN_TIME]
    if not files:
        return pl.DataFrame(schema={name: group.schema[name] for name in (*keys, *times, *group.values)})
    lazy = pl.scan_parquet(files, hive_partitioning=False).select(*keys, *times, ROW_HASH).with_row_index("_place")
    known = lazy.filter(pl.max_horizontal(times) <= now).collect().sort(*times, ROW_HASH)
    latest = known.unique(subset=keys, keep="last") if keys else known.tail(1)
    return latest.select(*keys, *times).hstack(gather(files, latest.get_column("_place"), group, list(group.values)))


def _written(folder: Path, group: Group, newest: pl.DataFrame) -> Path:
    """A complete, synced SQLite file under a temporary name."""
    temporary = folder / f".{os.getpid()}.{threading.get_ident()}.sqlite"
    temporary.unlink(missing_ok=True)
    columns = _columns(group)
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE declaration (body TEXT)")
        connection.execute("INSERT INTO declaration VALUES (?)", [json.dumps(asdict(group.declaration("")))])
        connection.execute(f"CREATE TABLE rows ({names}, packed BLOB, PRIMARY KEY ({names})) WITHOUT ROWID")
        connection.executemany(f"INSERT INTO rows VALUES ({places}, ?)", _records(group, newest))
        connection.execute("COMMIT")
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    return temporary


def _columns(group: Group) -> list[str]:
    """SQLite's names of the key columns, which no word of SQL can be; a group without keys has one row, at 0."""
    return [f"k{position}" for position in range(max(len(group.keys), 1))]


def _records(group: Group, newest: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Key columns and packed row. Sorted by key, so that SQLite only ever appends."""
    newest = newest.sort(list(group.keys)) if group.keys else newest
    keys = [_plain(newest.get_column(key)).to_list() for key in group.keys] or [[0] * newest.height]
    return zip(*keys, _packed(group, newest), strict=True)


def _plain(column: pl.Series) -> pl.Series:
    """As SQLite holds it: integers, floats, strings."""
    if column.dtype == pl.Boolean:
        return column.cast(pl.Int8)
    return column.cast(pl.Float64) if column.dtype.is_float() else column.to_physical()


def _packed(group: Group, newest: pl.DataFrame) -> Iterator[bytes]:
    """``_layout``'s record of each row, then its strings in UTF-8 one after the other."""
    layout = _layout(group)
    records = np.zeros(newest.height, dtype=layout.numpy)
    texts: list[list[bytes]] = []
    absent = newest.select(pl.col(list(group.values)).is_null())
    filled = newest.select(_filled(name, dtype) for name, dtype in group.values.items())
    for position, (name, dtype) in enumerate(group.values.items()):
        records["null"][:, position // 8] |= absent.get_column(name).to_numpy().view(np.uint8) << np.uint8(position % 8)
        if dtype == pl.String:
            texts.append([text.encode() for text in filled.get_column(name).to_list()])
            records[f"v{position}"] = [len(text) for text in texts[-1]]
        else:
            records[f"v{position}"] = filled.get_column(name).to_numpy()
    for time in (EVENT_TIME, KNOWN_TIME):
        records[time] = newest.get_column(time).to_physical().to_numpy()
    data, size = records.tobytes(), layout.numpy.itemsize
    for index in range(newest.height):
        fixed = data[index * size : (index + 1) * size]
        yield b"".join([fixed, *(text[index] for text in texts)]) if texts else fixed


@dataclass(frozen=True)
class _Layout:
    """One packed row: event and known time, null bits, values. The same bytes to numpy, that packs, and to struct."""

    numpy: np.dtype[Any]
    struct: struct.Struct


def _filled(name: str, dtype: pl.DataType) -> pl.Expr:
    zero: Any = "" if dtype == pl.String else False if dtype == pl.Boolean else 0
    return pl.col(name).to_physical().fill_null(zero)


def _layout(group: Group) -> _Layout:
    codes = [_CODES[type(dtype)] for dtype in group.values.values()]
    bits = (len(codes) + 7) // 8
    fields: list[Any] = [(EVENT_TIME, "<i8"), (KNOWN_TIME, "<i8"), ("null", "u1", (bits,))]
    fields += [(f"v{position}", np.dtype(code).newbyteorder("<")) for position, code in enumerate(codes)]
    return _Layout(np.dtype(fields), struct.Struct(f"<qq{bits}s{''.join(codes)}"))


def _published(folder: Path, temporary: Path) -> Path:
    """Give the file the next number; whoever loses the race for one takes the one after."""
    while True:
        number = max(_numbers(folder), default=0) + 1
        try:
            os.link(temporary, folder / f"{number}.sqlite")
        except FileExistsError:
            continue
        temporary.unlink()
        return folder / f"{number}.sqlite"


def _numbers(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("[0-9]*.sqlite")]


def _point(path: Path, pointer: dict[str, str]) -> None:
    with contextlib.suppress(FileNotFoundError):
        stands = json.loads(path.read_bytes())
        if datetime.fromisoformat(stands["now"]) > datetime.fromisoformat(pointer["now"]):
            return
    write_atomically(path, blobs.canonical(pointer))


def _remove_old(folder: Path) -> None:
    """All but the last files, and what a pointer names."""
    kept = {f"{number}.sqlite" for number in sorted(_numbers(folder))[-KEPT:]}
    kept |= {json.loads(path.read_bytes())["file"] for path in folder.glob("*.json")}
    for path in folder.glob("[0-9]*.sqlite"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


class _Reader:
    """One open file of one group, for one thread."""

    def __init__(self, path: Path, name: str) -> None:
        uri = f"{path.as_uri()}?mode=ro&immutable=1"
        self.connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=8)
        self.connection.execute("PRAGMA mmap_size = 1073741824")
        ((body,),) = self.connection.execute("SELECT body FROM declaration").fetchall()
        self.group = groups.restored(name, GroupDeclared(**json.loads(body)))
        self.ttl = None if self.group.ttl is None else self.group.ttl // _MICROSECOND
        self.struct = _layout(self.group).struct
        self.plans: dict[tuple[str, tuple[str, ...]], tuple[list[str], list[int]]] = {}
        self.positions = {name: position for position, name in enumerate(self.group.values)}
        dtypes = list(enumerate(self.group.values.values()))
        self.convert = [(position, _VALUES[type(dtype)]) for position, dtype in dtypes if type(dtype) in _VALUES]
        self.texts = [position for position, dtype in dtypes if dtype == pl.String]
        self.keys = [(key, _KEYS[type(dtype)], dtype) for key, dtype in self.group.keys.items()]
        where = " AND ".join(f"{column} = ?" for column in _columns(self.group))
        self.query = f"SELECT packed FROM rows WHERE {where}"

    def wanted(self, use: Use) -> tuple[list[str], list[int]]:
        """The output columns, and the place of each among the group's values."""
        known = self.plans.get((use.prefix, use.features))
        if known is not None:
            return known
        for feature in use.features:
            if feature not in self.positions:
                raise NotFound.among(f"feature of {use.group}", feature, self.positions)
        plan = list(use.outputs), [self.positions[feature] for feature in use.outputs.values()]
        self.plans[use.prefix, use.features] = plan
        return plan

    def key(self, row: Mapping[str, Any], use: Use) -> list[Any]:
        """The key as SQLite holds it."""
        found = []
        for key, plain, dtype in self.keys:
            column = use.keys.get(key, key)
            if column not in row:
                raise InvalidInput(
                    f"The row has no {column!r}, the key {key} of {use.group}.",
                    f"It has: {', '.join(row)}.",
                    "Give it with the row; null is allowed.",
                )
            value = row[column]
            try:
                found.append(None if value is None else plain(value))
            except (TypeError, AttributeError):
                raise InvalidInput(
                    f"{column} is {type(value).__name__} {value!r}.",
                    f"The key {use.group}.{key} is {dtype}.",
                    "Give the key as that type.",
                ) from None
        return found or [0]

    def row(self, key: list[Any], instant: int) -> list[Any] | None:
        """The values in the group's order, if there is a fact at this instant."""
        try:
            packed = self.connection.execute(self.query, key).fetchone()
        except (OverflowError, UnicodeEncodeError):  # More than 64 bits, or half a surrogate pair, equals no key.
            return None
        if packed is None:
            return None
        (data,) = packed
        event, known, nulls, *values = self.struct.unpack_from(data)
        if event > instant or known > instant or (self.ttl is not None and instant - event > self.ttl):
            return None
        offset = self.struct.size
        for position in self.texts:
            offset, start = offset + values[position], offset
            values[position] = data[start:offset].decode()
        for position, convert in self.convert:
            values[position] = convert(values[position])
        if any(nulls):
            values = [None if nulls[i // 8] >> i % 8 & 1 else value for i, value in enumerate(values)]
        return values


_Signature = tuple[int, int, int]


class _Held(threading.local):
    """What this thread has open: by root and group name the pointer's path, its signature, and the reader."""

    def __init__(self) -> None:
        self.readers: dict[tuple[Root, str], tuple[str, _Signature, _Reader]] = {}


_held = _Held()


def _reader(root: Root, name: str) -> _Reader:
    """This thread's open reader of what the pointer names; opened anew when the pointer was replaced."""
    held = _held.readers.get((root, name))
    if held is not None and held[1] == _signature(held[0]):
        return held[2]
    bare = name.partition("@")[0]
    pointer = root.online(bare) / f"{name}.json"
    for _ in range(_ATTEMPTS):
        seen = _signature(str(pointer))
        if seen is None:
            there = [path.stem for path in root.online(bare).parent.glob("*/*.json")]
            raise NotFound.among("materialised feature group", name, there, "Materialise it first.")
        try:
            reader = _Reader(pointer.with_name(json.loads(pointer.read_bytes())["file"]), bare)
        except sqlite3.OperationalError:  # Switched and cleaned away since the pointer was read: read it again.
            continue
        if held is not None:
            held[2].connection.close()
        _held.readers[root, name] = (str(pointer), seen, reader)
        return reader
    raise Unreachable(f"The online file of {name} cannot be opened.", f"Pointer {pointer}.", "Materialise it again.")


def _signature(path: str) -> _Signature | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _micros(instant: datetime) -> int:
    return (clock.utc(instant) - _EPOCH) // _MICROSECOND


def _integer(value: Any) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError
    return operator.index(value)


def _boolean(value: Any) -> int:
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _float(value: Any) -> float | None:
    if not isinstance(value, float | np.floating):
        raise TypeError
    return float(value) + 0.0


def _day(value: Any) -> int:
    return int((value - _EPOCH.date()).days)  # a TypeError for all that is no date, a datetime among it


_KEYS: dict[type, Callable[[Any], Any]] = {
    pl.String: _text,
    pl.Boolean: _boolean,
    pl.Date: _day,
    pl.Datetime: _micros,
    pl.Float32: _float,
    pl.Float64: _float,
    **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.Int64), _integer),
}
_VALUES: dict[type, Callable[[Any], Any]] = {
    pl.Date: lambda days: _EPOCH.date() + timedelta(days=days),
    pl.Datetime: lambda micros: _EPOCH + timedelta(microseconds=micros),
}
