"""K21: the gate itself says no where it must, in this pipeline's own metric.

What decides whether a model may serve (``promotion.decide``: at the gate, and between champion and challenger) is asked about
the trained model's own numbers on the evaluation rows. It must let a model through whose metric lies just on the good side of the floor,
and refuse: one just on the other side; a metric that is missing or not a number; too few rows; a member of a slice that surely misses the
floor of slices; a challenger that is not surely better than the champion by the margin. Models measured on different rows
must not be compared at all.

The control: how many of these models it lets through that it should.

Cost: none beside the training that all share.

What does not alarm: a model whose metric is undefined on the evaluation rows; the slice is too small, and it is judged on all data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from flows.checks.check import Check, Seen
from flows.checks.world import World
from flows.deciding.performance import Interval
from flows.deciding.promotion import Promotion
from store.errors import InvalidInput

PROMOTED, KEPT, REFUSED = "promoted", "kept", "refused to compare"
STEP = 1e-6
Case = tuple[str, dict[str, Any], str]
"""A model in words, what the gate is told of it, and what it must say."""


def look(world: World) -> Seen:
    """Ask the gate about models on both sides of every line it draws."""
    rows = world.judged.drop_nulls("label")
    metric = world.pipeline.metric
    value = metric.compute(rows["label"].to_numpy(), rows["prediction"].to_numpy()) if rows.height else math.nan
    if not math.isfinite(value):
        return Seen("", excuse=f"{metric.name} is undefined on the {rows.height:,} evaluation rows of this slice.")
    cases = list(_cases(world, value, rows.height))
    wrong = [(what, must, said) for what, given, must in cases if (said := _said(world, given)) != must]
    through = sum(must == PROMOTED and not any(what == one for one, _, _ in wrong) for what, _, must in cases)
    numbers = {"cases": len(cases), "wrong": len(wrong), "value": value}
    if wrong:
        what, must, said = wrong[0]
        return Seen(f"Asked about {what}, the gate said {said}, and must say {must}.", through, numbers, failed=True)
    return Seen(f"The gate is right about {len(cases)} models, {through} of which may serve.", through, numbers)


CHECK = Check("K21", "gate", look)


def _cases(world: World, value: float, rows: int) -> Iterator[Case]:
    metric, ids = world.pipeline.metric, list(range(rows))
    step = max(abs(value), 1.0) * STEP
    worse, better = (value - step, value + step) if metric.better == "higher" else (value + step, value - step)
    own, wide = _interval(value, step / 2, rows), _interval(value, 10 * step, rows)
    usual = {"metric": metric, "challenger": own, "challenger_ids": ids, "floor": worse, "minimum_rows": rows}
    yield f"a model with {metric.name} just better than the floor", usual, PROMOTED
    yield f"one with {metric.name} just worse than the floor", usual | {"floor": better}, KEPT
    yield f"one whose {metric.name} is missing", usual | {"challenger": None}, KEPT
    yield f"one whose {metric.name} is not a number", usual | {"challenger": _interval(math.nan, 0.0, rows)}, KEPT
    yield "one on a row too few", usual | {"minimum_rows": rows + 1}, KEPT
    slices = usual | {"slice_floor": better}
    yield "one with a member that surely misses the floor of slices", slices | {"members": {"a": own}}, KEPT
    yield "one with a member that perhaps misses it", slices | {"members": {"a": wide}}, PROMOTED
    against = usual | {"champion_ids": ids, "margin": 1.0}
    yield (
        "a challenger surely better by the margin",
        against | {"difference": _interval(1.0 + 2 * STEP, STEP, rows)},
        PROMOTED,
    )
    yield "one not surely better by it", against | {"difference": _interval(1.0 + STEP, STEP, rows)}, KEPT
    yield "one whose difference is missing", against | {"difference": None}, KEPT
    others = against | {"difference": _interval(2.0, STEP, rows), "champion_ids": [*ids[1:], rows]}
    yield "two models measured on different rows", others, REFUSED


def _interval(estimate: float, half: float, rows: int) -> Interval:
    return Interval(estimate - half, estimate, estimate + half, rows, rows)


def _said(world: World, given: dict[str, Any]) -> str:
    try:
        decided: Promotion = world.gate(**given)
    except InvalidInput:
        return REFUSED
    return decided.outcome
