"""K10: the search finds the best of what it tried, says so, and what it chose reaches the model."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid, TimeSeriesSplit

from flows.building.fit import fit, matrix, predict
from flows.checks import k10_tuner
from flows.checks.check import Verdict, judge
from flows.pipeline import Search, Tuned
from tests.flows.checks import shop

SPACE = Search({"C": [0.01, 0.1, 1.0, 10.0], "fit_intercept": [True, False]}, trials=4)


def _finding(world, **components):
    return judge(k10_tuner.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _labelled(rows):
    return rows.filter(pl.col("label").is_not_null())


def _value(pipeline, parameters, train, judged):
    judged = _labelled(judged)
    found = predict(pipeline, fit(pipeline, parameters, train), matrix(pipeline, judged))
    return pipeline.metric.compute(judged["label"].to_numpy(), found)


def _best(pipeline, trials):
    usable = [trial for trial in trials if not np.isnan(trial["value"])]
    return (max if pipeline.metric.better == "higher" else min)(usable, key=lambda trial: trial["value"])


def whole_grid(pipeline, train, validation):
    """A search of somebody's own: the whole grid, in an order of its own."""
    tries = [{}, *ParameterGrid({name: list(values) for name, values in pipeline.search.space.items()})]
    random.Random(5).shuffle(tries)
    trials = [{"parameters": one, "value": _value(pipeline, one, train, validation)} for one in tries]
    return Tuned(_best(pipeline, trials)["parameters"], trials)


def folded(folds):
    """A search that judges each candidate by the mean of folds of the training rows."""

    def tune(pipeline, train, validation):
        train, trials = _labelled(train), []
        for one in [{}, *ParameterGrid({name: list(values) for name, values in pipeline.search.space.items()})]:
            places = folds.split(np.arange(train.height))
            values = [_value(pipeline, one, train[inside], train[outside]) for inside, outside in places]
            trials.append({"parameters": one, "value": float(np.mean(values))})
        return Tuned(_best(pipeline, trials)["parameters"], trials)

    return tune


def by_its_own_scorer(pipeline, train, validation):
    """Scikit-learn's search with its own scorer: it never asks the contract's metric."""
    train = _labelled(train)
    grid = {f"logisticregression__{name}": list(values) for name, values in pipeline.search.space.items()}
    found = GridSearchCV(shop.prepared(LogisticRegression()), grid, scoring="roc_auc", cv=TimeSeriesSplit(3))
    found.fit(matrix(pipeline, train), train["label"].to_numpy())
    plain = [{name.partition("__")[2]: value for name, value in one.items()} for one in found.cv_results_["params"]]
    values = map(float, found.cv_results_["mean_test_score"])
    trials = [{"parameters": one, "value": value} for one, value in zip(plain, values, strict=True)]
    return Tuned(plain[found.best_index_], trials)


@pytest.mark.parametrize("tune", [None, whole_grid, folded(TimeSeriesSplit(3))], ids=["the default", "a grid", "folds"])
def test_a_search_that_finds_the_best_passes_in_every_script(clean, tune):
    """Our own, somebody's grid in another order, and folds in the order of time."""
    finding = _finding(clean, search=SPACE, tune=tune)
    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.control >= 3
    assert finding.numbers["scripts"] >= 12


def test_a_regression_is_searched_the_same_way(minutes):
    """Where less is better."""
    finding = _finding(minutes)
    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_pipeline_that_searches_nothing_is_not_judged(clean):
    """N/A with the reason."""
    finding = _finding(clean, search=Search())
    assert (finding.verdict, finding.sentence) == (Verdict.NOT_APPLICABLE, "shop_late searches nothing.")


def test_a_search_that_cannot_be_scripted_is_judged_by_its_trials(clean):
    """Scikit-learn's own search passes; the same one that hands on another choice fails."""

    def wrong(pipeline, train, validation):
        found = by_its_own_scorer(pipeline, train, validation)
        values = [trial["value"] for trial in found.trials]
        return Tuned(found.trials[int(np.argmin(values))]["parameters"], found.trials)

    right = _finding(clean, search=SPACE, tune=by_its_own_scorer)
    assert (right.verdict, right.numbers["scripts"]) == (Verdict.PASS, 0), right.sentence
    assert right.control > 0
    assert _finding(clean, search=SPACE, tune=wrong).verdict is Verdict.FAIL


def off_by_one(pipeline, train, validation):
    """Never looks at the value of the last try."""
    found = whole_grid(pipeline, train, validation)
    best = found.trials[0]
    for trial in found.trials[:-1]:
        if (trial["value"] > best["value"]) is (pipeline.metric.better == "higher"):
            best = trial
    return Tuned(best["parameters"], found.trials)


def always_highest(pipeline, train, validation):
    """Takes the highest, whatever the metric says."""
    found = whole_grid(pipeline, train, validation)
    usable = [trial for trial in found.trials if not np.isnan(trial["value"])]
    return Tuned(max(usable, key=lambda trial: trial["value"])["parameters"], found.trials)


def nan_wins(pipeline, train, validation):
    """NumPy's argmax takes NaN for the largest."""
    found = whole_grid(pipeline, train, validation)
    values = np.array([trial["value"] for trial in found.trials])
    return Tuned(
        found.trials[int(np.argmax(values if pipeline.metric.better == "higher" else -values))]["parameters"],
        found.trials,
    )


def says_more(pipeline, train, validation):
    """Stores better values than it saw."""
    found = whole_grid(pipeline, train, validation)
    return Tuned(found.parameters, [trial | {"value": round(trial["value"] + 0.01, 2)} for trial in found.trials])


def forgets_trials(pipeline, train, validation):
    """Stores only the best."""
    found = whole_grid(pipeline, train, validation)
    return Tuned(found.parameters, [trial for trial in found.trials if trial["parameters"] == found.parameters])


def without_the_ends(pipeline, train, validation):
    """An off-by-one in the grid."""
    space = {name: list(values)[1:] or list(values) for name, values in pipeline.search.space.items()}
    return whole_grid(dataclasses.replace(pipeline, search=Search(space)), train, validation)


def on_its_own_rows(pipeline, train, validation):
    """Judges on rows it was fitted on."""
    both = pl.concat([train, validation])
    return whole_grid(pipeline, both, validation)


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        (off_by_one, "was chosen"),
        (always_highest, "less is better"),
        (nan_wins, "was chosen"),
        (says_more, "is stored"),
        (forgets_trials, "is no stored trial"),
        (without_the_ends, "C=0.01"),
        (on_its_own_rows, "it was fitted on"),
        (folded(KFold(3, shuffle=True, random_state=0)), "older than"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_wrong_search_is_found(clean, tune, said):
    """Each with its reason."""
    finding = _finding(clean, search=SPACE, tune=tune)
    assert finding.verdict is Verdict.FAIL
    assert said in finding.sentence
    assert "raised" not in finding.sentence


def test_a_parameter_that_never_arrives_is_found(clean):
    """The estimator takes it and does nothing with it."""
    finding = _finding(
        clean, search=SPACE, estimator=lambda given: shop.prepared(LogisticRegression(C=given.get("C", 1.0)))
    )
    assert finding.verdict is Verdict.FAIL
    assert "fit_intercept" in finding.sentence


def test_a_grid_of_one_value_shows_nothing(clean):
    """Two tries that are alike choose one and the same: VACUOUS would block, so the defaults count as another."""
    finding = _finding(clean, search=Search({"C": [3.0]}, trials=1))
    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.control == 1


def by_a_score_of_its_own(last):
    """A loop by hand that never asks the contract's metric; with ``last`` it looks at its last try as well."""

    def tune(pipeline, train, validation):
        validation, trials = _labelled(validation), []
        for one in ParameterGrid({name: list(values) for name, values in SPACE.space.items()}):
            found = predict(pipeline, fit(pipeline, one, train), matrix(pipeline, validation))
            trials.append({"parameters": one, "value": float(np.corrcoef(found, validation["label"].to_numpy())[0, 1])})
        looked_at = trials if last else trials[:-1]
        return Tuned(max(looked_at, key=lambda trial: trial["value"])["parameters"], trials)

    return tune


def test_a_search_by_a_score_of_its_own_is_shown_estimators_that_act(clean):
    """A last trial that is never looked at shows where it is the best, whatever the score."""
    right, wrong = (_finding(clean, search=SPACE, tune=by_a_score_of_its_own(last)) for last in (True, False))

    assert (right.verdict, right.numbers["acts"]) == (Verdict.PASS, 8), right.sentence
    assert wrong.verdict is Verdict.FAIL
    assert "of its tries" in wrong.sentence.lower()
    assert " was better" in wrong.sentence


def test_a_last_try_by_a_score_of_its_own_that_nobody_heard_of_is_missed_where_it_is_the_best(clean):
    """It is not stored either: what was tried tells."""

    def unheard(pipeline, train, validation):
        found = by_a_score_of_its_own(last=False)(pipeline, train, validation)
        return Tuned(found.parameters, found.trials[:-1])

    finding = _finding(clean, search=SPACE, tune=unheard)

    assert finding.verdict is Verdict.FAIL
    assert "the best it tried" in finding.sentence


def test_means_over_many_folds_are_the_values_that_were_given(clean):
    """Seven times nine tenths, by seven, are not nine tenths."""
    finding = _finding(clean, search=SPACE, tune=folded(TimeSeriesSplit(7, test_size=15)))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_search_by_hand_need_not_handle_what_cannot_come(minutes):
    """A mean absolute error is never undefined: the least of them is found by ``min``, which stumbles over NaN."""

    def by_hand(pipeline, train, validation):
        found = whole_grid(pipeline, train, validation)
        best = min if pipeline.metric.better == "lower" else max
        return Tuned(best(found.trials, key=lambda trial: trial["value"])["parameters"], found.trials)

    finding = _finding(minutes, tune=by_hand)

    assert finding.verdict is Verdict.PASS, finding.sentence


@pytest.mark.parametrize(("left_out", "verdict"), [(1, Verdict.FAIL), (2, Verdict.PASS)])
def test_a_value_that_a_search_by_its_own_score_never_tries_is_told_from_some_drawn(clean, left_out, verdict):
    """An off-by-one in the grid; a part of the grid."""
    space = Search({"C": [0.01, 0.1, 1.0, 10.0, 100.0]}, trials=4)

    def some(pipeline, train, validation):
        validation, trials = _labelled(validation), []
        for value in space.space["C"][:-left_out]:
            found = predict(pipeline, fit(pipeline, {"C": value}, train), matrix(pipeline, validation))
            score = float(np.corrcoef(found, validation["label"].to_numpy())[0, 1])
            trials.append({"parameters": {"C": value}, "value": score})
        return Tuned(max(trials, key=lambda trial: trial["value"])["parameters"], trials)

    assert _finding(clean, search=space, tune=some).verdict is verdict
