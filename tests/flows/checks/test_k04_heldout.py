"""K04: the evaluation rows decide nothing that is fitted or chosen."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from flows.building import split, tune
from flows.building.fit import fit, matrix, predict
from flows.checks import k04_heldout
from flows.checks.check import Verdict, judge
from flows.pipeline import Tuned
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k04_heldout.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


class Peek:
    """A split that keeps what it saw."""

    def __init__(self):
        self.rows = pl.DataFrame()

    def __call__(self, rows):
        parts = split.by_time(rows, shop.PIPELINE.split)
        self.rows = rows.with_columns(parts)
        return parts

    def test(self):
        return self.rows.filter(pl.col("part") == split.TEST, pl.col("label").is_not_null())


class Scaled:
    """A scaler of its own class, told its mean from outside, before a logistic regression."""

    def __init__(self, mean):
        self.mean, self.model = mean, LogisticRegression()

    def fit(self, data, labels):
        self.model.fit(self._scaled(data), labels)
        return self

    def predict_proba(self, data):
        return self.model.predict_proba(self._scaled(data))

    def _scaled(self, data):
        return data.select(pl.col("size") - self.mean).to_numpy()


class Timed(ClassifierMixin, BaseEstimator):
    """Notes the wall time of its fit, as searches do."""

    def fit(self, data, labels):
        self.share_, self.fit_time_ = float(labels.mean()), time.perf_counter()
        return self

    def predict_proba(self, data):
        return np.full((data.height, 2), self.share_)


class Restless(Timed):
    """Another model each time it is fitted."""

    def fit(self, data, labels):
        self.share_ = np.random.default_rng().random()
        return self


def test_a_clean_pipeline_passes_and_its_evaluation_matrix_changed(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.numbers["features_cells"] > 400
        assert (
            finding.numbers["features_predictions"] == finding.numbers["labels_cells"] == finding.numbers["test_rows"]
        )
        assert finding.numbers["rows_rebuilt"] > 200


def test_a_scaler_fitted_on_everything_behind_a_class_of_its_own_is_seen(clean):
    peek = Peek()
    finding = _finding(clean, split=peek, estimator=lambda parameters: Scaled(peek.rows["size"].mean()))

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["learned_moved"] > 0
    assert finding.numbers["predictions_moved"] > 100


def test_a_mean_over_all_rows_in_prepare_is_seen_at_the_source(clean):
    def prepare(rows):
        return shop.prepare(rows).with_columns(pl.col("size") - pl.col("size").mean())

    finding = _finding(clean, prepare=prepare)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["cells"] == finding.numbers["rows_rebuilt"]
    assert "most in size" in finding.sentence


def test_a_choice_made_on_the_test_rows_behind_honest_trials_is_seen(clean):
    peek = Peek()

    def search(pipeline, train, validation):
        honest = tune.tune(pipeline, train, validation)
        data, labels = matrix(pipeline, peek.test()), peek.test()["label"].to_numpy()
        models = [(trial["parameters"], fit(pipeline, trial["parameters"], train)) for trial in honest.trials]
        best = max(models, key=lambda one: pipeline.metric.compute(labels, predict(pipeline, one[1], data)))
        return Tuned(best[0], honest.trials)

    finding = _finding(clean, split=peek, tune=search)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["trials_moved"] == 0
    assert finding.numbers["parameters_moved"] == 1


def test_a_calibration_on_the_test_labels_is_seen_though_the_features_play_no_part(clean):
    peek = Peek()

    def shifted(model, data):
        return model.predict_proba(data)[:, 1] * 0 + peek.test()["label"].mean()

    def calibrated(model, data, labels):
        model = model.fit(data, labels)
        model.threshold_ = peek.test()["label"].mean()
        return model

    finding = _finding(clean, split=peek, fit=calibrated)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Poisoned labels of the test rows moved 1 learned (.threshold_)")


def test_training_rows_that_depend_on_the_test_rows_are_seen(clean):
    def oversampled(rows):
        parts = split.by_time(rows, shop.PIPELINE.split)
        common = rows.filter(parts == split.TEST)["label"].mean() > 0.5
        rare = (rows["label"] == float(common)) & (parts == split.TRAIN)
        return pl.Series(
            [None if drop and place % 3 else part for place, (part, drop) in enumerate(zip(parts, rare, strict=True))],
            dtype=pl.String,
        )

    finding = _finding(clean, split=oversampled)

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["rows_moved"] > 0


def test_a_wall_time_that_was_noted_down_is_no_difference(clean):
    finding = _finding(clean, estimator=lambda parameters: Timed())

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_model_that_is_another_each_time_cannot_be_judged(clean):
    finding = _finding(clean, estimator=lambda parameters: Restless())

    assert finding.verdict is Verdict.VACUOUS
    assert "Two trainings on the same rows differ in predictions" in finding.sentence


def test_a_split_by_a_declared_unit_is_no_false_alarm(clean):
    def by_shop(rows):
        part = pl.col("shop").replace_strict({"amber": "train", "birch": "validation", "cedar": "test"})
        return rows.select(part).to_series()

    finding = _finding(clean, split=by_shop, independent_unit="shop")

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["rows_rebuilt"] == 0


def test_a_fit_that_raises_is_a_failure_with_its_reason(clean):
    def broken(model, data, labels):
        raise ValueError("singular matrix")

    finding = _finding(clean, fit=broken)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence == "shop_late raised ValueError: singular matrix"


class ByTheWay:
    """``prepare`` fits a scaler on whatever it is given, and the model stands behind it."""

    def __init__(self):
        self.mean = 0.0

    def prepare(self, rows):
        ready = shop.prepare(rows)
        self.mean = ready["size"].mean()
        return ready

    def estimator(self, parameters):
        return Scaled(self.mean)


class Once:
    """``prepare`` that scales by the first rows it ever saw."""

    def __init__(self):
        self.mean = None

    def __call__(self, rows):
        ready = shop.prepare(rows)
        self.mean = ready["size"].mean() if self.mean is None else self.mean
        return ready.with_columns(pl.col("size") - self.mean)


def test_a_scaler_that_prepare_has_fitted_by_the_way_is_seen(clean):
    """No row is another for it: it is kept outside of them."""
    kept = ByTheWay()
    finding = _finding(clean, prepare=kept.prepare, estimator=kept.estimator)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Other test rows in dataset and prepare moved")
    assert finding.numbers["learned_moved"] > 0


def test_what_is_fitted_on_the_first_rows_ever_seen_is_seen(clean):
    """Built again in the same process it gives the same rows, for it remembers."""
    once = Once()
    planted = clean.planted(dataclasses.replace(shop.PIPELINE, prepare=once))
    assert planted.rows.height > 200

    finding = judge(k04_heldout.CHECK, planted)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("Other test rows in dataset and prepare changed")
    assert finding.sentence.endswith("most in size.")


def test_what_dataset_has_kept_of_the_answers_is_seen(clean):
    """The mean of all labels there are, the test rows' among them, in each prediction."""
    kept = [0.0]

    def dataset(read, window):
        rows = shop.dataset(read, window)
        kept[0] = rows["label"].mean()
        return rows

    def fitted(model, data, labels):
        return model.fit(data, labels), kept[0]

    def asked(model, data):
        return 0.9 * model[0].predict_proba(data)[:, 1] + 0.1 * model[1]

    assert _finding(clean, dataset=dataset, fit=fitted, predict=asked).verdict is Verdict.FAIL


def test_a_prepare_that_refuses_other_inputs_is_given_other_answers_alone(clean):
    """A text it has never heard of: that is no alarm, and no way to hide."""
    kept = ByTheWay()

    def strict(rows):
        assert set(rows["shop"]) <= set(shop.SHOPS)
        return shop.prepare(rows)

    def keeping(rows):
        kept.mean = rows["label"].mean() if "label" in rows.columns else 0.0
        return strict(rows)

    assert _finding(clean, prepare=strict).verdict is Verdict.PASS
    assert _finding(clean, prepare=keeping, estimator=kept.estimator).verdict is Verdict.FAIL
