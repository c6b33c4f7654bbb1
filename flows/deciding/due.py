"""Is a retraining due: one decision for five reasons.

Drift and fallen performance count only when confirmed in the last K windows, because a single window alarms by chance.
New data and cadence need no confirmation. All four wait while a due is open or the last one is cooling down, or a
lasting drift would train every window. By hand waits for nothing but an open due: a person has judged. One due at a
time keeps "which training answers which alarm" a question with an answer.

The instant of the decision is ``window_end`` (by hand: when it was asked). Judged again later, the same window gives
the same due id, so a monitor that is killed and restarted opens nothing twice.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol, get_args

from flows.deciding.drift import confirmed
from store.errors import InvalidInput

Kind = Literal["drift", "performance", "new_data", "cadence", "by_hand"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Trigger(Protocol):
    """What is needed of a pipeline's trigger: windows to confirm (1 or more), pauses, and the optional two."""

    @property
    def windows(self) -> int: ...

    @property
    def cool_down(self) -> timedelta: ...

    @property
    def cadence(self) -> timedelta | None: ...

    @property
    def new_rows(self) -> int | None: ...


@dataclass(frozen=True)
class Reason:
    """One reason for a due: its kind, and a sentence with the numbers and times."""

    kind: Kind
    sentence: str


@dataclass(frozen=True)
class Decision:
    """Whether a due opens; with its id and reasons (in the order of KINDS), or with ``why`` none does."""

    open: bool
    due: str | None
    reasons: tuple[Reason, ...]
    why: str


def due_id(
    pipeline: str, environment: str, reasons: Collection[str], window_end: datetime, champion: str | None
) -> str:
    """Return the due's id: sha256 (64 hex digits) of the canonical JSON of the arguments, reasons sorted, time in UTC.

    Raises InvalidInput: an unknown or no reason, or a time without zone.
    """
    if not reasons or isinstance(reasons, str) or set(reasons) - set(KINDS):
        raise InvalidInput(
            asked=f"A due cannot have the reasons {reasons!r}.",
            exists=f"There are {', '.join(KINDS)}.",
            remedy="Give one or more of these.",
        )
    content = {
        "pipeline": pipeline,
        "environment": environment,
        "reasons": sorted(set(reasons)),
        "window_end": _utc(window_end, "window_end").isoformat(timespec="microseconds"),
        "champion": champion,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def decide(
    *,
    pipeline: str,
    environment: str,
    champion: str | None,
    window_end: datetime,
    drifted: Sequence[Collection[str]],
    fallen: Sequence[bool | None],
    trigger: Trigger,
    open_due: str | None = None,
    last_closed: datetime | None = None,
    last_trained: datetime | None = None,
    new_rows: int = 0,
    by_hand: bool = False,
) -> Decision:
    """Return whether a due opens at ``window_end``, and why or why not.

    ``champion``: its digest, None before the first. ``drifted`` and ``fallen``: a value a window, newest last, the one
    ending at ``window_end`` included, judged against this champion: names of drifted features; whether performance has
    fallen, None if it could not be judged (which confirms nothing). ``open_due``: the id of a due that is not closed.
    ``last_closed``, ``last_trained``: of this pipeline here, None if never. ``new_rows``: matured rows since the last
    training. Times are aware, any zone, and are told in UTC. Raises InvalidInput for a naive time or windows under 1.
    """
    at = _utc(window_end, "window_end")
    found = [
        *_drift(drifted, trigger.windows, at),
        *_performance(fallen, trigger.windows, at),
        *_new_data(new_rows, trigger.new_rows, at),
        *_cadence(trigger.cadence, last_trained, at),
    ]
    asked = [Reason("by_hand", f"It was asked for by hand at {_told(at)}.")] if by_hand else []
    if open_due is not None:
        return _none(f"A due is already open: {open_due[:12]}.")
    if not found and not asked:
        return _none(_quiet(drifted, fallen, trigger.windows))
    until = None if last_closed is None else _utc(last_closed, "last_closed") + trigger.cool_down
    if until is not None and at < until and not by_hand:
        return _none(f"Cooling down until {_told(until)}; it waits: {' '.join(reason.sentence for reason in found)}")
    reasons = (*found, *asked)
    kinds = {reason.kind for reason in reasons}
    return Decision(True, due_id(pipeline, environment, kinds, at, champion), reasons, "")


def _none(why: str) -> Decision:
    return Decision(False, None, (), why)


def _drift(drifted: Sequence[Collection[str]], windows: int, at: datetime) -> list[Reason]:
    names = confirmed(drifted, windows)
    told = f"{', '.join(names)} drifted in each of the last {windows} windows, to {_told(at)}."
    return [Reason("drift", told)] if names else []


def _performance(fallen: Sequence[bool | None], windows: int, at: datetime) -> list[Reason]:
    told = f"A recent baseline was better than the champion in each of the last {windows} windows, to {_told(at)}."
    return [Reason("performance", told)] if _run(fallen) >= windows else []


def _new_data(rows: int, enough: int | None, at: datetime) -> list[Reason]:
    told = f"{rows} rows have matured since the last training, to {_told(at)}; {enough} are enough."
    return [Reason("new_data", told)] if enough is not None and rows >= enough else []


def _cadence(cadence: timedelta | None, last_trained: datetime | None, at: datetime) -> list[Reason]:
    if cadence is None:
        return []
    if last_trained is None:
        return [Reason("cadence", f"It has never been trained, at {_told(at)}; its cadence is {cadence}.")]
    trained = _utc(last_trained, "last_trained")
    told = f"It was last trained at {_told(trained)}, {at - trained} before {_told(at)}; its cadence is {cadence}."
    return [Reason("cadence", told)] if at - trained >= cadence else []


def _quiet(drifted: Sequence[Collection[str]], fallen: Sequence[bool | None], windows: int) -> str:
    """The sentence for no reason at all: how near drift and performance are to their confirmation."""
    runs = {
        name: _run([name in flagged for flagged in drifted]) for name in sorted(set(drifted[-1] if drifted else ()))
    }
    near = [f"{name} drifted in {run} of {windows} windows" for name, run in runs.items()]
    near += [f"performance had fallen in {_run(fallen)} of {windows} windows"] if _run(fallen) else []
    return f"Not confirmed yet: {'; '.join(near)}." if near else "Nothing asks for it: no reason in the last window."


def _run(flags: Sequence[bool | None]) -> int:
    """How many of the newest flags are true without a break."""
    return next((back for back, flag in enumerate(reversed(flags)) if not flag), len(flags))


def _utc(time: datetime, name: str) -> datetime:
    if time.tzinfo is None:
        raise InvalidInput(
            asked=f"{name} = {time.isoformat()} has no time zone.",
            exists="Every time in assay is aware.",
            remedy="Give it in UTC, as store.clock.now does.",
        )
    return time.astimezone(UTC)


def _told(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
