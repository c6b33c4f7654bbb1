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
    refusals: tuple[str, ...] = ()
    """Those of the guards that failed."""


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
    members: Mapping[str, Interval | None] | None = None,
    slice_floor: float | None = None,
    minimum_rows: int = 1,
    who: str = "challenger",
) -> Promotion:
    """Return whether the challenger is promoted or the champion kept.

    ``challenger``: the challenger's own metric (``single``); ``difference``: challenger better than champion
    (``paired``, positive is better); None: could not be measured. ``champion_ids``: None if there is no champion:
    then only the floors and ``minimum_rows`` count, as they do at the gate, before any model serves.
    ``challenger_ids``, ``champion_ids``: the ids of the rows each was measured on, in order. ``margin``: what the lower bound
    must exceed. ``slices``: for each protected slice the ``paired`` interval or the two
    values; its estimate may be worse by at most ``tolerance`` (a slice's interval is too wide
    to prove it is *not* worse; it is shown). ``floor``: the challenger's estimate must be at least as good.
    ``members``: the challenger's own metric (``performance.by_member``) on each member of the slices; none may surely, with the whole
    interval, be worse than ``slice_floor``. One that could not be measured is shown. ``who``: what the sentences call it.
    Margin, tolerance and floors are in the metric's unit, direction by ``metric.better``.

    Raises InvalidInput: the two were measured on other rows, an id occurs twice, or a limit is NaN.
    """
    _same_rows(challenger_ids, champion_ids)
    limits = (margin, tolerance, *(limit for limit in (floor, slice_floor) if limit is not None))
    if any(math.isnan(limit) for limit in limits):
        raise InvalidInput(
            asked=f"The limits margin {margin}, tolerance {tolerance}, floor {floor} and {slice_floor} for slices must be numbers.",
            exists="One of them is NaN, which nothing can exceed.",
            remedy="Correct the pipeline's promote or floor.",
        )
    guards = [_enough(len(challenger_ids), minimum_rows), _floor(metric, challenger, floor, who)]
    if slice_floor is not None:
        guards += [_member(metric, name, found, slice_floor, who) for name, found in (members or {}).items()]
    if champion_ids is None:
        guards.append((True, "There is no champion yet."))
    else:
        guards.append(_better(metric, difference, margin))
        guards += [_slice(metric, name, found, tolerance) for name, found in (slices or {}).items()]
    failed = [sentence for passed, sentence in guards if not passed]
    passed = [sentence for passed, sentence in guards if passed]
    return Promotion("kept" if failed else "promoted", (*failed, *passed), tuple(failed))


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


def _floor(metric: Metric, challenger: Interval | None, floor: float | None, who: str) -> Guard:
    if challenger is None or not math.isfinite(challenger.estimate):
        return False, f"The {who}'s {metric.name} could not be measured."
    if floor is None:
        return True, f"The {who}'s {metric.name} is {challenger}; there is no floor."
    reached = _reaches(metric, challenger.estimate, floor)
    says = "reaches" if reached else "misses"
    return reached, f"The {who}'s {metric.name} is {challenger}; it {says} the floor of {floor:g}."


def _member(metric: Metric, name: str, found: Interval | None, floor: float, who: str) -> Guard:
    if found is None or not all(map(math.isfinite, (found.low, found.high))):
        return True, f"On slice {name} there is too little to measure {metric.name} on."
    passed = _reaches(metric, found.high if metric.better == "higher" else found.low, floor)
    says = "not surely worse" if passed else "surely worse"
    return (
        passed,
        f"On slice {name} the {who}'s {metric.name} is {found}: {says} than the floor of {floor:g} for slices.",
    )


def _reaches(metric: Metric, value: float, floor: float) -> bool:
    return value >= floor if metric.better == "higher" else value <= floor


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
