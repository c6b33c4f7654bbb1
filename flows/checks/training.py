"""Training as ``flows.building`` does it, on given rows, with every seed that is reachable set."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from flows.building import split, tune
from flows.building.fit import fit
from flows.pipeline import Pipeline, Tuned

TRIALS = 1


@dataclass(frozen=True)
class Trained:
    """What a training saw and what came of it: the parts' rows, what the search chose, the fitted model."""

    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    tuned: Tuned
    model: Any


def parted(pipeline: Pipeline, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The joined rows of train, validation and test."""
    parts = split.parts(pipeline, rows)
    train_rows, validation, test = (rows.filter(parts == part) for part in (split.TRAIN, split.VALIDATION, split.TEST))
    return train_rows, validation, test


def train(pipeline: Pipeline, rows: pl.DataFrame, *, seed: int = 0) -> Trained:
    """Split, tune and fit joined rows, as a training does, after setting the global seeds of ``random`` and NumPy.

    The search is cut to ``TRIALS`` beside the defaults: what decides it shows in two candidates as in twenty (K10
    proves the search).
    """
    _seed(seed)
    train_rows, validation, test = parted(pipeline, rows)
    search = dataclasses.replace(pipeline.search, trials=min(TRIALS, pipeline.search.trials))
    short = dataclasses.replace(pipeline, search=search)
    tuned = (pipeline.tune or tune.tune)(short, train_rows, validation)
    return Trained(train_rows, validation, test, tuned, fit(short, tuned.parameters, train_rows))


def unsearched(pipeline: Pipeline, rows: pl.DataFrame, *, seed: int = 0) -> Trained:
    """As ``train``, with the estimator's defaults and no search."""
    train_rows, validation, test = parted(pipeline, rows)
    return Trained(train_rows, validation, test, Tuned({}, []), fitted(pipeline, train_rows, seed=seed))


def fitted(pipeline: Pipeline, rows: pl.DataFrame, *, seed: int = 0) -> Any:
    """The estimator with its defaults, fitted on all of the rows."""
    _seed(seed)
    return fit(pipeline, {}, rows)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
