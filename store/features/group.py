"""A feature group as the store knows it: a table of facts about an entity, with two times.

``event_time`` is when a fact was true, ``known_time`` when it could be known. How its rows come about (sources,
derivations, collected traffic) is declared above, in ``flows.pipeline``; the store keeps the derivation's digest only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import polars as pl

from store import ledger
from store.actions import GroupDeclared
from store.errors import InvalidInput, NotFound
from store.layout import Root, checked

TIME = pl.Datetime("us", "UTC")
EVENT_TIME, KNOWN_TIME, ROW_HASH = "event_time", "known_time", "row_hash"
_DTYPES: dict[str, pl.DataType] = {
    str(dtype): dtype
    for dtype in (
        pl.String(), pl.Boolean(), pl.Date(), TIME, pl.Float32(), pl.Float64(),
        pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(),  # Delta has no unsigned integers
    )
}  # fmt: skip
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Group:
    """A feature group: its name, columns and times.

    ``keys`` and ``values`` map column names to Polars dtypes, in order; ``keys`` may be empty (then only time joins).
    ``ttl``: how long before T a fact still counts, None for ever. ``delay``: how long after ``event_time`` a fact is
    known when it is loaded in bulk without a ``known_time`` of its own. ``zone``: the zone of naive times at the write
    door; without it naive times are refused. ``version`` goes up whenever the derivation changes.
    """

    name: str
    keys: Mapping[str, pl.DataType]
    values: Mapping[str, pl.DataType]
    description: str = ""
    version: int = 1
    ttl: timedelta | None = None
    delay: timedelta = field(default_factory=timedelta)
    zone: str | None = None

    def __post_init__(self) -> None:
        checked("feature group", self.name)
        for column, dtype in (*self.keys.items(), *self.values.items()):
            if not _COLUMN.fullmatch(column) or column in (EVENT_TIME, KNOWN_TIME, ROW_HASH):
                raise InvalidInput(
                    f"The feature group {self.name} cannot have a column {column!r}.",
                    "Columns are lower-case letters, digits, underscores; "
                    f"{EVENT_TIME}, {KNOWN_TIME}, {ROW_HASH} are taken.",
                    "Rename the column in the group's declaration.",
                )
            if str(dtype) not in _DTYPES:
                raise InvalidInput(
                    f"{self.name}.{column} cannot be a {dtype}.",
                    f"Dtypes: {', '.join(_DTYPES)}.",
                    "Declare one of them.",
                )
        if twice := sorted(set(self.keys) & set(self.values)):
            raise InvalidInput(
                f"The feature group {self.name} has {twice} both as key and as value.",
                "A column is one of the two.",
                "Declare it once.",
            )

    @property
    def schema(self) -> pl.Schema:
        """The stored table: keys, ``event_time``, ``known_time``, values, and the row's content hash (Int64)."""
        return pl.Schema({**self.keys, EVENT_TIME: TIME, KNOWN_TIME: TIME, **self.values, ROW_HASH: pl.Int64()})

    @property
    def reference(self) -> str:
        """The group with its version spelled out, ``name@2``: what a package or snapshot pins."""
        return f"{self.name}@{self.version}"

    def declaration(self, derivation: str) -> GroupDeclared:
        """As the ledger records it. ``derivation`` is the digest of the code that makes the rows."""
        return GroupDeclared(
            version=self.version,
            derivation=derivation,
            keys={name: str(dtype) for name, dtype in self.keys.items()},
            values={name: str(dtype) for name, dtype in self.values.items()},
            delay_seconds=self.delay.total_seconds(),
            ttl_seconds=None if self.ttl is None else self.ttl.total_seconds(),
            zone=self.zone,
            description=self.description,
        )


def declared(root: Root) -> dict[str, Group]:
    """Every group the root holds, by name, in its newest version."""
    return {row.subject: restored(row.subject, row.body) for row in ledger.find(root, action="group.declared")}


def load(root: Root, name: str) -> Group:
    """One group by ``name`` (its newest version) or ``name@2``; NotFound names the ones that exist."""
    bare, _, version = name.partition("@")
    known = declared(root)
    if bare not in known:
        raise NotFound.among("feature group", bare, known, "Run `assay ingest` first.")
    if not version or name == known[bare].reference:
        return known[bare]
    versions = {group.reference: group for group in _versions(root, bare)}
    if name not in versions:
        raise NotFound.among("feature group", name, versions)
    return versions[name]


def path(root: Root, group: Group) -> Path:
    """Where the group's table lies: ``features/<name>``, and ``features/<name>@2`` for a higher version."""
    folder = root.group(group.name)
    return folder if group.version == 1 else folder.with_name(group.reference)


def _versions(root: Root, name: str) -> list[Group]:
    return [restored(name, row.body) for row in ledger.find(root, action="group.declared", subject=name)]


def restored(name: str, body: GroupDeclared) -> Group:
    return Group(
        name=name,
        keys={column: _DTYPES[dtype] for column, dtype in body.keys.items()},
        values={column: _DTYPES[dtype] for column, dtype in body.values.items()},
        description=body.description,
        version=body.version,
        ttl=None if body.ttl_seconds is None else timedelta(seconds=body.ttl_seconds),
        delay=timedelta(seconds=body.delay_seconds),
        zone=body.zone,
    )
