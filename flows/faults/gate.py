"""Faults of the gate, which decides whether a model may serve, and of what it is judged on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from flows.checks.world import World
from flows.deciding.performance import Interval
from flows.deciding.promotion import Promotion
from flows.faults.fault import Fault
from flows.pipeline import Metric

Gate = Callable[..., Promotion]
Lax = Callable[[Gate, dict[str, Any]], Promotion]
"""What is decided, given the honest gate and what it is told."""

MANY = 100_000


def _decided(lax: Lax) -> Callable[[World], World]:
    """Plants a gate that decides otherwise than the honest one."""

    def plant(world: World) -> World:
        honest = world.gate
        return world.but(gate=lambda **given: lax(honest, given))

    plant.__doc__ = lax.__doc__
    return plant


def threshold_always_true(honest: Gate, given: dict[str, Any]) -> Promotion:
    """Whatever the metric is, it reaches the floor."""
    return honest(**{**given, "floor": None, "slice_floor": None})


def missing_passes(honest: Gate, given: dict[str, Any]) -> Promotion:
    """A metric that could not be measured counts as one that reaches the floor."""
    found: Interval | None = given["challenger"]
    if found is None or math.isnan(found.estimate):
        found = Interval(given["floor"], given["floor"], given["floor"], 1, 1)
    return honest(**{**given, "challenger": found})


def on_different_rows(honest: Gate, given: dict[str, Any]) -> Promotion:
    """Champion and challenger are compared though each was measured on rows of its own."""
    return honest(**{**given, "champion_ids": given.get("champion_ids") and given["challenger_ids"]})


def direction_reversed(honest: Gate, given: dict[str, Any]) -> Promotion:
    """Less is taken for better where more is, and the other way round."""
    metric: Metric = given["metric"]
    turned = dataclasses.replace(metric, better="lower" if metric.better == "higher" else "higher")
    return honest(**{**given, "metric": turned})


def too_few_rows_pass(honest: Gate, given: dict[str, Any]) -> Promotion:
    """Any number of rows is enough."""
    return honest(**{**given, "minimum_rows": 0})


def estimate_for_bound(honest: Gate, given: dict[str, Any]) -> Promotion:
    """The estimate of the difference is held against the margin, and not its lower bound."""
    found: Interval | None = given.get("difference")
    sure = found and dataclasses.replace(found, low=found.estimate)
    return honest(**{**given, "difference": sure})


def slices_unread(honest: Gate, given: dict[str, Any]) -> Promotion:
    """No member of a slice is looked at."""
    return honest(**{**given, "members": {}})


def best_of_many(world: World) -> World:
    """The last of a hundred thousand versions that were all judged by these very rows, and that just reaches its floor."""
    pipeline = world.pipeline
    value = _value(world)
    step = abs(value) * 1e-6
    just = dataclasses.replace(pipeline, floor=value - step if pipeline.metric.better == "higher" else value + step)
    return world.planted(just).but(judges=(world.window,) * MANY)


def _value(world: World) -> float:
    rows = world.judged.drop_nulls("label")
    return world.pipeline.metric.compute(rows["label"].to_numpy(), rows["prediction"].to_numpy())


def _undefined(world: World) -> str | None:
    value = _value(world)
    return None if math.isfinite(value) else f"its {world.pipeline.metric.name} is {value} on these rows."


FAULTS = (
    Fault("F90", "a threshold that is always true", "K21", _decided(threshold_always_true)),
    Fault("F91", "a missing metric passes", "K21", _decided(missing_passes)),
    Fault("F92", "models compared on different rows", "K21", _decided(on_different_rows)),
    Fault("F93", "the metric's direction reversed", "K21", _decided(direction_reversed)),
    Fault("F94", "too few rows pass", "K21", _decided(too_few_rows_pass)),
    Fault("F95", "the estimate taken for its lower bound", "K21", _decided(estimate_for_bound)),
    Fault("F96", "slices that nobody looks at", "K21", _decided(slices_unread)),
    Fault("F97", "the best of a hundred thousand tries", "K19", best_of_many, _undefined),
)
