"""K15: what cannot be used is refused by name; nothing crashes, answers with NaN, or is guessed."""

from __future__ import annotations

import dataclasses
import os
import sys

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from flows.building.fit import predict
from flows.checks import k15_input
from flows.checks.check import Verdict, judge
from flows.pipeline import Search
from flows.serving.predict import Answered, Predictor
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k15_input.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


class Guessing(ClassifierMixin, BaseEstimator):
    """A model that says one half where it fails, and learns that where it cannot learn."""

    def __init__(self, *, at_fit=False, at_predict=False):
        self.at_fit, self.at_predict = at_fit, at_predict

    def fit(self, data, labels):
        try:
            self.inner_ = shop.prepared(LogisticRegression()).fit(data, labels)
        except Exception:
            if not self.at_fit:
                raise
            self.inner_ = None
        return self

    def predict_proba(self, data):
        try:
            return np.full((data.height, 2), 0.5) if self.inner_ is None else self.inner_.predict_proba(data)
        except Exception:
            if not self.at_predict:
                raise
            return np.full((data.height, 2), 0.5)


class Leaving(ClassifierMixin, BaseEstimator):
    """A model that ends the process where labels are not what it likes."""

    def fit(self, data, labels):
        if not np.isfinite(labels).all():
            sys.exit("no")
        self.share_ = labels.mean()
        return self

    def predict_proba(self, data):
        found = self.share_ + data["hour"].to_numpy() / 1000
        return np.column_stack([1 - found, found])


def test_a_clean_pipeline_refuses_what_it_cannot_use(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control == finding.numbers["refused"] > 40
        assert finding.numbers["answered"] > 3
        assert 0 < finding.numbers["times_load"] < k15_input.SLOWEST


def test_a_model_that_takes_nulls_and_unseen_names_answers_them(clean):
    columns = ("size", "hour")
    finding = _finding(
        clean,
        estimator=lambda given: HistGradientBoostingClassifier(max_iter=5),
        inputs=columns,
        features=(),
        search=Search(),
    )

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["answered"] > 8


def test_a_model_that_looks_at_nothing_swallows_nothing(clean):
    finding = _finding(clean, estimator=lambda given: DummyClassifier(), search=Search())

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_rule_that_asks_no_model_swallows_nothing(clean):
    finding = _finding(clean, predict=lambda model, data: data["hour"].to_numpy() / 24)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_decisions_of_two_values_may_decide_a_nan(clean):
    finding = _finding(clean, predict=lambda model, data: (model.predict_proba(data)[:, 1] <= 0.5).astype(float))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_predict_that_guesses_where_the_model_raises_is_seen(clean):
    def asked(model, data):
        try:
            return predict(shop.PIPELINE, model, data)
        except Exception:
            return np.zeros(data.height)

    finding = _finding(clean, predict=asked)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("With a model that raises a request was answered with 0.0 (usually")


def test_a_model_that_guesses_behind_its_own_class_is_seen(clean):
    finding = _finding(
        clean, estimator=lambda given: Guessing(at_predict=True), search=Search(), trusted=(f"{__name__}.Guessing",)
    )

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Asked with columns whose values raise, the model said 0.5")


class Typed(ClassifierMixin, BaseEstimator):
    """A model that does something at its fit where a column is of a type that it does not know: ends its process, or learns nothing."""

    def __init__(self, *, at_other_types="abort"):
        self.at_other_types = at_other_types

    def fit(self, data, labels):
        known = all(dtype.is_numeric() or dtype == pl.String for dtype in data.schema.values())
        if not known or data.schema["size"] == pl.String:
            if self.at_other_types == "abort":
                os.abort()
            self.inner_ = None
        else:
            self.inner_ = shop.prepared(LogisticRegression()).fit(data, labels)
        return self

    def predict_proba(self, data):
        return np.full((data.height, 2), 0.5) if self.inner_ is None else self.inner_.predict_proba(data)


def test_a_library_that_ends_its_process_when_a_number_is_a_text_does_not_alarm(clean):
    """As LightGBM does: nothing is trained, and no group holds such a column."""
    finding = _finding(clean, estimator=lambda given: Typed(), search=Search(), trusted=(f"{__name__}.Typed",))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_fit_that_swallows_columns_whose_values_raise_is_seen(clean):
    """Though it is tried in another process."""
    finding = _finding(
        clean, estimator=lambda given: Typed(at_other_types="guess"), search=Search(), trusted=(f"{__name__}.Typed",)
    )

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("A fit on columns whose values raise came to an end, and its model says 0.5")


def test_a_fit_that_swallows_what_it_cannot_learn_is_seen(clean):
    finding = _finding(
        clean, estimator=lambda given: Guessing(at_fit=True), search=Search(), trusted=(f"{__name__}.Guessing",)
    )

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("A fit on no rows came to an end, and its model says 0.5")


def test_a_fit_that_ends_its_process_is_seen(clean):
    finding = _finding(clean, estimator=lambda given: Leaving(), search=Search(), trusted=(f"{__name__}.Leaving",))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("A fit on labels that are no number ended in SystemExit")


def test_a_nan_that_is_made_a_number_is_seen(minutes):
    finding = _finding(minutes, predict=lambda model, data: np.nan_to_num(model.predict(data)))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("With a model that gives NaN a request was answered with 0.0")


class Crashing(Predictor):
    """A road that ends in an error of its own for a text it cannot read."""

    def answer(self, model, asked):
        if any(row["shop"] == "" for row in asked.rows):
            raise ZeroDivisionError("no letters")
        return super().answer(model, asked)


class Silent(Predictor):
    """A road that passes NaN on."""

    def answer(self, model, asked):
        if any(row["size"] is None for row in asked.rows):
            return Answered([float("nan")], [{}])
        return super().answer(model, asked)


@pytest.mark.parametrize(
    ("predictor", "said"),
    [
        (Crashing, "A request with '' for shop ended in ZeroDivisionError: no letters, no refusal"),
        (Silent, "A request with null for size was answered with [nan]"),
    ],
)
def test_a_crash_and_a_nan_on_the_road_are_seen(clean, predictor, said):
    finding = judge(k15_input.CHECK, clean.but(road=dataclasses.replace(clean.road, predictor=predictor)))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith(said)


def test_an_answer_that_takes_ever_longer_with_the_text_is_seen(clean):
    def prepare(rows):
        """Reads a shop's name as often as it has letters."""
        letters = rows["shop"].str.len_chars().fill_null(0).max() or 0
        if letters > 1000:
            k15_input.load(400)
        return shop.prepare(rows)

    finding = _finding(
        clean,
        prepare=prepare,
        inputs=("size", "hour"),
        features=(),
        estimator=lambda given: LogisticRegression(),
        search=Search(),
    )

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("A text of 20,000 characters takes")
    assert finding.numbers["times_usual"] > k15_input.LONGEST


def test_a_service_that_answers_no_row_of_training_is_said(clean):
    def prepare(rows):
        if "label" not in rows.columns:
            raise ValueError("not here")
        return shop.prepare(rows)

    finding = _finding(clean, prepare=prepare)

    assert finding.verdict is Verdict.FAIL
    assert "shop_late answers no row of its own dataset." in finding.sentence


def test_columns_that_raise_do(clean):
    data = k15_input.raising(clean.rows.select("size"), ("size",))

    for look in (float, str, hash, list):
        with pytest.raises(k15_input.Untold):
            look(data["size"][0])
    assert data.schema["size"] == pl.Object
