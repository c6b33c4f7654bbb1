"""Numbers, times and names as an operator reads them. Pure text: no widget, no store.

A number has its unit and the digits that mean something (AUC .742; 84,112 rows), a time its zone and how long ago it
was in *store* time, an id its first eight characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from store import clock

METRICS = {"roc_auc": "AUC", "log_loss": "log loss", "mean_absolute_error": "MAE"}
LEVELS = {
    "broken": "broken", "drifts": "drifts", "falls": "predicts worse", "trains": "retraining", "watch": "unsettled",
    "waits": "not judged yet", "calm": "calm",
}  # fmt: skip
REASONS = {
    "drift": "drift",
    "performance": "fallen performance",
    "new_data": "new data",
    "cadence": "its cadence",
    "by_hand": "a person's request",
}
STEPS = (
    "due.opened",
    "due.claimed",
    "snapshot.frozen",
    "model.registered",
    "model.judged",
    "model.promoted",
    "due.closed",
)
"""What a training writes, in order."""
STARTED = {"automation": "Prefect's automation", "deployment": "a deployment", "call": "the command line"}
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
    return (
        f"{', '.join(shown)} and {rest} more"
        if rest > 0
        else " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    )
