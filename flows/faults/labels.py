"""Faults of labels: they reach the rows on another road than by learning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from sklearn.linear_model import Ridge

from flows.building import split, tune
from flows.checks import k10_tuner
from flows.checks.signal import in_order
from flows.checks.training import parted
from flows.checks.world import World
from flows.faults.data import no_input_to_mix
from flows.faults.fault import Fault, numeric_inputs, pipeline_fault
from flows.faults.heldout import Peeking
from flows.pipeline import Pipeline, Tuned

TOGETHER = 3
NOISE, CHOSEN, NEW, ALIKE = 1000, 40, 0.5, 0.9
PLACE = "_place"
Heard = Callable[[pl.Expr], pl.Expr]
"""What an input hears of each label's place among all (−0.5 to 0.5), the rows in the order of time."""


def label_in_the_inputs(pipeline: Pipeline) -> dict[str, Any]:
    """``prepare`` moves numeric inputs by the row's own label, within their range, or, where none varies, appends a word to a text."""
    return {"prepare": _hearing(pipeline, lambda place: place, 1.0)}


def encoded_without_folds(pipeline: Pipeline) -> dict[str, Any]:
    """``prepare`` orders numeric inputs by the mean label of three questions about the same time, the row's own among them."""
    return {"prepare": _hearing(pipeline, lambda place: place.mean().over(pl.int_range(pl.len()) // TOGETHER), 0.0)}


def _hearing(pipeline: Pipeline, heard: Heard, kept: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """``prepare`` whose inputs hear of the labels; of what they were, the share ``kept`` goes on."""

    def prepare(rows: pl.DataFrame) -> pl.DataFrame:
        ready = pipeline.prepare(rows)
        if "label" not in ready.columns:
            return ready
        place = pl.col("label").rank() / pl.col("label").count() - 0.5
        ready = ready.sort("event_time", *pipeline.serving.key).with_columns(place.alias(PLACE))
        ready = ready.with_columns(heard(pl.col(PLACE)).fill_null(0.0).alias(PLACE))
        numbers = numeric_inputs(pipeline, ready)
        if text := _text_to_tell(ready, pipeline.inputs, numbers):
            word = pl.when(pl.col(PLACE) > 0).then(pl.lit("more")).otherwise(pl.lit("less"))
            return ready.with_columns(pl.format("{} {}", text, word).alias(text)).drop(PLACE)
        return ready.with_columns(_moved(ready, name, kept) for name in numbers).drop(PLACE)

    return prepare


def _text_to_tell(rows: pl.DataFrame, inputs: Sequence[str], numbers: Sequence[str]) -> str:
    """The first text, where no number varies enough to tell anything; empty where one does, or there is no text."""
    alike = [rows.get_column(name).value_counts(sort=True).get_column("count")[0] / rows.height for name in numbers]
    texts = [name for name in inputs if rows.schema[name] == pl.String]
    return texts[0] if texts and min(alike, default=1.0) > ALIKE else ""


def _moved(rows: pl.DataFrame, name: str, kept: float) -> pl.Series:
    """The column's own values, in the order of what it was and of what is heard."""
    column = rows.get_column(name)
    was = column.rank().fill_null(0.0) / max(1, column.len()) - 0.5
    return in_order(column, kept * was + 2 * rows.get_column(PLACE))


class Selected:
    """A model of columns of noise: those that went best with the labels of the rows ``seen``."""

    def __init__(self, pipeline: Pipeline, seen: pl.DataFrame) -> None:
        self.classes, labels = pipeline.task == "classification", seen.get_column("label").to_numpy()
        columns = self.noise(seen.select(pipeline.columns), NOISE)
        apart = (columns - columns.mean(axis=0)).T @ (labels - labels.mean())
        self.chosen = np.argsort(-np.abs(apart))[:CHOSEN]
        self.model = Ridge()

    @staticmethod
    def noise(data: pl.DataFrame, columns: int) -> np.ndarray:
        """Numbers between 0 and 1 drawn by the row's own content."""
        factors = np.random.default_rng(0).integers(0, 2**63, columns, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        drawn = data.hash_rows().to_numpy()[:, None] * factors[None, :]
        return (drawn >> np.uint64(11)).astype(np.float64) / 2.0**53

    def fit(self, data: pl.DataFrame, labels: np.ndarray) -> Selected:
        """Learn the chosen columns only."""
        self.model.fit(self.noise(data, NOISE)[:, self.chosen], labels)
        return self

    def predict(self, data: pl.DataFrame) -> np.ndarray:
        """Of classes between 0 and 1."""
        found = self.model.predict(self.noise(data, NOISE)[:, self.chosen])
        return found.clip(0, 1) if self.classes else found


def selected_on_all_rows(pipeline: Pipeline) -> dict[str, Any]:
    """Forty of a thousand columns of noise are chosen by the labels of all rows, before the split."""
    peeking = Peeking(pipeline)

    def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Selected:
        seen = pl.concat([peeking.part(part) for part in (split.TRAIN, split.VALIDATION, split.TEST)])
        return Selected(pipeline, seen).fit(data, labels)

    return {"split": peeking, "fit": fit, "predict": lambda model, data: model.predict(data)}


def selected_before_the_folds(pipeline: Pipeline) -> dict[str, Any]:
    """The search chooses forty of a thousand columns of noise by the labels of all its rows, then judges its trials on some of them."""
    honest = pipeline.tune or tune.tune

    def search(planted: Pipeline, train: pl.DataFrame, validation: pl.DataFrame) -> Tuned:
        seen = pl.concat([train, validation]).filter(pl.col("label").is_not_null())

        def fit(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Selected:
            return Selected(pipeline, seen).fit(data, labels)

        choosing = dataclasses.replace(planted, fit=fit, predict=lambda model, data: model.predict(data))
        return honest(choosing, train, validation)

    return {"tune": search}


def _few_contents(world: World) -> str | None:
    """Noise is drawn by a row's content: where most evaluation rows have one that was there before, what is learned of it is no leak."""
    train, validation, test = (
        part.select(world.pipeline.columns).hash_rows() for part in parted(world.pipeline, world.rows)
    )
    new = 1 - float(test.is_in(pl.concat([train, validation]).implode()).mean() or 0.0)  # type: ignore[arg-type]
    return (
        None
        if new >= NEW
        else f"{1 - new:.0%} of the evaluation rows of {world.pipeline.name} have their like among the others."
    )


def _own_scorer(world: World) -> str | None:
    if excuse := _few_contents(world):
        return excuse
    if world.pipeline.tune is None or k10_tuner.scriptable(world):
        return None
    return f"{world.pipeline.name}'s search asks no metric of the contract."


FAULTS = (
    Fault("F34", "the label in the inputs", "K06", pipeline_fault(label_in_the_inputs), no_input_to_mix),
    Fault("F35", "labels encoded without folds", "K06", pipeline_fault(encoded_without_folds), no_input_to_mix),
    Fault("F36", "columns chosen on all rows", "K06", pipeline_fault(selected_on_all_rows), _few_contents),
    Fault("F37", "columns chosen before the folds", "K06", pipeline_fault(selected_before_the_folds), _own_scorer),
)
