"""K12: who asks the service is told what the batch says of the same entity and time."""

from __future__ import annotations

import dataclasses
import math
import os
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from flows.building.fit import predict
from flows.checks import k12_parity
from flows.checks.check import Verdict, judge
from flows.pipeline import Search, Serving
from tests.flows.checks import shop

HERE = "tests.flows.checks.test_k12_parity"


def _finding(world, **components):
    return judge(k12_parity.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


class Forgetful(ClassifierMixin, BaseEstimator):
    """A model that is stored without its scale."""

    def fit(self, data, labels):
        self.scale_, self.model_ = float(data["size"].std()), LogisticRegression()
        self.model_.fit(data.select(pl.col("size") / self.scale_).to_numpy(), labels)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, data):
        return self.model_.predict_proba(data.select(pl.col("size") / getattr(self, "scale_", 1.0)).to_numpy())

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "scale_"}


def _serving(change):
    """``prepare`` that does something only where there is no label."""

    def prepare(rows):
        ready = shop.prepare(rows)
        return ready if "label" in ready.columns else change(ready)

    return prepare


def test_a_clean_pipeline_is_served_as_in_batch_here_and_in_a_fresh_process(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.numbers["rows"] >= 12
        assert finding.control == finding.numbers["rows"]
        assert finding.numbers["questions"] > finding.numbers["rows"] + 4
        assert finding.numbers["refused"] > 0
        assert finding.numbers["fresh"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.with_columns(pl.col("size") / 1.0001), "was looked at with size"),
        (lambda rows: rows.with_columns(pl.col("size").fill_null(0.0)), "and batch refuses it (ValueError: Input X"),
        (lambda rows: rows.with_columns(pl.col("event_time") + timedelta(seconds=1)), "was taken as asked at"),
        (lambda rows: rows.with_columns(pl.col("event_time") - timedelta(days=1)), "was refused (Rejected"),
        (lambda rows: rows.with_columns(hour=pl.lit(12, pl.Int64)), "was looked at with hour 12.0, in batch with"),
        (lambda rows: rows.with_columns(pl.col("shop").str.to_uppercase()), "was refused (Rejected"),
    ],
    ids=["scaled", "filled", "later", "a day before", "constant", "upper case"],
)
def test_what_is_done_where_there_is_no_label_is_seen(clean, change, said):
    finding = _finding(clean, prepare=_serving(change))

    assert finding.verdict is Verdict.FAIL
    assert said in finding.sentence
    assert finding.numbers["apart"] > 0


def test_a_model_that_is_stored_without_what_it_learned_is_seen(clean):
    finding = _finding(clean, estimator=lambda given: Forgetful(), search=Search(), trusted=(f"{HERE}.Forgetful",))

    assert finding.verdict is Verdict.FAIL
    assert "of the same columns" in finding.sentence


def test_what_only_the_process_that_trained_knows_is_seen_in_a_fresh_one(clean):
    here = os.getpid()

    def asked(model, data):
        return predict(shop.PIPELINE, model, data) * (1 if os.getpid() == here else 0.9)

    finding = _finding(clean, predict=asked)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("A fresh process gives other predictions for")


def test_a_field_that_no_application_can_send_is_said(clean):
    serving = Serving({**shop.PIPELINE.serving.request, "weather": pl.String()}, {}, ("order_id",))
    finding = _finding(clean, serving=serving)

    assert finding.verdict is Verdict.FAIL
    assert "The dataset of shop_late gives no weather." in finding.sentence


def test_a_prediction_that_depends_on_its_company_is_left_to_k08(clean):
    def asked(model, data):
        found = predict(shop.PIPELINE, model, data)
        return found - found.mean() / 2

    finding = _finding(clean, predict=asked)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_nan_is_asked_as_null_and_infinities_are_not_asked(clean):
    def odd(rows):
        """Every third size is NaN, every third infinite."""
        place = pl.int_range(pl.len()) % 3
        return rows.with_columns(
            pl.when(place == 0).then(math.nan).when(place == 1).then(math.inf).otherwise("size").alias("size")
        )

    def dataset(read, window):
        return odd(shop.dataset(read, window))

    def estimator(parameters):
        return make_pipeline(SimpleImputer(), LogisticRegression())

    def prepare(rows):
        return shop.prepare(rows).with_columns(tame=pl.col("size").clip(-3, 3))

    finding = _finding(
        clean, dataset=dataset, estimator=estimator, inputs=("tame", "hour"), search=Search(), prepare=prepare
    )

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["rows"] >= 12


def test_a_model_that_says_the_same_of_everybody_shows_nothing(clean):
    finding = _finding(clean, estimator=lambda parameters: DummyClassifier(), search=Search())

    assert finding.verdict is Verdict.VACUOUS


def test_questions_are_asked_before_the_next_fact_takes_effect(clean):
    asked = k12_parity.moments(clean)
    effective = clean.facts["sales"].select(pl.max_horizontal("event_time", "known_time")).to_series().sort()

    assert [moment.now for moment in asked] == sorted(moment.now for moment in asked)
    for moment in asked:
        times = pl.Series([moment.now, *(question.event_time for question in moment.questions)])
        assert np.unique(effective.search_sorted(times, side="right")).size == 1


def test_a_prepare_that_remembers_the_first_rows_it_saw_is_seen_in_a_fresh_process(clean):
    """In this one it was given the training's rows; a service is given a request."""
    means = list[float]()

    def prepare(rows):
        ready = shop.prepare(rows)
        means.append(ready["size"].mean())
        return ready.with_columns(pl.col("size") - means[0])

    planted = clean.planted(dataclasses.replace(shop.PIPELINE, prepare=prepare))
    assert planted.rows.height > 200
    finding = judge(k12_parity.CHECK, planted)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("A fresh process gives other predictions")
