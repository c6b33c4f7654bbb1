"""Reported numbers computed a second time in SQL."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from flows.checks import recompute
from flows.pipeline import Metric
from tests.flows.checks import shop

RANDOM = np.random.default_rng(3)
LABELS = (RANDOM.random(500) < 0.3).astype(float)
TIED = np.round(np.clip(0.3 * LABELS + RANDOM.normal(0.4, 0.2, 500), 0, 1), 1)
JUDGED = pl.DataFrame({"label": LABELS, "prediction": TIED, "shop": RANDOM.choice(["a", "b"], 500)})


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("roc_auc", metrics.roc_auc_score),
        ("average_precision", metrics.average_precision_score),
        ("log_loss", metrics.log_loss),
        ("brier_score", metrics.brier_score_loss),
        ("mean_absolute_error", metrics.mean_absolute_error),
        ("root_mean_squared_error", metrics.root_mean_squared_error),
        ("median_absolute_error", metrics.median_absolute_error),
    ],
)
def test_sql_gives_what_scikit_learn_gives_ties_zeros_and_ones_included(name, theirs):
    found = recompute.numbers(shop.PIPELINE, JUDGED, ["shop"])

    assert found[recompute.ALL][name] == pytest.approx(theirs(LABELS, TIED), rel=1e-12)
    for member in ("a", "b"):
        of = (JUDGED["shop"] == member).to_numpy()
        assert found["shop", member][name] == pytest.approx(theirs(LABELS[of], TIED[of]), rel=1e-12)


def test_counts_add_up_over_the_members_of_a_slice():
    found = recompute.numbers(shop.PIPELINE, JUDGED, ["shop"])

    assert found["shop", "a"]["rows"] + found["shop", "b"]["rows"] == found[recompute.ALL]["rows"] == 500


def test_an_area_without_both_classes_is_said_to_be_undefined():
    found = recompute.numbers(shop.PIPELINE, JUDGED.with_columns(label=0.0), [])[recompute.ALL]

    assert math.isnan(found["roc_auc"])
    assert math.isnan(found["average_precision"])


def test_a_metric_of_the_authors_own_is_computed_by_its_own_function():
    worst = Metric("worst", "lower", lambda labels, predictions: float(np.abs(labels - predictions).max()))
    found = recompute.numbers(dataclasses.replace(shop.PIPELINE, metric=worst), JUDGED, ["shop"])

    assert found[recompute.ALL]["worst"] == max(found["shop", "a"]["worst"], found["shop", "b"]["worst"])
