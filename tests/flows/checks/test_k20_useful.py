"""K20: every feature earns its keep."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from flows.checks import k20_useful
from flows.checks.check import Severity, Verdict, judge
from flows.checks.k20_useful import helps
from tests.flows.checks import shop

NUMBERS = ["size", "hour", "amount", "mood_mean_1d", "mood_sales_1d"]


def _finding(world, **components):
    return judge(k20_useful.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _of(columns, model):
    """A model of some of the columns."""
    return shop.make_pipeline(shop.make_column_transformer((shop.StandardScaler(), columns)), model)


def test_of_a_clean_pipeline_the_best_column_is_named_and_what_gives_nothing(clean, minutes):
    """It passes all the same: a column may be there for another season."""
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert "amount gives most of it" in finding.sentence
        assert "columns give nothing:" in finding.sentence
        assert "mood_sales_1d" in finding.sentence
        assert "to join" in finding.sentence
        assert finding.control > 0.3
        assert 0 < finding.numbers["unhelpful"] < finding.numbers["columns"]


def test_a_column_that_reaches_no_model_is_named_and_blocks_nothing(clean):
    """A list of columns somewhere behind was not mended."""
    finding = _finding(
        clean, inputs=("size", "hour"), estimator=lambda parameters: _of(["hour", "amount"], LogisticRegression())
    )  # fmt: skip

    assert finding.verdict is Verdict.FAIL
    assert "columns reach no model, whatever they hold: size, mood_mean_1d, mood_sales_1d." in finding.sentence
    assert finding.numbers["unread"] == 3
    assert finding.severity is Severity.WARNS
    assert not finding.blocks


def test_a_penalty_that_leaves_a_column_lying_is_no_false_alarm(minutes):
    """It would take it, if it told something."""
    finding = _finding(minutes, inputs=("size", "hour"), estimator=lambda parameters: _of(NUMBERS, Lasso(alpha=3.0)))

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["unhelpful"] >= 2


def test_a_column_that_only_weighs_rows_is_no_false_alarm(clean):
    """It moves the model, though no prediction is made of it."""

    def fit(model, data, labels):
        return model.fit(data, labels, logisticregression__sample_weight=np.exp(data["size"].to_numpy()))

    finding = _finding(
        clean, inputs=("size", "hour"), fit=fit,
        estimator=lambda parameters: _of([name for name in NUMBERS if name != "size"], LogisticRegression()),
    )  # fmt: skip

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert "size" in finding.sentence


def test_a_column_that_is_nearly_constant_is_no_false_alarm(clean):
    """One row in a hundred differs: of that no model makes anything."""

    def nearly(rows):
        rare = (pl.col("order_id").hash() % 100 == 0).cast(pl.Float64)
        return shop.prepare(rows).with_columns(rare.alias("rare"))

    finding = _finding(
        clean,
        prepare=nearly,
        inputs=("size", "hour", "rare"),
        estimator=lambda parameters: _of([*NUMBERS, "rare"], shop_tree()),
    )

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert "rare" in finding.sentence


def test_two_columns_that_say_the_same_are_named_together(clean):
    """A tree takes either; the other gives nothing."""

    def twice(rows):
        return shop.prepare(rows).with_columns((60 * pl.col("size")).alias("seconds"))

    finding = _finding(
        clean, prepare=twice, inputs=("size", "hour", "seconds"),
        estimator=lambda parameters: _of([*NUMBERS, "seconds"], shop_tree()),
    )  # fmt: skip

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["redundant"] >= 1
    assert "size says what seconds says." in finding.sentence or "seconds says what size says." in finding.sentence


def shop_tree():
    """A small tree."""
    return DecisionTreeClassifier(max_depth=3, random_state=0)


@pytest.mark.parametrize(
    ("falls", "whether"),
    [([0.02, 0.03, 0.025], True), ([0.02, -0.03, 0.025], False), ([0.0005] * 3, False), ([0.0, 0.0, 0.0], False)],
)
def test_a_column_helps_if_its_absence_costs_more_than_chance(falls, whether):
    """Two standard errors, and a thousandth."""
    assert helps(falls) is whether


def test_a_model_that_says_the_same_of_everybody_shows_nothing(clean):
    """Every column of it is dead."""
    finding = _finding(clean, estimator=lambda parameters: DummyClassifier())

    assert finding.verdict is Verdict.FAIL
    assert finding.control == 0


def test_a_pipeline_without_features_has_nothing_to_join(clean):
    """Only its inputs are judged."""
    finding = _finding(
        clean,
        inputs=("size", "hour"),
        features=(),
        estimator=lambda parameters: _of(["size", "hour"], LogisticRegression()),
    )

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert "to join" not in finding.sentence
