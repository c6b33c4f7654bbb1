"""K14: the training learns.

A score says little of that: where days are alike, labels shifted by a row still predict. So what is fitted is asked what any learning must
answer, by its concordance (the AUC, or for values (1 + Spearman's ρ) / 2), which no scale moves:

- twenty rows of both classes, fifty copies of each, with every column carrying the label: it must order those very rows (0.75), shuffled
  and with a smaller and a larger label in turn, where labels a row off are the very opposite;
- training rows whose columns carry the label: it must order evaluation rows that do (0.75), and no worse than without the signal;
- the rows as they are: not worse than a constant, and not far worse than a simple linear model (0.2), each beyond noise;
- where ``fit`` gives weights that differ, the model must be another one than with weights that do not.

Shown besides: how well it overfits twenty rows as they are.

The control: how much worse the twenty rows are ordered when labels are a row off (or several, where one by chance changes little).

Cost: six trainings with default parameters (seven to nine with weights) on at most 1,000 rows; no build of features.

What does not alarm: labels that nothing predicts; a model that is not the best choice; a weak learner that cannot learn twenty rows by
heart; a penalty that keeps everything small; a class so rare that a few hundred rows hold none, for then all rows are taken.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from flows.building.fit import matrix, predict
from flows.checks import signal
from flows.checks.check import Check, Seen
from flows.checks.k06_shuffled import planted, some
from flows.checks.ranks import CHANCE, concordance
from flows.checks.training import fitted, unsearched
from flows.checks.world import World
from flows.pipeline import Pipeline

FEW, COPIES = 20, 50
FURTHER, LESS = (7, 13, 29, 53, 101, 211, 307), 0.1
LEARNT, WORSE, SIGMAS, SIMPLER, CATEGORIES = 0.75, 0.02, 5.0, 0.2, 20


def look(world: World) -> Seen:
    """Fit what must be learnt, and ask whether it was."""
    pipeline, rows = world.pipeline, some(world)
    told = planted(pipeline, rows)
    if told < LEARNT:
        rows = world.rows.filter(pl.col("label").is_not_null())
        told = planted(pipeline, rows)
    trained = unsearched(pipeline, rows)
    test = trained.test.filter(pl.col("label").is_not_null())
    labels = test.get_column("label").to_numpy()
    model = concordance(labels, predict(pipeline, trained.model, matrix(pipeline, test)))
    tiled = _tiled(pipeline, trained.train)
    by_heart, shuffled, off = (_by_heart(pipeline, tiled, way) for way in (_as_it_is, signal.carried, _off(1)))
    carried = min(shuffled, _by_heart(pipeline, _in_turn(tiled), signal.carried))
    simple, noise = _simple(pipeline, trained.train, test), _noise(pipeline, labels)
    numbers = {
        "by_heart": by_heart, "by_heart_planted": carried, "planted": told, "model": model, "simple": simple, "noise": noise,
    }  # fmt: skip
    for rows_off in FURTHER:  # by chance a shift may leave few rows in order
        if shuffled - off <= LESS:
            off = _by_heart(pipeline, tiled, _off(rows_off))
    control = shuffled - off if shuffled - off > LESS else 0.0
    for wrong, said in (
        (
            carried < LEARNT,
            f"Of twenty rows that carry their label, fifty copies each, it learns an order of {carried:.3f}",
        ),
        (told < LEARNT, f"Of rows that carry their label it learns an order of {told:.3f}"),
        (
            told < model - WORSE,
            f"With a planted signal it orders the rows with {told:.3f}, without it with {model:.3f}",
        ),
        (model < CHANCE - SIGMAS * noise, f"It orders the evaluation rows with {model:.3f}, worse than a constant"),
        (
            simple - model > max(SIMPLER, SIGMAS * noise),
            f"It orders the evaluation rows with {model:.3f}, and a linear model of the same columns with {simple:.3f}",
        ),
    ):
        if wrong:
            return Seen(f"{said}: the training does not learn what it is given.", control, numbers, failed=True)
    moved = weighed(pipeline, trained.train, test)
    if moved == 0:
        said = (
            "fit gives weights that differ from row to row, and the model is the same without them: they are ignored."
        )
        return Seen(said, control, numbers | {"weighed": 0}, failed=True)
    weights = "" if moved is None else f"; its weights move {moved:,} of {test.height:,} predictions"
    sentence = (
        f"It learns a planted signal ({told:.3f}) and twenty rows by heart ({carried:.3f}; as they are {by_heart:.3f}; a row off "
        f"{off:.3f}); evaluation rows are ordered with {model:.3f}, by a linear model with {simple:.3f}{weights}."
    )
    return Seen(sentence, control, numbers | ({} if moved is None else {"weighed": float(moved)}))


CHECK = Check("K14", "learning", look)
Way = Callable[[Pipeline, pl.DataFrame, bool], pl.DataFrame]


def _as_it_is(pipeline: Pipeline, rows: pl.DataFrame, every_text: bool) -> pl.DataFrame:
    return rows


def _off(rows_off: int) -> Way:
    """The rows carry their label, and are given that of a row before."""

    def way(pipeline: Pipeline, rows: pl.DataFrame, every_text: bool) -> pl.DataFrame:
        carried = signal.carried(pipeline, rows, every_text)
        labels = carried.get_column("label")
        return carried.with_columns(pl.concat([labels.tail(rows_off), labels.head(labels.len() - rows_off)]))

    return way


def _tiled(pipeline: Pipeline, train: pl.DataFrame) -> pl.DataFrame:
    """Twenty training rows from everywhere, as many of either class as there are, fifty copies each, shuffled."""
    rows = train.filter(pl.col("label").is_not_null())
    classes = rows.partition_by("label") if pipeline.task == "classification" else [rows]
    each = FEW // len(classes)
    few = pl.concat([one.gather_every(max(1, one.height // each)).head(each) for one in classes])
    few = few.with_columns(_some_values(few.get_column(name), rows.get_column(name)) for name in pipeline.columns)
    return pl.concat([few] * COPIES).sample(fraction=1.0, shuffle=True, seed=0)


def _some_values(column: pl.Series, whole: pl.Series) -> pl.Series:
    """A column that is null in a few rows, though not in all: with other rows' values, for who never saw a value may refuse to learn."""
    values = whole.drop_nulls()
    if column.null_count() < column.len() or values.is_empty():
        return column
    return values.gather(pl.Series(np.arange(column.len()) % values.len())).alias(column.name)


def _in_turn(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a smaller and a larger label in turn: whoever takes the label of the row before learns the very opposite."""
    ranked = rows.sort("label", maintain_order=True)
    places = np.arange(rows.height)
    half = -(-rows.height // 2)
    return ranked[(places // 2 + np.where(places % 2 == 0, 0, half)).tolist()]


def _by_heart(pipeline: Pipeline, tiled: pl.DataFrame, way: Way) -> float:
    """How well the few rows are ordered, by their own labels, by what was fitted on them."""

    def order(rows: pl.DataFrame) -> float:
        found = predict(pipeline, fitted(pipeline, rows), matrix(pipeline, rows))
        return concordance(tiled.get_column("label").to_numpy(), found)

    return signal.learned(order, functools.partial(way, pipeline, tiled))


def _noise(pipeline: Pipeline, labels: np.ndarray) -> float:
    """The standard deviation of a concordance by chance (Mann and Whitney 1947; of Spearman's ρ it is 1/√(n − 1))."""
    if pipeline.task == "regression":
        return 0.5 / math.sqrt(max(1, labels.size - 1))
    first = int((labels == labels.max()).sum())
    return math.sqrt((labels.size + 1) / (12 * first * max(1, labels.size - first)))


def _simple(pipeline: Pipeline, train: pl.DataFrame, test: pl.DataFrame) -> float:
    """The concordance of a linear model of the numbers, truths and common categories."""
    train = train.filter(pl.col("label").is_not_null())
    known, asked = _numbers(pipeline, train, train), _numbers(pipeline, train, test)
    if not known.shape[1]:
        return CHANCE
    scaler = StandardScaler().fit(known)
    model = Ridge(alpha=10.0).fit(scaler.transform(known), train.get_column("label").to_numpy())
    return concordance(test.get_column("label").to_numpy(), model.predict(scaler.transform(asked)))


def _numbers(pipeline: Pipeline, train: pl.DataFrame, rows: pl.DataFrame) -> np.ndarray:
    columns = list[np.ndarray]()
    for name in pipeline.columns:
        known, column = train.get_column(name), rows.get_column(name)
        if column.dtype.is_numeric() or column.dtype == pl.Boolean:
            usual = known.cast(pl.Float64).fill_nan(None).mean()
            columns.append(column.cast(pl.Float64).fill_nan(None).fill_null(usual or 0.0).to_numpy())  # type: ignore[arg-type]
        elif column.dtype == pl.String:
            common = known.drop_nulls().value_counts(sort=True).get_column(name).head(CATEGORIES)
            columns += [(column == one).fill_null(value=False).cast(pl.Float64).to_numpy() for one in common]
    return np.column_stack(columns) if columns else np.zeros((rows.height, 0))


# ---- weights ------------------------------------------------------------------------------------------------------


class Listening:
    """An estimator that notes the weights it is fitted with, and may take them for equal."""

    def __init__(self, model: Any, *, equal: bool) -> None:
        self.model, self.equal, self.differ = model, equal, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)

    def fit(self, data: Any, labels: Any, *more: Any, **named: Any) -> Any:
        """Fit the estimator itself."""
        for name, value in named.items():
            if name.endswith("sample_weight") and value is not None:
                weights = np.asarray(value, dtype=np.float64)
                self.differ |= weights.size > 0 and bool(np.ptp(weights) > 0)
                named[name] = np.full_like(weights, weights.mean()) if self.equal else value
        return self.model.fit(data, labels, *more, **named)


def weighed(pipeline: Pipeline, train: pl.DataFrame, test: pl.DataFrame) -> int | None:
    """How many predictions the weights move; None where ``fit`` gives none that differ."""
    if pipeline.fit is None:
        return None
    found = list[np.ndarray]()
    for equal in (False, True):
        heard = list[Listening]()

        def estimator(parameters: dict[str, Any], *, equal: bool = equal, heard: list[Listening] = heard) -> Listening:
            heard.append(Listening(pipeline.estimator(parameters), equal=equal))
            return heard[-1]

        listening = dataclasses.replace(pipeline, estimator=estimator)
        try:
            model = fitted(listening, train)
        except Exception:  # a fit of the author's own may ask more of an estimator than this one gives
            return None
        if not any(one.differ for one in heard):
            return None
        found.append(predict(pipeline, model, matrix(pipeline, test)))
    return int((found[0] != found[1]).sum())
