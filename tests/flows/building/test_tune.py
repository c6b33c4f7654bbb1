"""The search: what is tried, what is chosen, and by which rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from flows.building import tune
from flows.pipeline import MAE, ROC_AUC, Metric, Search, Tuned
from store.errors import InvalidInput
from tests.flows.building import PIPELINE

SPACE = Search({"depth": [1, 2, 3, 4]}, trials=4)
NAN = float("nan")


def scripted(values: Sequence[float], metric: Metric = ROC_AUC) -> Tuned:
    """A search of as many trials whose objective gives these values, in order."""
    script = iter(values)
    space = Search({"depth": list(range(len(values)))}, trials=len(values) - 1)
    return tune.search(space, metric, lambda parameters: next(script))


@pytest.mark.parametrize(
    ("values", "metric", "best"),
    [
        ([0.9, 0.5, 0.6], ROC_AUC, 0),
        ([0.5, 0.6, 0.9, 0.7], ROC_AUC, 2),
        ([0.5, 0.6, 0.9], ROC_AUC, 2),
        ([0.7, 0.9, 0.9, 0.7], ROC_AUC, 1),
        ([0.9, 0.9], ROC_AUC, 0),
        ([NAN, 0.5, NAN, 0.4], ROC_AUC, 1),
        ([9.0, 5.0, 6.0], MAE, 1),
        ([1.0, 5.0, 6.0], MAE, 0),
        ([5.0, 2.0, 2.0, 1e9], MAE, 1),
        ([NAN, 5.0, 6.0], MAE, 1),
        ([float("-inf"), 0.1], ROC_AUC, 1),
    ],
    ids=[
        "first",
        "third",
        "last",
        "tied",
        "all tied",
        "nan",
        "least",
        "least first",
        "least tied",
        "least nan",
        "infinite",
    ],
)
def test_the_best_of_the_recorded_trials_is_chosen(values: list[float], metric: Metric, best: int) -> None:
    """First, k-th or last; of tied ones the earlier; never one that gave NaN; most or least, as the metric says."""
    tuned = scripted(values, metric)
    assert tuned.parameters == tuned.trials[best]["parameters"]
    recorded = [trial["value"] for trial in tuned.trials]
    assert [*map(str, recorded)] == [*map(str, values)]


def test_a_search_without_one_usable_trial_is_refused() -> None:
    """All NaN: there is nothing to choose, and the metric is named."""
    with pytest.raises(InvalidInput, match="All 3 trials gave no roc_auc"):
        scripted([NAN, NAN, NAN])


def test_every_candidate_is_tried_once_in_order() -> None:
    """The trials' parameters are the candidates, and the objective saw no others."""
    seen: list[dict[str, Any]] = []
    tuned = tune.search(SPACE, ROC_AUC, lambda parameters: seen.append(parameters) or 0.5)
    assert seen == tune.candidates(SPACE) == [trial["parameters"] for trial in tuned.trials]


def test_candidates_start_with_the_defaults_and_never_repeat() -> None:
    """Six combinations, asked for six: each of them once, after the defaults."""
    space = Search({"depth": [1, 2, 3], "rate": [0.1, 0.2]}, trials=6)
    found = tune.candidates(space)
    assert found[0] == {}
    assert sorted((one["depth"], one["rate"]) for one in found[1:]) == [(d, r) for d in (1, 2, 3) for r in (0.1, 0.2)]


def test_a_budget_larger_than_the_space_is_the_whole_space() -> None:
    """Nobody is warned, and nothing tried twice."""
    assert len(tune.candidates(Search({"depth": [1, 2]}, trials=50))) == 3


@pytest.mark.parametrize("space", [Search(), Search({"depth": [1, 2]}, trials=0), Search({}, trials=9)])
def test_without_space_or_budget_the_defaults_are_the_only_candidate(space: Search) -> None:
    """A pipeline that searches nothing still has one trial."""
    assert tune.candidates(space) == [{}]


def test_candidates_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    """A search can be repeated."""
    space = Search({"depth": list(range(50)), "rate": list(range(50))}, trials=5, seed=3)
    assert tune.candidates(space) == tune.candidates(space)
    assert tune.candidates(space) != tune.candidates(dataclasses.replace(space, seed=4))


def rows(sizes: list[float], labels: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"size": sizes, "shop_sold_1d": [0] * len(sizes), "label": labels}, schema_overrides={"label": pl.Float64}
    )


def test_candidates_are_fitted_on_train_and_judged_on_the_labelled_validation_rows() -> None:
    """Through the origin or not: the trial's value is the error on validation, computed by hand."""
    pipeline = dataclasses.replace(PIPELINE, search=Search({"fit_intercept": [False]}, trials=1))
    train = rows([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])
    validation = rows([4.0, 5.0, 6.0], [14.5, None, 16.5])
    tuned = tune.tune(pipeline, train, validation)
    slope = (11 + 24 + 39) / 14
    wanted = [0.5, (abs(4 * slope - 14.5) + abs(6 * slope - 16.5)) / 2]
    assert [trial["value"] for trial in tuned.trials] == pytest.approx(wanted)
    assert tuned.parameters == {}
    assert not any(math.isnan(trial["value"]) for trial in tuned.trials)
