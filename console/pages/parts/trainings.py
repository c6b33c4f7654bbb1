"""Trainings as a frame for their chart, as lines of a table, and one of them step by step as the ledger has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from console.pages.parts import events, icons, markup, words
from console.pages.parts.markup import text
from console.views import Training
from store import clock, ledger
from store.layout import Root
from store.registry.dues import Due

HEAD = ("ended", "why", "how", "model", "took")
SHAPES = {"promoted": "good", "kept": "good", "failed": "alarm", "claimed": "busy", "open": "watch"}
COMPARISONS = pl.Schema(
    dict.fromkeys(("label", "outcome"), pl.String())
    | dict.fromkeys(("difference", "low", "high"), pl.Float64())
    | {"rows": pl.Int64()}
)


def comparisons(known: Sequence[Training]) -> pl.DataFrame:
    """Trainings that were compared with a champion, of COMPARISONS, in their order."""
    rows = [
        (clock.printed(closed.store_time), one.outcome, judged.difference, judged.low, judged.high, judged.rows)
        for one in known
        if (judged := one.judged) and judged.difference is not None and (closed := one.due.closed)
    ]
    return pl.DataFrame(rows, schema=COMPARISONS, orient="row")


def table(known: Sequence[Training], now: datetime) -> str:
    """Every training: when, why, how it ended, its model, how long it took."""
    return markup.table(HEAD, [_line(one, now) for one in known])


def steps(root: Root, due: Due | None, now: datetime) -> str:
    """What the ledger has of a due's training so far."""
    if due is None:
        return '<p class="a-need">The ledger has nothing of it yet: the run has not taken a due.</p>'
    last = due.closed.seq if due.closed else ledger.head(root)
    rows = [row for row in ledger.rows(root)[due.opened.seq - 1 : last] if row.subject == due.pipeline]
    lines = [
        (f"{icons.badge('good', '')} {text(events.told(row))}", words.ago(row.store_time, now), "")
        for row in rows
        if row.action in words.STEPS
    ]
    if due.closed is None:
        waiting = "at work" if due.claimed else "waiting for a run"
        lines.append((icons.badge("busy" if due.claimed else "watch", waiting), "", ""))
    return markup.items(lines)


def _line(one: Training, now: datetime) -> list[str]:
    opened, claimed, closed = one.due.opened, one.due.claimed, one.due.closed
    at = (closed or claimed or opened).store_time
    why = words.listed([words.REASONS[kind] for kind in opened.body.kinds])
    by = f"started by {words.STARTED.get(claimed.body.by, claimed.body.by)}" if claimed else "not started yet"
    return [
        f"{text(clock.printed(at))}<small>{text(words.ago(at, now))}</small>",
        f"{text(why)}<small>{text(opened.body.reasons[0])}</small>",
        f"{icons.badge(SHAPES[one.outcome], one.outcome)}<small>{text(by)}</small>",
        _model(one),
        text(words.seconds(one.seconds)),
    ]


def _model(one: Training) -> str:
    if one.model is None:
        return "–"
    body = one.model.body
    said = f"{words.metric(body.metric)} {words.value(body.value)} ({words.interval(body.low, body.high)})"
    return f"{text(said)}<small>{markup.identifier(one.model.digest)} · {text(words.count(body.rows, 'row'))}</small>"
