"""How well numbers put labels in order: one measure for classes and for values, which no scale and no threshold moves."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

CHANCE = 0.5


def concordance(labels: np.ndarray, values: np.ndarray) -> float:
    """Between 0 (the other way round) and 1 (in order), 0.5 by chance. Of labels that are two classes the area under the ROC
    curve (Mann and Whitney 1947), of others (1 + Spearman's ρ) / 2; 0.5 where labels or values are all alike."""
    places = rankdata(values)
    if len(np.unique(labels)) == 2:
        higher = labels == labels.max()
        first, others = int(higher.sum()), int((~higher).sum())
        return float((places[higher].sum() - first * (first + 1) / 2) / (first * others))
    ordered = rankdata(labels)
    if len(labels) < 2 or np.ptp(places) == 0 or np.ptp(ordered) == 0:
        return CHANCE
    return float((1 + np.corrcoef(ordered, places)[0, 1]) / 2)
