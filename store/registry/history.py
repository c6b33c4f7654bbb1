"""Who served when: the champion's reigns, from the ledger's promotions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from store import clock, ledger
from store.layout import Root
from store.registry import aliases


@dataclass(frozen=True)
class Reign:
    """One target of an alias, from ``start`` (store time, UTC) until ``end`` (None: still)."""

    digest: str
    label: str
    start: datetime
    end: datetime | None
    reason: str
    actor: str


def reigns(root: Root, pipeline: str, environment: str, alias: str = aliases.CHAMPION) -> list[Reign]:
    """Every target an alias had, oldest first; ends touch starts."""
    found = aliases.moves(ledger.rows(root), pipeline, environment, alias)
    ends = [*(row.store_time for row in found[1:]), None][: len(found)]
    return [
        Reign(row.digest, row.body.label, row.store_time, end, row.reason, row.actor)
        for row, end in zip(found, ends, strict=True)
    ]


def at(root: Root, pipeline: str, environment: str, instant: datetime, alias: str = aliases.CHAMPION) -> Reign | None:
    """Who an alias pointed at, at that instant (with a zone), or None before its first move."""
    instant = clock.utc(instant)
    return next(
        (
            reign
            for reign in reigns(root, pipeline, environment, alias)
            if reign.start <= instant and (reign.end is None or instant < reign.end)
        ),
        None,
    )
