"""What pages say of a pipeline: verdicts, what it needs, where retraining stands and what it decided. Pure text.

A verdict is a sentence with a number and a time, and it begins with the pipeline's name, because it is read first and alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from console.pages.parts.words import METRICS, REASONS, count, interval, listed, metric, time, value
from console.views import Card, Training, Week
from store import clock
from store.ledger import Row

STATES = {
    "broken": "is broken", "drifts": "drifts", "falls": "predicts worse", "trains": "is retrained", "watch": "is unsettled",
}  # fmt: skip
"""A level that asks for a look, as a verb."""


def verdict(card: Card) -> str:
    """How the pipeline is, in a sentence with a number and a time. It begins with the pipeline's name."""
    week = card.mine[-1] if card.mine else None
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
        since = clock.printed(card.champion_since)
        return f"{card.pipeline} is not judged yet: its champion serves since {since}, and no week was judged since."
    return _quiet(card, week)


def overall(cards: Sequence[Card], environment: str) -> str:
    """How all pipelines of an environment are, worst first: who needs a look, and since when."""
    asking = [card for card in cards if card.level not in ("calm", "waits")]
    total = count(len(cards), "pipeline")
    if asking:
        worst = asking[0]
        since = worst.drift.since if worst.drift else worst.mine[-1].start if worst.mine else None
        when = f", since {clock.printed(since)}" if since else ""
        ask = "asks" if len(asking) == 1 else "ask"
        many = f"{len(asking)} of {total} in {environment} {ask} for a look"
        return f"{many}: {worst.pipeline} {STATES[worst.level]}{when}."
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
    if not card.mine:
        return "Nothing: the monitor judges each week when it has ended."
    return "Nothing: the monitor opens a retraining when drift or performance is confirmed."


def due(card: Card, now: datetime) -> str:
    """Where retraining stands: open, running, cooling down, or free, with times."""
    if card.due is not None and card.due.state == "open":
        kinds = listed([REASONS[kind] for kind in card.due.opened.body.kinds])
        since = time(card.due.opened.store_time, now)
        return f"{card.pipeline} is due for retraining for {kinds}, since {since}; no run has taken it yet."
    if card.due is not None and card.due.claimed is not None:
        return f"{card.pipeline} is being trained since {time(card.due.claimed.store_time, now)}."
    if card.cooling is not None:
        return f"No retraining of {card.pipeline} is due; the monitor is cooling down until {time(card.cooling, now)}."
    return f"No retraining of {card.pipeline} is due, at {clock.printed(now)}."


def writes(card: Card) -> list[str]:
    """What a retraining writes to the ledger, in order."""
    margin = value(card.rules.promote_margin, sign=True) if card.rules else ""
    measured = metric(card.rules.metric) if card.rules else "its metric"
    opened = (
        f"due {card.due.id[:8]} is taken by the run"
        if card.due
        else "a due is opened by hand, with your reason, and taken by the run"
    )
    compared = (
        f"champion against challenger is judged on the same rows in {measured}"
        if card.champion
        else "the model is judged; there is no champion to compare with"
    )
    promoted = (
        f"it becomes champion, if it is surely better by {margin} {measured}"
        if card.champion
        else "it becomes champion, if it reaches the floor"
    )
    return [
        opened,
        "the training set is frozen",
        "the model is registered with its lineage and report",
        compared,
        promoted,
        "the due is closed: promoted, kept or failed",
    ]


def before_start(card: Card, *, ready: bool, paused: bool) -> str:
    """What one should know before pressing the button."""
    if paused:
        return "The deployment is paused in Prefect: resume it there first."
    wait = "" if ready else "No worker is ready: the run will wait for one. "
    version = card.package.version if card.package else "none"
    judged = "champion and challenger are compared on rows neither has seen."
    return f"{wait}It runs package {version} as it was delivered, on what is labelled by now; {judged}"


def guard(sentence: str) -> str:
    """A guard's sentence with the metric's name and intervals as people say them."""
    for name, said in METRICS.items():
        sentence = sentence.replace(name, said)
    return sentence.replace("[", "(").replace("]", ")").replace("better by -", "better by −")


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
        return (
            f"The last training ended on {when}: the first champion{own}, as there was nobody to compare with."
            if found.outcome == "promoted"
            else f"The last training ended on {when}: the champion stays."
        )
    ends = "the challenger was promoted" if found.outcome == "promoted" else "the champion stayed"
    gain = f"{value(judged.difference, sign=True)} {metric(judged.metric)}"
    better = f"{gain} ({interval(judged.low, judged.high, sign=True)}) on {count(judged.rows, 'row')}"
    return f"The last training ended on {when}: {ends}; challenger against champion was {better}."


def _measured(week: Week) -> str:
    body = week.body
    if body.champion_value is None:
        return "too few matured labels to judge its performance"
    return f"{metric(body.metric)} {value(body.champion_value)} against a baseline's {value(body.baseline_value)}"


def _quiet(card: Card, week: Week) -> str:
    total, many, to = len(week.body.features), len(week.body.drifted), clock.printed(week.end)
    if card.level == "watch":
        windows = card.rules.windows if card.rules else 2
        found = [f"{many} of {total} features above threshold"] if many else []
        found += [f"worse than a recent baseline ({_measured(week)})"] if week.body.fallen else []
        alarm = f"{windows} weeks in a row make an alarm"
        return f"{card.pipeline} is unsettled: {' and '.join(found)} in the week to {to}; {alarm}."
    calm = f"none of {total} features above its threshold" if total else "no drift scores"
    return f"{card.pipeline} is calm: {calm}, {_measured(week)}, in the week to {to}."


def _broken(pipeline: str, row: Row) -> str:
    if row.action == "model.load_refused":
        return f"{pipeline} serves an older model: the service refused {row.digest[:8]} on {clock.printed(row.store_time)}."
    return f"{pipeline} could not be trained: its last training failed on {clock.printed(row.store_time)}."
