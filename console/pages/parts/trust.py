"""Whether what runs is proved, in a sentence with numbers and a time. Pure text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from console.pages.parts import mending, words
from console.provings import Attempt
from console.views import Card
from store import clock

Answer = tuple[str, str, str, str]
"""Level (a shape), word, sentence, and what it stands on."""


def verdict(card: Card, attempts: Sequence[Attempt], broken: str, now: datetime) -> Answer:
    """What runs and what proved it; or that the newest attempt was refused, and what goes on running.

    ``broken``: why the deployed package's certificate does not speak for its bytes; empty when it does, or there is none.
    """
    newest, running = attempts[0], _running(card, attempts)
    level, word, said, beside = _runs(card, running, broken, now)
    if newest.package is None and level != "broken":
        return "watch", "refused", refused(card.pipeline, newest), f"{said} {beside}".strip()
    if newest is not running and newest.package and running:
        beside += f" Version {newest.version} was published on {clock.printed(newest.at)} and is not delivered."
    return level, word, said, beside.strip()


def refused(pipeline: str, attempt: Attempt) -> str:
    """That an attempt was refused, when, and the first reason."""
    found = mending.reasons(attempt, pipeline)
    rest = len(found) - 1
    more = f", and {words.count(rest, 'more reason')}" if rest > 0 else ""
    why = found[0].title.replace("The ", "the ", 1)
    return f"{pipeline} {attempt.version} was refused on {clock.printed(attempt.at)}: {why}{more}."


def counted(attempt: Attempt) -> str:
    """``10 checks passed and 31 planted faults were killed``."""
    checks, faults = attempt.passed, attempt.killed
    return f"{words.count(checks, 'check')} passed and {words.count(faults, 'planted fault')} {'was' if faults == 1 else 'were'} killed"


def data(attempt: Attempt) -> str:
    """``2,917 rows of 2013-01-04 … 2013-02-18``."""
    return f"{words.count(attempt.data['rows'], 'row')} of {words.span(*attempt.window)}"


def _running(card: Card, attempts: Sequence[Attempt]) -> Attempt | None:
    wanted = card.package.digest if card.package else None
    return next((one for one in attempts if one.package and one.package.digest == wanted), None)


def _runs(card: Card, running: Attempt | None, broken: str, now: datetime) -> Answer:
    where = f"in {card.environment}"
    if running is None:
        return (
            "none",
            "not delivered",
            f"No version of {card.pipeline} runs {where}, so there is nothing to trust yet.",
            "",
        )
    name = f"{card.pipeline} {running.version}"
    if not running.digest:
        said = f"{name} runs {where} without a certificate: nothing shows what proved it."
        return "watch", "no certificate", said, f"It was published on {clock.printed(running.at)}, without one."
    if broken or running.unread:
        said = f"{name} runs {where}, and its certificate does not hold, as of {clock.printed(now)}."
        return "broken", "does not hold", said, broken or running.unread
    said = f"{name}, which runs {where}, was proved on {clock.printed(running.at)}: {counted(running)}, on {data(running)}."
    return "good", "proved", said, _besides(running)


def _besides(running: Attempt) -> str:
    checks = sum(one["verdict"] == "N/A" for one in running.checks.values())
    idle = len(running.faults) - running.planted
    parts = [words.count(checks, "check")] * (checks > 0) + [words.count(idle, "fault")] * (idle > 0)
    one = checks + idle == 1
    rest = (
        f"{' and '.join(parts)} {'does' if one else 'do'} not apply, and {'says' if one else 'each says'} why. "
        if parts
        else ""
    )
    return f"{rest}The proving took {words.seconds(running.evidence['seconds'])}."
