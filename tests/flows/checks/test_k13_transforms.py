"""K13: a transformer does to its training rows what it claims."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from flows.checks import k13_transforms
from flows.checks.check import Verdict, judge
from flows.pipeline import Search

NUMBERS = ["size", "amount", "mood_mean_1d"]


def _finding(world, transformer, columns=NUMBERS):
    def estimator(parameters):
        return make_pipeline(make_column_transformer((transformer, columns)), LogisticRegression())

    other = dataclasses.replace(world.pipeline, estimator=estimator, search=Search())
    return judge(k13_transforms.CHECK, _undeclared(world.but(pipeline=other)))


def _undeclared(world):
    """The world whose author declared nothing of single values."""
    derived = {name: dataclasses.replace(one, aggregates={}) for name, one in world.catalog.derived.items()}
    return world.but(
        pipeline=dataclasses.replace(world.pipeline, worked=()),
        catalog=dataclasses.replace(world.catalog, derived=derived),
    )


class Scaler(TransformerMixin, BaseEstimator):
    """A scaler of its own class, with names of its own."""

    def __init__(self, ddof=0, held=None, centre=True, factor=1.0):
        self.ddof, self.held, self.centre, self.factor = ddof, held, centre, factor

    def fit(self, data, labels=None):
        values = data.to_numpy()
        self.middle = values.mean(axis=0)
        self.width = values.std(axis=0, ddof=self.ddof if self.held is None else self.held)
        self.stretch = values.std(axis=0) / values.std(axis=0, ddof=self.ddof) * self.factor
        return self

    def transform(self, data):
        values = data.to_numpy()
        width = self.width if self.held is None else values.std(axis=0, ddof=self.ddof)
        return (values - self.middle * self.centre) / width * self.factor


class Wrapped(TransformerMixin, BaseEstimator):
    """Scikit-learn's scaler behind a class that stretches what it gives."""

    def __init__(self, factor=1.0, offset=0.0):
        self.factor, self.offset = factor, offset

    def fit(self, data, labels=None):
        self.inner = StandardScaler().fit(data)
        return self

    def transform(self, data):
        return self.inner.transform(data) * self.factor + self.offset


class Lossy(OneHotEncoder):
    """Forgets its last category."""

    def transform(self, data):
        return super().transform(data).toarray()[:, :-1]


class Frozen(StandardScaler):
    """Keeps the deviation of its first fit, whatever it is fitted on later."""

    first = None

    def fit(self, data, labels=None, sample_weight=None):
        super().fit(data)
        self.first = self.scale_ if self.first is None else self.first
        self.scale_ = self.first
        return self


CLEAN = [
    (StandardScaler(), 2),
    (StandardScaler(with_mean=False), 1),
    (StandardScaler(with_std=False), 1),
    (MinMaxScaler((-1, 2)), 2),
    (MaxAbsScaler(), 2),
    (RobustScaler(), 2),
    (PowerTransformer(), 1),
    (KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf"), 1),
    (FunctionTransformer(np.log1p, np.expm1, check_inverse=False), 1),
    (SimpleImputer(), 1),
    (SimpleImputer(add_indicator=True), 1),
    (Scaler(), 2),
    (Scaler(ddof=1), 2),
    (Wrapped(), 4),
]


@pytest.mark.parametrize(("transformer", "held"), CLEAN, ids=lambda one: type(one).__name__)
def test_what_does_as_it_claims_passes(clean, transformer, held):
    """Each claim counted, and seen to fail when its output is moved."""
    logs = isinstance(transformer, FunctionTransformer)
    finding = _finding(clean, transformer, ["mood_sales_1d", "amount"] if logs else NUMBERS)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["claims"] >= held
    assert finding.control == finding.numbers["claims"]


@pytest.mark.parametrize(
    "encoder",
    [OneHotEncoder(), OneHotEncoder(drop="first"), OneHotEncoder(min_frequency=0.4), OrdinalEncoder(), TargetEncoder()],
    ids=str,
)
def test_encoders_of_many_kinds_are_no_false_alarm(clean, encoder):
    finding = _finding(clean, encoder, ["shop"])

    assert finding.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE), finding.sentence


@pytest.mark.parametrize(
    ("transformer", "said"),
    [
        (Scaler(ddof=1, held=0), "Scaler has a training deviation of 0.99"),
        (Wrapped(factor=0.998), "Wrapped has a training deviation of 0.998"),
        (Wrapped(offset=0.001), "Wrapped has a training mean of 0.001"),
        (Scaler(centre=False), "Scaler has a training mean of"),
        (Frozen(), "Frozen moves by"),
    ],
    ids=["another ddof", "stretched", "moved", "not centred", "frozen"],
)
def test_a_scaler_of_its_own_class_that_does_not_scale_is_seen(clean, transformer, said):
    finding = _finding(clean, transformer)

    assert finding.verdict is Verdict.FAIL
    assert said in finding.sentence
    assert finding.numbers["broken"] > 0


def test_a_one_hot_column_lost_is_seen(clean):
    finding = _finding(clean, Lossy(), ["shop"])

    assert finding.verdict is Verdict.FAIL
    assert "Lossy has 2 columns for 3 categories" in finding.sentence


def test_logs_that_do_not_lead_back_are_seen(clean):
    finding = _finding(clean, FunctionTransformer(np.log1p, np.exp, check_inverse=False), ["amount", "mood_sales_1d"])

    assert finding.verdict is Verdict.FAIL
    assert "cells back" in finding.sentence


def test_a_clean_pipeline_is_held_to_its_claims(clean, minutes):
    for world in (clean, minutes):
        finding = judge(k13_transforms.CHECK, _undeclared(world))
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.numbers["claims"] == finding.control == 3


def test_what_claims_nothing_is_counted_and_not_judged(clean):
    finding = _finding(clean, QuantileTransformer(n_quantiles=50))

    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert (
        finding.sentence == "no transformer of shop_late claims anything (3 claim nothing), and no value is declared."
    )


def test_a_fit_with_weights_is_not_held_to_means_without(clean):
    def fit(model, data, labels):
        scaler = StandardScaler().fit(data.select("size"), sample_weight=1 + np.abs(data["size"].to_numpy()))
        model.weighted_ = scaler
        return model.fit(data.with_columns(pl.Series("size", scaler.transform(data.select("size")).ravel())), labels)

    weighted = clean.but(pipeline=dataclasses.replace(clean.pipeline, fit=fit))

    assert judge(k13_transforms.CHECK, weighted).verdict is Verdict.PASS
