"""SQL over everything that is remembered: DuckDB with one view a table.

Views: every feature group by its name (``features_<name>`` where that is one of the following); ``ledger``;
``packages``, ``models``, ``snapshots``, ``decisions``, ``comparisons``, ``aliases``, ``dues`` folded from it;
``predictions_<environment>_<pipeline>`` and ``outcomes_<environment>_<pipeline>``. A view freezes the files of the
moment it was made: connect anew to see what came since. Times are TIMESTAMP WITH TIME ZONE, shown in UTC.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars as pl

from store import actions, ledger, tables
from store.errors import InvalidInput
from store.features import group as groups
from store.layout import Root

FOLDED = {
    "packages": ("package.published",),
    "models": ("model.registered",),
    "snapshots": ("snapshot.frozen",),
    "decisions": ("monitor.decided",),
    "comparisons": ("model.judged",),
    "aliases": ("package.delivered", "package.rolled_back", "model.promoted", "model.rolled_back"),
    "dues": ("due.opened", "due.claimed", "due.closed"),
}


def connect(root: Root) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory with a view of everything in the root. It reads; writes go through the store's doors."""
    connection = _connection()
    connection.register("ledger", ledger.frame(root).to_arrow())
    for name, wanted in FOLDED.items():
        connection.register(name, _folded(root, wanted).to_arrow())
    for path in sorted((root.path / "traffic").glob("*/*/*")):
        environment, pipeline, kind = path.parts[-3:]
        if tables.exists(path):
            _view(connection, f"{kind}_{environment}_{pipeline}", path)
    taken = views(connection)
    for name, found in groups.declared(root).items():
        _view(connection, f"features_{name}" if name in taken else name, groups.path(root, found))
    return connection


def query(sql: str, **frames: pl.DataFrame) -> pl.DataFrame:
    """The answer of one statement over the given frames, each a table by its argument's name."""
    connection = _connection()
    for name, frame in frames.items():
        connection.register(name, frame.to_arrow())
    return _answer(connection, sql)


def ask(root: Root, sql: str) -> pl.DataFrame:
    """The answer of one statement over the root. InvalidInput carries DuckDB's words and the views there are."""
    return _answer(connect(root), sql)


def views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The names that can be asked."""
    return sorted(
        name for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    )


def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET TimeZone='UTC'")
    return connection


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    try:
        answer = connection.sql(sql)
        return pl.DataFrame() if answer is None else pl.DataFrame(pl.from_arrow(answer.to_arrow_table()))
    except duckdb.Error as error:
        raise InvalidInput(
            f"DuckDB cannot answer that: {error}", f"Views: {', '.join(views(connection))}.", "Mend the statement."
        ) from None


def _view(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """A view over the active files of a table, or, while it has none, over no rows of its columns."""
    files = tables.files(path)
    if files:
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        connection.execute(
            f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{listed}], union_by_name=true, hive_partitioning=false)'
        )
    else:
        connection.register(name, pl.DataFrame(schema=tables.schema(path)).to_arrow())


def _folded(root: Root, wanted: Iterable[str]) -> pl.DataFrame:
    """Rows of some actions, their payload's plain fields as columns; lists and objects stay JSON."""
    kinds = {actions.ACTIONS[action] for action in wanted}
    columns: dict[str, pl.DataType] = {
        "seq": pl.Int64(), "store_time": pl.Datetime("us", "UTC"), "action": pl.String(), "pipeline": pl.String(),
        "environment": pl.String(), "digest": pl.String(), "actor": pl.String(), "reason": pl.String(),
    }  # fmt: skip
    for kind in sorted(kinds, key=lambda found: found.__name__):
        for field in dataclasses.fields(kind):
            columns.setdefault(field.name, _dtype(str(field.type)))
    rows = []
    for row in ledger.find(root, action=tuple(wanted)):
        fixed = [row.seq, row.store_time, row.action, row.subject, row.environment, row.digest, row.actor, row.reason]
        values = [_plain(getattr(row.body, name, None)) for name in list(columns)[len(fixed) :]]
        rows.append((*fixed, *values))
    return pl.DataFrame(rows, schema=columns, orient="row")


def _dtype(annotation: str) -> pl.DataType:
    plain = annotation.removesuffix(" | None")
    return {"float": pl.Float64(), "int": pl.Int64(), "bool": pl.Boolean()}.get(plain, pl.String())


def _plain(value: object) -> object:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
