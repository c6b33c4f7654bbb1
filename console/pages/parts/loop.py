"""The loop's stations with their live numbers: what each holds, how old its newest is, and how it is.

A station's number is counted where it is cheap: the ledger for what was decided, the files' statistics (through
``store.sql``) for rows of features and traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from console.views import LEVELS, Card
from store import ledger, sql, tables
from store.features import group as groups
from store.layout import Root
from store.ledger import Row
from store.registry import dues, models, packages
from store.traffic import outcomes, predictions

NAMES = (
    "ingest",
    "features",
    "gate",
    "package store",
    "test",
    "production",
    "train",
    "registry",
    "serve",
    "collect",
    "monitor",
)

MONITORED = {
    "drifts": ("alarm", "drift"),
    "falls": ("alarm", "fallen"),
    "watch": ("watch", "unsettled"),
    "waits": ("none", "nothing yet"),
}


@dataclass(frozen=True)
class Station:
    """One part of the loop. ``level``: good, watch, alarm, busy or none; ``word`` says it; ``at`` is its newest (UTC)."""

    name: str
    number: int
    noun: str
    at: datetime | None
    level: str
    word: str


def stations(root: Root, environment: str, cards: list[Card], now: datetime) -> list[Station]:
    """Every station, in the order of NAMES."""
    last, counted = _newest(root, environment), _counted(root, environment, [card.pipeline for card in cards])
    return [
        *_data(root, counted, now),
        *_proved(root, last),
        *_running(root, environment, cards, last),
        *_watched(cards, last, counted),
    ]


def _counted(root: Root, environment: str, pipelines: list[str]) -> dict[tuple[str, str], tuple[int, datetime | None]]:
    """Rows and newest time of every group and traffic table that holds any, by kind and name, in one question."""
    asked = {
        ("group", name): (groups.path(root, one), name, "event_time") for name, one in groups.declared(root).items()
    }
    for kind, home in (("predictions", predictions.path), ("outcomes", outcomes.path)):
        asked |= {
            (kind, name): (home(root, environment, name), f"{kind}_{environment}_{name}", "received_at")
            for name in pipelines
        }
    held = {key: (view, column) for key, (path, view, column) in asked.items() if tables.exists(path)}
    if not held:
        return {}
    parts = [
        f"SELECT '{kind}' AS kind, '{name}' AS name, count(*) AS total, max({column}) AS newest FROM \"{view}\""
        for (kind, name), (view, column) in held.items()
    ]
    found = sql.ask(root, " UNION ALL ".join(parts))
    return {(kind, name): (total, newest) for kind, name, total, newest in found.iter_rows()}


def _data(root: Root, counted: dict[tuple[str, str], tuple[int, datetime | None]], now: datetime) -> list[Station]:
    held = {name: found for (kind, name), found in counted.items() if kind == "group"}
    used = {name for package in packages.listed(root) for name in package.body.groups} & set(held)
    total = sum(rows for rows, _ in held.values())
    known = max((newest for _, newest in held.values() if newest), default=None)
    fresh = max((newest for name in used if (newest := held[name][1])), default=None)
    old = _stale(root, held, now)
    return [
        Station("ingest", total, "rows", known, *_fresh("flowing", total > 0, bool(old))),
        Station("features", len(used), "groups in use", fresh, *_fresh("published", bool(used), bool(old & used))),
    ]


def _stale(root: Root, held: dict[str, tuple[int, datetime | None]], now: datetime) -> set[str]:
    """Groups whose newest fact no longer counts: older than the group's own ttl, so a service would find nothing."""
    declared = groups.declared(root)
    return {name for name, (_, newest) in held.items() if newest and (ttl := declared[name].ttl) and newest + ttl < now}


def _fresh(word: str, some: bool, stale: bool) -> tuple[str, str]:
    return ("none", "nothing yet") if not some else ("watch", "stale") if stale else ("good", word)


def _proved(root: Root, last: dict[str, Row]) -> list[Station]:
    published, refused = last.get("package.published"), last.get("package.refused")
    verdict = max((row for row in (published, refused) if row), key=lambda row: row.seq, default=None)
    proofs = len(ledger.find(root, action=("package.published", "package.refused")))
    good = verdict is not None and verdict.action == "package.published"
    gate = ("none", "nothing yet") if verdict is None else ("good", "passed") if good else ("alarm", "refused")
    tried = last.get("package.tried")
    trial = (
        ("none", "nothing yet")
        if tried is None
        else ("good", "contracts kept")
        if tried.body.passed
        else ("alarm", "contract broken")
    )
    stored = len(packages.listed(root))
    return [
        Station("gate", proofs, "provings", _at(verdict), *gate),
        Station(
            "package store",
            stored,
            "packages",
            _at(published),
            *(("good", "published") if stored else ("none", "nothing yet")),
        ),
        Station("test", tried.body.examples if tried else 0, "examples tried", _at(tried), *trial),
    ]


def _running(root: Root, environment: str, cards: list[Card], last: dict[str, Row]) -> list[Station]:
    deployed = [card for card in cards if card.package is not None]
    delivered = max((card.delivered_at for card in deployed if card.delivered_at), default=None)
    open_dues = [due for due in dues.listed(root, environment=environment) if due.state != "closed"]
    trained = len(dues.listed(root, environment=environment)) - len(open_dues)
    closed = last.get("due.closed")
    state = (
        ("busy", f"{len(open_dues)} due")
        if open_dues
        else ("none", "nothing yet")
        if closed is None
        else ("good", closed.body.outcome)
    )
    if closed is not None and closed.body.outcome == "failed" and not open_dues:
        state = ("alarm", "failed")
    held = models.listed(root, environment=environment)
    champions = sum(card.champion is not None for card in cards)
    return [
        Station("production" if environment == "production" else "deployed here", len(deployed), "deployed", delivered,
                *(("good", "delivered") if deployed else ("none", "nothing yet"))),
        Station("train", trained, "trainings", _at(last.get("due.opened") if open_dues else closed), *state),
        Station("registry", len(held), "models", held[-1].registered_at if held else None,
                *(("good", f"{champions} serving") if champions else ("none", "no champion"))),
    ]  # fmt: skip


def _watched(
    cards: list[Card], last: dict[str, Row], counted: dict[tuple[str, str], tuple[int, datetime | None]]
) -> list[Station]:
    asked, asked_at = _traffic(counted, "predictions")
    told, told_at = _traffic(counted, "outcomes")
    refused = any(card.trouble is not None and card.trouble.action == "model.load_refused" for card in cards)
    serving = ("alarm", "load refused") if refused else ("good", "answering") if asked else ("none", "nothing asked")
    judged = [card for card in cards if card.mine]
    worst = min(
        (card.level for card in judged if card.level in MONITORED),
        key=LEVELS.index,
        default="waits" if not judged else "calm",
    )
    return [
        Station("serve", asked, "predictions", asked_at, *serving),
        Station("collect", told, "outcomes", told_at, *(("good", "coming back") if told else ("none", "nothing yet"))),
        Station(
            "monitor",
            sum(len(card.weeks) for card in judged),
            "weeks judged",
            _at(last.get("monitor.decided")),
            *MONITORED.get(worst, ("good", "calm")),
        ),
    ]


def _traffic(counted: dict[tuple[str, str], tuple[int, datetime | None]], kind: str) -> tuple[int, datetime | None]:
    """Rows of one kind of traffic over all pipelines, and the newest's store time."""
    found = [one for (held, _), one in counted.items() if held == kind]
    return sum(rows for rows, _ in found), max((newest for _, newest in found if newest), default=None)


def _newest(root: Root, environment: str) -> dict[str, Row]:
    """The newest row of each action, here or of no environment (a package is tried in test, wherever it runs)."""
    return {
        row.action: row
        for row in ledger.rows(root)
        if row.environment in ("", environment) or row.action == "package.tried"
    }


def _at(row: Row | None) -> datetime | None:
    return None if row is None else row.store_time
