"""K14: the training learns."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from flows.checks import k14_learning, signal
from flows.checks.check import Verdict, judge
from flows.faults.train import Deaf
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k14_learning.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _weighing(model, data, labels):
    """Later rows weigh more."""
    return model.fit(data, labels, logisticregression__sample_weight=np.linspace(0.1, 2.0, len(labels)))


def test_a_clean_training_learns_what_is_planted_and_sees_a_row_off(clean, minutes):
    """In either kind."""
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control > 0.3
        assert finding.numbers["planted"] > 0.95
        assert finding.numbers["by_heart"] > 0.8
        assert "weighed" not in finding.numbers


@pytest.mark.parametrize(
    "model",
    [DecisionTreeClassifier(max_depth=1), DecisionTreeClassifier(min_samples_leaf=30), LogisticRegression(C=0.001)],
)
def test_weak_learners_are_no_false_alarm(clean, model):
    """A stump, great leaves, a great penalty."""
    finding = _finding(clean, estimator=lambda parameters: shop.prepared(model))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_columns_that_tell_nothing_are_no_false_alarm(clean, minutes):
    """Labels drawn by lot: that is the world's fault, not the training's."""
    for world in (clean, minutes):
        lot = pl.Series(np.random.default_rng(1).permutation(world.rows["label"].drop_nulls().to_numpy()))
        known = world.rows.filter(pl.col("label").is_not_null()).with_columns(lot.alias("label"))
        other = dataclasses.replace(world)
        other.__dict__["rows"] = known
        finding = judge(k14_learning.CHECK, other)
        assert finding.verdict is Verdict.PASS, finding.sentence


def test_labels_a_row_off_are_seen_though_the_score_hardly_falls(minutes):
    """Days are alike: the order before came as late."""

    def fit(model, data, labels):
        return model.fit(data, np.roll(labels, 1))

    def daily(rows):
        ready = shop.prepare(rows)
        if "label" not in ready.columns:
            return ready
        return ready.with_columns(pl.col("label").mean().over("shop", pl.col("event_time").dt.truncate("1d")))

    finding = _finding(minutes, prepare=daily, fit=fit)

    assert finding.verdict is Verdict.FAIL
    assert "the training does not learn what it is given" in finding.sentence
    assert finding.numbers["model"] > 0.6


@pytest.mark.parametrize(
    "components",
    [
        {"estimator": lambda parameters: DummyClassifier()},
        {"fit": lambda model, data, labels: model.fit(data, 1 - labels)},
        {"fit": lambda model, data, labels: model.fit(data.select(pl.all().shuffle(seed=0)), labels)},
        {"predict": lambda model, data: np.full(data.height, 0.5)},
        {"predict": lambda model, data: model.predict_proba(data)[:, 0]},
    ],
    ids=["a dummy", "labels turned", "columns shuffled", "a constant", "the other class"],
)
def test_a_dead_or_wrong_training_is_seen(clean, components):
    """Each behind a component of the author's own."""
    finding = _finding(clean, **components)

    assert finding.verdict is Verdict.FAIL
    assert "raised" not in finding.sentence


def test_a_model_far_worse_than_a_linear_one_of_the_same_columns_is_seen(clean):
    """It learns what is planted in its one column, and leaves the others lying."""
    one = shop.make_pipeline(
        shop.make_column_transformer(("passthrough", ["size"])), DecisionTreeClassifier(max_depth=3)
    )
    finding = _finding(clean, estimator=lambda parameters: one)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["planted"] > 0.95
    assert "and a linear model of the same columns with 0.9" in finding.sentence


def test_a_learner_that_needs_many_rows_gets_all_of_them(clean):
    """Nine hundred would teach it nothing."""
    finding = judge(k14_learning.CHECK, shop.slow(clean))

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["planted"] > 0.9


class ByHeart:
    """The mean label of the training rows that are alike in every column to the last digit; of others it knows nothing."""

    def fit(self, data, labels):
        """Note them."""
        rows = data.select(pl.concat_str(pl.all().cast(pl.String)).alias("row")).with_columns(label=labels)
        self.means, self.usual = rows.group_by("row").agg(pl.col("label").mean()), float(np.mean(labels))
        return self

    def predict(self, data):
        """What was noted, or the mean of all."""
        rows = data.select(pl.concat_str(pl.all().cast(pl.String)).alias("row"))
        found = rows.join(self.means, on="row", how="left", maintain_order="left").get_column("label")
        return found.fill_null(self.usual).to_numpy()


def test_what_is_learned_by_heart_alone_is_seen(minutes):
    """Of rows it has not met it knows nothing, whatever they carry."""
    finding = _finding(minutes, estimator=lambda parameters: ByHeart())

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Of rows that carry their label it learns an order of 0.5")
    assert finding.numbers["by_heart_planted"] > 0.99


def test_weights_that_move_nothing_are_seen_and_those_that_do_are_counted(clean):
    """A class between ``fit`` and model drops them."""
    used = _finding(clean, fit=_weighing)
    dropped = _finding(clean, fit=_weighing, estimator=lambda parameters: Deaf(clean.pipeline.estimator(parameters)))

    assert used.verdict is Verdict.PASS, used.sentence
    assert used.numbers["weighed"] > 50
    assert dropped.verdict is Verdict.FAIL
    assert (
        dropped.sentence
        == "fit gives weights that differ from row to row, and the model is the same without them: they are ignored."
    )


def test_equal_weights_and_a_fit_that_asks_more_of_its_estimator_are_no_weights(clean):
    """Then there is nothing to judge."""

    def equal(model, data, labels):
        return model.fit(data, labels, logisticregression__sample_weight=np.ones(len(labels)))

    def strict(model, data, labels):
        assert isinstance(model, type(clean.pipeline.estimator({})))
        return _weighing(model, data, labels)

    for fit in (equal, strict):
        finding = _finding(clean, fit=fit)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert "weighed" not in finding.numbers


def test_twenty_rows_are_of_both_classes_however_rare_one_is(clean):
    """Fifty copies of each."""
    known = clean.rows.filter(pl.col("label").is_not_null())
    late = known.filter(pl.col("label") == 1).head(5)
    tiled = k14_learning._tiled(clean.pipeline, pl.concat([late, known.filter(pl.col("label") == 0)]))

    assert tiled.height == 15 * 50
    assert tiled.filter(pl.col("label") == 1)["order_id"].n_unique() == 5
    assert tiled["order_id"].to_list() != sorted(tiled["order_id"].to_list())


@pytest.mark.parametrize("seed", range(4))
def test_labels_a_row_off_are_the_opposite_where_small_and_large_ones_come_in_turn(clean, minutes, seed):
    """By chance they may tell a signal's direction in any order of the rows but this one."""
    for world in (clean, minutes):
        rows = k14_learning._tiled(world.pipeline, world.rows).sample(fraction=1.0, shuffle=True, seed=seed)
        moved = dataclasses.replace(world.pipeline, fit=lambda model, data, labels: model.fit(data, np.roll(labels, 1)))
        in_turn = k14_learning._in_turn(rows)

        assert in_turn.sort("order_id").equals(rows.sort("order_id"))
        assert k14_learning._by_heart(world.pipeline, in_turn, signal.carried) > 0.9
        assert k14_learning._by_heart(moved, in_turn, signal.carried) < 0.5


def test_a_column_that_is_null_in_twenty_rows_has_some_values_in_them(clean):
    """Boosted trees that never saw a value of a column refuse to learn."""
    picked = k14_learning._tiled(clean.pipeline, clean.rows)["order_id"].unique()
    rows = clean.rows.with_columns(size=pl.when(~pl.col("order_id").is_in(picked.implode())).then("size"))
    tiled = k14_learning._tiled(clean.pipeline, rows)

    assert set(tiled["order_id"]) == set(picked)
    assert tiled["size"].null_count() == 0
