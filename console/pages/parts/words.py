"""Numbers, times and sentences as an operator reads them. Pure text: no widget, no store.

A number has its unit and the digits that mean something (AUC .742; 84,112 rows), a time its zone and how long ago it
was in *store* time, an id its first eight characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from console.views import Card, Rules, Training, Week
from store import clock
from store.ledger import Row

METRICS = {"roc_auc": "AUC", "log_loss": "log loss", "mean_absolute_error": "MAE"}
LEVELS = {
    "broken": "is broken", "drifts": "drifts", "falls": "predicts worse", "trains": "retrains", "watch": "is unsettled",
    "waits": "not judged yet", "calm": "is calm",
}  # fmt: skip
REASONS = {"drift": "drift", "performance": "fallen performance", "new_data": "new data", "cadence": "its cadence", "by_hand": "a person's request"}
_UNITS = ((timedelta(days=365), "year"), (timedelta(days=30), "month"), (timedelta(days=7), "week"), (timedelta(days=1), "day"),
          (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))  # fmt: skip


def count(number: int, noun: str, plural: str = "") -> str:
    """``84,112 rows``, ``1 row``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def metric(name: str) -> str:
    """A metric's name as people say it."""
    return METRICS.get(name, name.replace("_", " "))


def value(number: float | None, *, sign: bool = False) -> str:
    """``.742`` below 1, ``23.0`` above; ``+.012`` with ``sign``; an en dash for nothing."""
    if number is None:
        return "–"
    digits = 3 if abs(number) < 10 else 1
    text = f"{number:{'+' if sign else ''}.{digits}f}".replace("-", "−")
    return text.replace("0.", ".", 1) if abs(number) < 1 and not text.startswith(("1", "+1", "−1")) else text


def interval(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """``.674 … .753``."""
    return f"{value(low, sign=sign)} … {value(high, sign=sign)}"


def time(instant: datetime, now: datetime) -> str:
    """``2013-04-14 09:00 UTC · 3 weeks ago``."""
    return f"{clock.printed(instant)} · {ago(instant, now)}"


def ago(instant: datetime, now: datetime) -> str:
    """``3 weeks ago``, ``in 2 days``, ``just now``; of store time, like ``instant``."""
    apart = abs(now - instant)
    for length, unit in _UNITS:
        if apart >= length:
            said = count(apart // length, unit)
            return f"{said} ago" if instant <= now else f"in {said}"
    return "just now"


def span(start: datetime, end: datetime) -> str:
    """``2013-04-22 … 2013-04-29``."""
    return f"{start:%Y-%m-%d} … {end:%Y-%m-%d}"


def seconds(number: float | None) -> str:
    """``34 s``, ``3 min 5 s``."""
    if number is None:
        return "–"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listed(names: Sequence[str], most: int = 3) -> str:
    """``a, b and 4 more``."""
    shown, rest = list(names[:most]), len(names) - most
    return f"{', '.join(shown)} and {rest} more" if rest > 0 else " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def verdict(card: Card) -> str:
    """How the pipeline is, in a sentence with a number and a time. It begins with the pipeline's name."""
    week = card.weeks[-1] if card.weeks else None
    if card.level == "broken" and card.trouble is not None:
        return _broken(card.pipeline, card.trouble)
    if card.drift is not None and week is not None:
        features, total = len(card.drift.features), len(week.body.features)
        above = f"{features} of {total} features above {'their' if features > 1 else 'its'} threshold"
        return f"{card.pipeline} drifts: {above} for {count(card.drift.weeks, 'week')}, since {clock.printed(card.drift.since)}."
    if card.level == "falls" and week is not None:
        against = f"{_measured(week)} in the week to {clock.printed(week.end)}"
        return f"{card.pipeline} predicts worse than a recent baseline: {against}, for {count(card.fallen_weeks, 'week')} in a row."
    if card.level == "trains" and card.due is not None:
        state = "is being retrained" if card.due.state == "claimed" else "is due for retraining"
        return f"{card.pipeline} {state}, since {clock.printed((card.due.claimed or card.due.opened).store_time)}."
    if card.champion is None or card.champion_since is None:
        return f"{card.pipeline} has no champion in {card.environment} yet."
    if week is None:
        return f"{card.pipeline} is not judged yet: its champion serves since {clock.printed(card.champion_since)}, and no week of it has ended."
    return _quiet(card, week)


def overall(cards: Sequence[Card], environment: str) -> str:
    """How all pipelines of an environment are, worst first: who needs a look, and since when."""
    asking = [card for card in cards if card.level not in ("calm", "waits")]
    total = count(len(cards), "pipeline")
    if asking:
        worst = asking[0]
        since = worst.drift.since if worst.drift else worst.weeks[-1].start if worst.weeks else None
        when = f", since {clock.printed(since)}" if since else ""
        return f"{len(asking)} of {total} in {environment} {'asks' if len(asking) == 1 else 'ask'} for a look: {worst.pipeline} {LEVELS[worst.level]}{when}."
    judged = [card.weeks[-1].end for card in cards if card.weeks]
    said = f"judged to {clock.printed(max(judged))}" if judged else "no week has been judged yet"
    return f"Nothing is wrong in {total} in {environment}; {said}."


def need(card: Card, now: datetime) -> str:
    """What the pipeline needs of a person, or why nothing."""
    if card.package is None:
        return f"Deliver it: assay deliver {card.pipeline} --approve"
    if card.champion is None:
        return f"Train it first: assay train {card.pipeline}"
    if card.due is not None and card.due.state == "open":
        return f"A retraining is due since {clock.printed(card.due.opened.store_time)}, and no run has taken it yet."
    if card.due is not None:
        return "Nothing now: a run is training, and decides who serves."
    if card.cooling is not None:
        return f"The monitor is cooling down until {time(card.cooling, now)}; you may retrain by hand before."
    if not card.weeks:
        return "Nothing: the monitor judges each week when it has ended."
    return "Nothing: the monitor opens a retraining when drift or performance is confirmed."


def due(found: Training | None, rule: Rules | None, cooling: datetime | None, now: datetime) -> str:
    """Where retraining stands: open, running, cooling down, or free, with times."""
    if found is not None and found.outcome == "open":
        kinds = listed([REASONS[kind] for kind in found.due.opened.body.kinds])
        return f"A retraining is due since {time(found.due.opened.store_time, now)}, for {kinds}; no run has taken it yet."
    if found is not None and found.outcome == "claimed" and found.due.claimed is not None:
        return f"A training runs since {time(found.due.claimed.store_time, now)}."
    if cooling is not None:
        return f"No retraining is due; the monitor is cooling down until {time(cooling, now)}."
    return "No retraining is due, and none is cooling down."


def decided(found: Training) -> str:
    """What a closed training decided, with its number and time."""
    if found.due.closed is None:
        return ""
    when = clock.printed(found.due.closed.store_time)
    if found.outcome == "failed":
        return f"The last training failed on {when}: {found.due.closed.body.sentence}"
    judged = found.judged
    if judged is None or judged.difference is None:
        own = "" if judged is None else f" with {metric(judged.metric)} {value(judged.challenger_value)}"
        return f"The last training ended on {when}: the first champion{own}, as there was nobody to compare with." if found.outcome == "promoted" else f"The last training ended on {when}: the champion stays."
    ends = "the challenger was promoted" if found.outcome == "promoted" else "the champion stayed"
    better = f"{value(judged.difference, sign=True)} {metric(judged.metric)} ({interval(judged.low, judged.high, sign=True)})"
    return f"The last training ended on {when}: {ends}; the challenger was {better} better on {count(judged.rows, 'row')}."


def event(row: Row) -> str:
    """A ledger row as a sentence without its time."""
    body, short = row.body, row.digest[:8]
    where = f" in {row.environment}" if row.environment else ""
    said = {
        "group.declared": lambda: f"Feature group {row.subject} declared, version {body.version}",
        "snapshot.frozen": lambda: f"Training set of {row.subject} frozen: {count(body.rows, 'row')} to {body.window_end[:10]}",
        "data.explored": lambda: f"Data of {row.subject} analysed: {body.verdict}",
        "package.published": lambda: f"{row.subject} {body.version} passed the gate and was published, {metric(body.metric)} {value(body.value)}",
        "package.refused": lambda: f"{row.subject} {body.version} was refused at the gate: {body.sentence}",
        "package.tried": lambda: f"{row.subject} {body.version} tried in test: {'kept' if body.passed else 'broke'} its applications' contract",
        "package.approved": lambda: f"{row.subject} {body.version} approved for production",
        "package.delivered": lambda: f"{row.subject} {body.label} delivered to {row.environment}",
        "package.rolled_back": lambda: f"{row.subject} rolled back to package {body.label}{where}",
        "model.registered": lambda: f"Model {short} of {row.subject} registered, {metric(body.metric)} {value(body.value)}{where}",
        "model.judged": lambda: f"Challenger {short} of {row.subject} judged: {body.outcome}",
        "model.promoted": lambda: f"Model {short} of {row.subject} became {body.alias}{where}",
        "model.rolled_back": lambda: f"{row.subject} rolled back to model {short}{where}",
        "model.served": lambda: f"The service of {row.subject} answers with model {short}{where}",
        "model.load_refused": lambda: f"The service of {row.subject} refused to load {short}: {body.error}",
        "monitor.decided": lambda: f"Week to {body.window_end[:10]} of {row.subject} judged: {len(body.drifted)} of {len(body.features)} features drift",
        "report.drawn": lambda: f"Report of {row.subject} drawn for {body.window_start[:10]} … {body.window_end[:10]}",
        "due.opened": lambda: f"Retraining of {row.subject} became due: {listed([REASONS[kind] for kind in body.kinds])}",
        "due.claimed": lambda: f"Retraining of {row.subject} taken by a run ({body.by})",
        "due.closed": lambda: f"Retraining of {row.subject} ended: {body.outcome}",
    }  # fmt: skip
    return said[row.action]()


def _measured(week: Week) -> str:
    body = week.body
    if body.champion_value is None:
        return "too few matured labels to judge its performance"
    return f"{metric(body.metric)} {value(body.champion_value)} against {value(body.baseline_value)}"


def _quiet(card: Card, week: Week) -> str:
    total, many, to = len(week.body.features), len(week.body.drifted), clock.printed(week.end)
    if card.level == "watch":
        windows = card.rules.windows if card.rules else 2
        found = [f"{many} of {total} features above threshold"] if many else []
        found += [f"worse than a recent baseline ({_measured(week)})"] if week.body.fallen else []
        return f"{card.pipeline} is unsettled: {' and '.join(found)} in the week to {to}; {windows} weeks in a row make an alarm."
    calm = f"none of {total} features above its threshold" if total else "no drift scores"
    return f"{card.pipeline} is calm: {calm}, {_measured(week)}{' of a recent baseline' if week.body.champion_value is not None else ''}, in the week to {to}."


def _broken(pipeline: str, row: Row) -> str:
    if row.action == "model.load_refused":
        return f"{pipeline} serves an older model: the service refused {row.digest[:8]} on {clock.printed(row.store_time)}."
    return f"The last training of {pipeline} failed on {clock.printed(row.store_time)}."
