"""Faults of transformers: what is fitted as it should be, and then does something else, behind a class of its own; and of what an author
declared and computes otherwise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from flows.checks import k13_transforms
from flows.checks.claims import Fitted, claims, dense
from flows.checks.learned import reached
from flows.checks.world import World
from flows.faults.derived import Derive, derivations
from flows.faults.fault import Fault, pipeline_fault
from flows.pipeline import Derived, Pipeline, Read
from store.features import write
from store.features.group import EVENT_TIME, KNOWN_TIME

Does = Callable[[Any, np.ndarray], np.ndarray]
"""What a transformer makes of its honest output."""
Which = Callable[[Fitted], bool]


def _behind_a_class(world: World, which: Which, does: Does) -> World:
    """The world whose fitted transformers, those that ``which`` chooses, are of a class that does otherwise."""
    pipeline, kinds = (
        world.pipeline,
        {type(one.transformer) for one in k13_transforms.transformers(world) if which(one)},
    )

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
        fitted = pipeline.fit(model, data, labels) if pipeline.fit else model.fit(data, labels)
        for one in list(reached(fitted)):
            if type(one) in kinds:
                one.__class__ = _class(type(one), does)
        return fitted

    return world.but(pipeline=dataclasses.replace(pipeline, fit=fit))


def _class(kind: type, does: Does) -> type:
    def transform(self: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
        return does(self, dense(kind.transform(self, given, *args, **kwargs)))  # type: ignore[attr-defined]

    return type("Own", (kind,), {"transform": transform})


def off_by_a_little(world: World) -> World:
    """Every transformer that claims anything gives a thousandth more than it should."""
    return _behind_a_class(world, lambda one: any(claims(one)), lambda transformer, output: output * 1.001 + 0.001)


def divided_by_another_deviation(world: World) -> World:
    """A scaler divides by the deviation of a sample, behind a class that holds the other."""
    return _behind_a_class(world, _scales, lambda scaler, output: output * math.sqrt(1 - 1 / len(output)))


def not_centred(world: World) -> World:
    """A scaler learns the mean, and leaves it in."""
    return _behind_a_class(world, _centres, lambda scaler, output: output + scaler.mean_ / scaler.scale_)


def one_hot_lost(world: World) -> World:
    """The last column of the categories is always 0."""
    return _behind_a_class(world, _is_one_hot, _without_last)


def _without_last(encoder: Any, output: np.ndarray) -> np.ndarray:
    return np.column_stack([output[:, :-1], np.zeros(len(output))])


def _scales(one: Fitted) -> bool:
    return one.has("mean_", "scale_") and one.says("with_std")


def _centres(one: Fitted) -> bool:
    return _scales(one) and one.says("with_mean") and bool(np.abs(one.transformer.mean_).max() > 0)


def _is_one_hot(one: Fitted) -> bool:
    if not any(claims(one)) or not one.has("categories_") or getattr(one.transformer, "drop_idx_", None) is not None:
        return False
    output = one.output
    return bool(
        output.shape[1] == sum(map(len, one.transformer.categories_)) > len(one.transformer.categories_)
        and output[:, -1].any()
    )


def _none_that(which: Which, what: str) -> Callable[[World], str | None]:
    def excuse(world: World) -> str | None:
        found = any(which(one) for one in k13_transforms.transformers(world))
        return None if found else f"no transformer of {world.pipeline.name} {what}."

    return excuse


def rows_dropped_from_aggregates(world: World) -> World:
    """Derivations miss one fact in four: every aggregate drops some of the rows that count."""

    def plant(derived: Derived) -> Derive:
        def derive(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
            return derived.derive(lambda group, window: _three_in_four(read(group, window)), ticks)

        return derive

    return derivations(world, plant)


def _three_in_four(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(write.row_hash(rows, [EVENT_TIME, KNOWN_TIME]) % 4 != 0)


def prepared_otherwise(pipeline: Pipeline) -> dict[str, Any]:
    """``prepare`` gives the next larger number, another truth or no text in a column that is worked out by hand."""
    name = next(iter(pipeline.worked[0].columns))

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready, value = pipeline.prepare(rows), pl.col(name)
        dtype = ready.schema[name]
        other = value + 1 if dtype.is_numeric() else ~value if dtype == pl.Boolean else pl.lit(None, dtype)
        return ready.with_columns(other.cast(dtype).alias(name))

    return {"prepare": prepare}


def _no_aggregate(world: World) -> str | None:
    declared = any(derived.aggregates for derived in world.catalog.derived.values())
    return None if declared else f"{world.pipeline.name} declares no aggregate."


def _nothing_worked(world: World) -> str | None:
    columns = any(one.columns for one in world.pipeline.worked[:1])
    return None if columns else f"{world.pipeline.name} has no row worked out by hand."


FAULTS = (
    Fault(
        "F83",
        "transformers off by a little",
        "K13",
        off_by_a_little,
        _none_that(lambda one: any(claims(one)), "claims anything"),
    ),
    Fault("F84", "a scaler with another ddof", "K13", divided_by_another_deviation, _none_that(_scales, "scales")),
    Fault("F85", "a scaler that does not centre", "K13", not_centred, _none_that(_centres, "centres")),
    Fault("F86", "a one-hot column lost", "K13", one_hot_lost, _none_that(_is_one_hot, "is a one-hot encoder")),
    Fault("F98", "aggregates drop rows", "K13", rows_dropped_from_aggregates, _no_aggregate),
    Fault("F99", "prepared otherwise than worked out", "K13", pipeline_fault(prepared_otherwise), _nothing_worked),
)
