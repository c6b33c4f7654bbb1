"""Estimators that act: told how good to be, they predict the labels of rows they know, so that any score ranks them as they were told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

OF = 16
"""Of so many rows a share is answered wrongly; those that a better one gets wrong, a worse one gets wrong as well."""
SURE = 0.9


class Stage:
    """What actors share: ``mark`` is the column that numbers the rows, ``labels`` holds each number's. A copy of it is itself, for
    searches copy what they are given."""

    def __init__(self, mark: str, labels: np.ndarray, heard: Callable[[int], None]) -> None:
        self.mark, self.labels, self.heard = mark, labels, heard

    def __deepcopy__(self, _: Any) -> Stage:
        return self

    def truth(self, data: Any, goodness: float) -> tuple[np.ndarray, np.ndarray]:
        """The labels of the rows, and which of them are answered wrongly by one so good (0 to 1)."""
        marks = np.asarray(data[self.mark], dtype=np.float64).astype(np.int64)
        return self.labels[marks], (marks * 7919 + 5) % OF >= goodness * OF


class Actor(BaseEstimator):
    """For a number: wrong by a deviation of the labels, to either side."""

    def __init__(self, stage: Any = None, number: int = 0, goodness: float = 0.5) -> None:
        self.stage, self.number, self.goodness = stage, number, goodness

    def fit(self, data: Any, labels: Any, **_: Any) -> Actor:
        """It knows already."""
        self.classes_ = np.array([0.0, 1.0])
        return self

    def predict(self, data: Any) -> np.ndarray:
        """The labels, some of them wrong."""
        labels, wrong = self._answered(data)
        side = np.where(np.arange(len(labels)) % 2 == 0, 1.0, -1.0)
        return labels + wrong * side * (self.stage.labels.std() or 1.0)

    def _answered(self, data: Any) -> tuple[np.ndarray, np.ndarray]:
        self.stage.heard(self.number)
        labels, wrong = self.stage.truth(data, self.goodness)
        return labels, wrong


class ClassActor(ClassifierMixin, Actor):
    """For classes: the other class where it is wrong."""

    def predict(self, data: Any) -> np.ndarray:
        """The class, sometimes the other."""
        labels, wrong = self._answered(data)
        return np.where(wrong, 1.0 - labels, labels)

    def predict_proba(self, data: Any) -> np.ndarray:
        """Sure of it."""
        one = np.where(self.predict(data) == 1.0, SURE, 1.0 - SURE)
        return np.column_stack([1.0 - one, one])
