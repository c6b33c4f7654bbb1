"""How well numbers put labels in order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from flows.checks.ranks import concordance

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.integers(0, 20, 300).astype(float)


def test_of_classes_it_is_the_area_under_the_curve_ties_among_the_values():
    """As scikit-learn computes it."""
    labels = (RANDOM.random(300) < 0.2 + VALUES / 40).astype(float)

    assert concordance(labels, VALUES) == pytest.approx(roc_auc_score(labels, VALUES), abs=1e-12)


def test_of_values_it_is_spearmans_correlation_on_the_same_scale():
    """As SciPy computes it: 0.5 is none."""
    labels = VALUES + RANDOM.normal(0, 9, 300)

    assert concordance(labels, VALUES) == pytest.approx((1 + spearmanr(labels, VALUES)[0]) / 2, abs=1e-12)
    assert concordance(labels, -labels) == pytest.approx(0)


@pytest.mark.parametrize(("labels", "values"), [([0, 1, 0], [2, 2, 2]), ([5, 5, 5], [1, 2, 3]), ([], [])])
def test_what_is_all_alike_is_in_no_order(labels, values):
    """Chance, and no NaN."""
    assert concordance(np.array(labels, dtype=float), np.array(values, dtype=float)) == 0.5
