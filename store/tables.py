"""Delta tables behind one file: atomic commits between processes, versions to go back to, plain parquet underneath.

Frames go in and come out as Polars. Every instant is ``Datetime('us', 'UTC')``. An append may carry an application
transaction ``(writer, version)``: the same pair is applied once, whoever retries (Delta's ``txn`` action). Delta checks
that only against commits since the *handle's* snapshot, so the append is made with the handle that read the version.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import urllib.parse
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from store.errors import Conflict, InvalidInput, NotFound
from store.layout import writing

_ATTEMPTS = 20
_KEPT = {"delta.enableExpiredLogCleanup": "false"}
"""Delta would drop the log of versions older than 30 days, and a snapshot that pins one could not be rebuilt any more."""
_STATISTICS = timedelta(milliseconds=1)  # Delta keeps a file's smallest and largest instant in whole milliseconds.


def exists(path: Path) -> bool:
    """Whether a table was created there."""
    return (path / "_delta_log").is_dir() and DeltaTable.is_deltatable(str(path))


def create(path: Path, schema: pl.Schema | dict[str, pl.DataType]) -> None:
    """Create an empty table, unless it exists. Columns and dtypes are fixed from here on."""
    if not exists(path):
        path.mkdir(parents=True, exist_ok=True)
        # Who loses a race must not retry: that would commit, and replace the winner's columns.
        first = CommitProperties(max_commit_retries=0)
        with contextlib.suppress(CommitFailedError), writing(path):
            DeltaTable.create(
                str(path), schema=_arrow(pl.Schema(schema)), mode="ignore", configuration=_KEPT, commit_properties=first
            )


def append(path: Path, frame: pl.DataFrame, *, transaction: tuple[str, int] | None = None) -> int:
    """Append rows in one commit and return the table's version.

    The frame has the table's columns and dtypes, in any order (InvalidInput otherwise). With ``transaction = (writer,
    version)`` nothing is appended if that writer has already committed that version or a later one.
    """
    for _ in range(_ATTEMPTS):
        table = _open(path)
        frame = _fitted(path, frame, _schema(table))
        if transaction is not None:
            done = table.transaction_version(transaction[0])
            if done is not None and done >= transaction[1]:
                return int(table.version())
        elif frame.is_empty():
            return int(table.version())
        applied = [Transaction(*transaction)] if transaction else None
        try:
            _commit(
                path, table, frame, CommitProperties(app_transactions=applied, max_commit_retries=0 if applied else 15)
            )
        except (CommitFailedError, DeltaError) as error:
            if "ransaction" in str(error) or isinstance(error, CommitFailedError):
                continue
            raise
        return int(table.version())
    raise Conflict(f"Could not append to {path.name}.", f"{_ATTEMPTS} attempts lost to other writers.", "Run it again.")


def extend(path: Path, frame: pl.DataFrame, *, after: int, transactions: Sequence[tuple[str, int]] = ()) -> bool:
    """Append rows only if version ``after`` is still the newest; False, and nothing changed, if it is not.

    What was decided from that version's rows (are these already there?) is then still true when they are committed.
    """
    table = _open(path)
    if table.version() != after:
        return False
    frame = _fitted(path, frame, _schema(table))
    applied = [Transaction(*pair) for pair in transactions] or None
    try:
        _commit(path, table, frame, CommitProperties(app_transactions=applied, max_commit_retries=0))
    except (CommitFailedError, DeltaError) as error:
        if "ransaction" in str(error) or isinstance(error, CommitFailedError):
            return False
        raise
    return True


def _commit(path: Path, table: DeltaTable, frame: pl.DataFrame, properties: CommitProperties) -> None:
    with writing(path):
        write_deltalake(table, frame.to_arrow(), mode="append", commit_properties=properties)


def version(path: Path) -> int:
    """The newest version, from 0."""
    return int(_open(path).version())


def transaction(path: Path, writer: str, version: int | None = None) -> int | None:
    """The newest number that ``writer`` had committed as of one version of the table (default: the newest), or None."""
    if not exists(path):
        return None
    found = _open(path, version).transaction_version(writer)
    return None if found is None else int(found)


def transactions(path: Path, writers: Iterable[str], version: int | None = None) -> dict[str, int]:
    """What each of many writers had committed, read with one handle; writers that never did are left out."""
    table = _open(path, version)
    found = {writer: table.transaction_version(writer) for writer in writers}
    return {writer: int(number) for writer, number in found.items() if number is not None}


def widen(path: Path, wanted: pl.Schema) -> None:
    """Add the columns of ``wanted`` that the table does not have yet; its older rows have null there.

    Conflict: a column the table has with another dtype. A column it has and ``wanted`` has not stays.
    """
    for _ in range(_ATTEMPTS):
        table = _open(path)
        found = _schema(table)
        other = [name for name, dtype in wanted.items() if found.get(name, dtype) != dtype]
        if other:
            raise Conflict(
                f"{path.name} cannot change: {', '.join(f'{one} is {found[one]}, not {wanted[one]}' for one in other)}",
                f"The table lies at {path}; a column keeps its dtype for good.",
                "Give the changed column another name.",
            )
        fresh = {name: dtype for name, dtype in wanted.items() if name not in found}
        if not fresh:
            return
        try:
            with writing(path):
                table.alter.add_columns(Schema.from_arrow(_arrow(pl.Schema(fresh))).fields)
        except CommitFailedError:
            continue
        return
    raise Conflict(f"Could not widen {path.name}.", f"{_ATTEMPTS} attempts lost to other writers.", "Run it again.")


def schema(path: Path) -> pl.Schema:
    """Columns and dtypes, in the table's order."""
    return _schema(_open(path))


def files(
    path: Path,
    *,
    version: int | None = None,
    column: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[str]:
    """The parquet files of one version, in a fixed order, as plain paths.

    With ``column``, files whose statistics show that no value lies in ``start <= column < end`` are left out.
    """
    table = _open(path, version)
    if column and (start is not None or end is not None):
        actions = pl.DataFrame(pl.from_arrow(pa.table(table.get_add_actions(flatten=True))))
        low, high = pl.col(f"min.{column}"), pl.col(f"max.{column}")
        if f"min.{column}" in actions.columns and actions.height:
            keep = pl.lit(True)
            if start is not None:
                keep &= (high >= start - _STATISTICS) | high.is_null()
            if end is not None:
                keep &= (low < end + _STATISTICS) | low.is_null()
            actions = actions.filter(keep)
        names = [urllib.parse.unquote(name) for name in actions.get_column("path").to_list()]
        return sorted(str(path / name) for name in names)
    return sorted(urllib.parse.unquote(uri).removeprefix("file://") for uri in table.file_uris())


def read(
    path: Path,
    *,
    version: int | None = None,
    columns: Sequence[str] | None = None,
    column: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame:
    """Rows of one version; with ``column``, only those with ``start <= column < end``. Row order is not promised."""
    found = files(path, version=version, column=column, start=start, end=end)
    wanted = schema(path)
    if not found:
        frame = pl.DataFrame(schema=wanted)
    else:
        lazy = pl.scan_parquet(found, schema=wanted, missing_columns="insert", hive_partitioning=False)
        if start is not None:
            lazy = lazy.filter(pl.col(column) >= start)
        if end is not None:
            lazy = lazy.filter(pl.col(column) < end)
        frame = lazy.select(list(columns) if columns else list(wanted)).collect()
    return frame.select(list(columns)) if columns else frame.select(list(wanted))


def compact(path: Path) -> None:
    """Rewrite small files into few. Old versions stay readable: nothing is vacuumed here.

    One at a time, by a lock on the log's folder: Delta commits two compactions of the same files, whatever is said of
    retries or transactions (deltalake 1.6.6), and then every row is there twice.
    """
    _open(path)
    log = os.open(path / "_delta_log", os.O_RDONLY)
    try:
        fcntl.flock(log, fcntl.LOCK_EX)
        _open(path).optimize.compact()
    finally:
        os.close(log)


def unreached(path: Path, versions: Iterable[int], *, before: datetime) -> list[Path]:
    """Parquet files of the table's folder that nobody can be reading and no wanted version has, oldest name first.

    Wanted are the newest version, ``versions``, and every version that was the newest one at ``before`` (wall clock, with a zone) or
    later: a reader may still hold it. A file younger than ``before`` may belong to a commit under way. Left over are what compaction
    replaced and what a killed writer never committed. NotFound: one of ``versions`` cannot be read.
    """
    horizon, newest = before.timestamp(), version(path)
    held = {
        int(log.stem) - 1
        for log in (path / "_delta_log").glob("*.json")
        if log.stem.isdigit() and log.stat().st_mtime >= horizon
    }
    wanted = {newest, *versions, *(number for number in held if 0 <= number <= newest)}
    kept = set[str]()
    for number in sorted(wanted):
        try:
            kept.update(files(path, version=number))
        except DeltaError as error:
            raise NotFound(
                f"Version {number} of the table {path.name} cannot be read any more.",
                f"The table lies at {path}, its newest version is {newest}.",
                "Restore its _delta_log from a copy.",
            ) from error
    found = (file for file in sorted(path.glob("*.parquet")) if str(file) not in kept)
    return [file for file in found if file.stat().st_mtime < horizon]


_handles = threading.local()


def _open(path: Path, version: int | None = None) -> DeltaTable:
    """A handle at one version, or at the newest.

    The newest is brought up to date from the handle this thread had last: reading a log of twenty commits from its beginning takes
    16 ms, following it 2 ms, and a collection opens its tables fifty times. A table that was deleted and made anew is another one.
    """
    try:
        followed = _followed(path)
        if version is None or followed.version() == version:
            return followed
        return DeltaTable(str(path), version=version)
    except TableNotFoundError:
        raise NotFound(f"There is no table at {path}.", remedy="Ingest or collect something first.") from None
    except DeltaError as error:
        if version is None or 0 <= version <= (newest := int(DeltaTable(str(path)).version())):
            raise
        raise NotFound(
            f"The table {path.name} has no version {version}.",
            f"Its versions are 0 to {newest}.",
            "Ask for one of these, or none for the newest.",
        ) from error


def _followed(path: Path) -> DeltaTable:
    known: dict[Path, tuple[tuple[int, int], DeltaTable]] = _handles.__dict__.setdefault("known", {})
    try:  # the first commit is written once; a folder's inode alone may be given to the next table of that name
        first = (path / "_delta_log" / f"{0:020d}.json").stat()
    except FileNotFoundError:
        known.pop(path, None)
        return DeltaTable(str(path))
    identity = first.st_ino, first.st_mtime_ns
    if path in known and known[path][0] == identity:
        known[path][1].update_incremental()
    else:
        known[path] = (identity, DeltaTable(str(path)))
    return known[path][1]


def _schema(table: DeltaTable) -> pl.Schema:
    return pl.DataFrame(pa.schema(table.schema().to_arrow()).empty_table()).schema


def _arrow(schema: pl.Schema) -> pa.Schema:
    return pl.DataFrame(schema=schema).to_arrow().schema


def _fitted(path: Path, frame: pl.DataFrame, wanted: pl.Schema) -> pl.DataFrame:
    if set(frame.columns) != set(wanted):
        missing, extra = sorted(set(wanted) - set(frame.columns)), sorted(set(frame.columns) - set(wanted))
        raise InvalidInput(
            f"These rows do not fit the table {path.name}: missing {missing or 'nothing'}, unknown {extra or 'nothing'}.",
            f"Its columns: {', '.join(wanted)}.",
            "Give the rows exactly these columns.",
        )
    frame = frame.select(list(wanted))
    wrong = [
        f"{name} is {frame.schema[name]}, not {dtype}" for name, dtype in wanted.items() if frame.schema[name] != dtype
    ]
    if wrong:
        raise InvalidInput(
            f"These rows do not fit the table {path.name}: {'; '.join(wrong)}.", remedy="Cast them first."
        )
    return frame
