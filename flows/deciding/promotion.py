"""Champion or challenger: who serves from now on.

The challenger must surely be better (the interval's lower bound above the margin), reach the floor, and be worse on no
slice that the pipeline protects. Whatever cannot be measured counts against the challenger: keeping the champion is a
correct outcome and costs nothing, a wrong promotion does. All guards are judged, not only the first to fail, so
the ledger's reasons tell the whole story.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flows.deciding.bootstrap import Metric
from flows.deciding.performance import Interval
from store.errors import InvalidInput


@dataclass(frozen=True)
class Pair:
    """The champion's and the challenger's metric on the rows of one slice, in the metric's unit and direction."""

    champion: float | None
    challenger: float | None


@dataclass(frozen=True)
class Promotion:
    """Who serves from now on, with a sentence for every guard: first those that failed (none if promoted)."""

    outcome: Literal["promoted", "kept"]
    reasons: tuple[str, ...]


def decide(
    *,
    metric: Metric,
    challenger: Interval | None,
    challenger_ids: Sequence[object],
    difference: Interval | None = None,
    champion_ids: Sequence[object] | None = None,
    margin: float = 0.0,
    slices: Mapping[str, Interval | Pair | None] | None = None,
    tolerance: float = 0.0,
    floor: float | None = None,
    minimum_rows: int = 1,
) -> Promotion:
    """Return whether the challenger is promoted or the champion kept.

    ``challenger``: the challenger's own metric (``single``); ``difference``: challenger better than champion
    (``paired``, positive is better); None: could not be measured. ``champion_ids``: None if there is no champion:
    then only ``floor`` and ``minimum_rows`` count. ``challenger_ids``, ``champion_ids``: the ids of the rows each was
    measured on, in order. ``margin``: what the lower bound must exceed. ``slices``: for each protected slice the
    ``paired`` interval or the two values; its estimate may be worse by at most ``tolerance`` (a slice's interval is too
    wide to prove it is *not* worse; it is shown). ``floor``: the challenger's estimate must be at least as good.
    Margin, tolerance and floor are in the metric's unit, direction by ``metric.better``.

    Raises InvalidInput: the two were measured on other rows, an id occurs twice, or a limit is NaN.
    """
    _same_rows(challenger_ids, champion_ids)
    if any(math.isnan(limit) for limit in (margin, tolerance, 0.0 if floor is None else floor)):
        raise InvalidInput(
            asked=f"The limits margin {margin}, tolerance {tolerance} and floor {floor} must be numbers.",
            exists="One of them is NaN, which nothing can exceed.",
            remedy="Correct the pipeline's promote or floor.",
        )
    guards = [_enough(len(challenger_ids), minimum_rows), _floor(metric, challenger, floor)]
    if champion_ids is None:
        guards.append((True, "There is no champion yet."))
    else:
        guards.append(_better(metric, difference, margin))
        guards += [_slice(metric, name, found, tolerance) for name, found in (slices or {}).items()]
    failed = [sentence for passed, sentence in guards if not passed]
    return Promotion("kept" if failed else "promoted", tuple(failed + [s for passed, s in guards if passed]))


Guard = tuple[bool, str]


def _same_rows(challenger: Sequence[object], champion: Sequence[object] | None) -> None:
    ids = list(challenger)
    others = ids if champion is None else list(champion)
    if ids == others and len(set(ids)) == len(ids):
        return
    raise InvalidInput(
        asked="Champion and challenger must be measured on the same rows, in the same order, each once.",
        exists=f"The challenger has {len(ids)} rows ({len(set(ids))} ids), the champion {len(others)}; "
        f"{len(set(ids) & set(others))} ids are common.",
        remedy="Predict both on one frame of matured rows.",
    )


def _enough(rows: int, minimum: int) -> Guard:
    return rows >= minimum, f"{rows:,} rows were compared; at least {minimum:,} are needed."


def _floor(metric: Metric, challenger: Interval | None, floor: float | None) -> Guard:
    if challenger is None or not math.isfinite(challenger.estimate):
        return False, f"The challenger's {metric.name} could not be measured."
    if floor is None:
        return True, f"The challenger's {metric.name} is {challenger}; there is no floor."
    reached = challenger.estimate >= floor if metric.better == "higher" else challenger.estimate <= floor
    says = "reaches" if reached else "misses"
    return reached, f"The challenger's {metric.name} is {challenger}; it {says} the floor of {floor:g}."


def _better(metric: Metric, difference: Interval | None, margin: float) -> Guard:
    if difference is None or not all(map(math.isfinite, (difference.low, difference.estimate, difference.high))):
        return False, f"The difference in {metric.name} could not be measured."
    passed = difference.low > margin
    says = "above" if passed else "not above"
    return passed, f"In {metric.name} the challenger is better by {difference}: the lower bound is {says} {margin:g}."


def _slice(metric: Metric, name: str, found: Interval | Pair | None, tolerance: float) -> Guard:
    gain = _gain(metric, found)
    if not math.isfinite(gain):
        return False, f"On slice {name} the difference in {metric.name} could not be measured."
    measured = str(found) if isinstance(found, Interval) else f"{gain:.4f}"
    if gain >= 0:
        return True, f"On slice {name} the challenger is better by {measured}."
    passed = gain >= -tolerance
    says = "within" if passed else "more than"
    lost = f"worse by {-gain:.4f}" if not isinstance(found, Interval) else f"better by {measured}"
    return passed, f"On slice {name} the challenger is {lost}: {says} the tolerance of {tolerance:g}."


def _gain(metric: Metric, found: Interval | Pair | None) -> float:
    """How much better the challenger is, NaN if unknown."""
    if isinstance(found, Interval):
        return found.estimate
    if found is None or found.champion is None or found.challenger is None:
        return math.nan
    gain = found.challenger - found.champion
    return gain if metric.better == "higher" else -gain
