"""What a fitted model has learned, by path."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flows.checks.learned import differences, learned, reached

RANDOM = np.random.default_rng(0)
DATA, LABELS = RANDOM.normal(size=(60, 3)), RANDOM.normal(size=60)
MODELS = {
    "ridge": make_pipeline(StandardScaler(), Ridge()),
    "trees": HistGradientBoostingRegressor(max_iter=5, random_state=0),
    "forest": RandomForestRegressor(n_estimators=3, random_state=0),
    "neighbours": KNeighborsRegressor(algorithm="kd_tree"),
}


class Wrapper:
    """Keeps what it has learned three objects deep, and itself in a circle."""

    def __init__(self, value):
        self.inner = {"deep": [self, (value, lambda: None)]}


@pytest.mark.parametrize("name", MODELS)
def test_one_label_or_value_more_is_seen_in_what_was_learned(name):
    model, other = MODELS[name], DATA.copy()
    first = learned(model.fit(DATA, LABELS))
    again = learned(model.fit(DATA, LABELS))
    other[0, 0] += 100

    assert differences(first, again) == []
    assert differences(first, learned(model.fit(other, LABELS)))


def test_a_wrapper_and_a_circle_hide_nothing():
    found = differences(learned(Wrapper(1.0)), learned(Wrapper(1.0 + 1e-16 + 2e-16)))

    assert found == [".inner['deep'][1][0]"]


def test_arrays_of_objects_sets_and_slots_are_looked_into():
    class Slotted:
        __slots__ = ("value",)

    one, other = Slotted(), Slotted()
    one.value, other.value = {3, 1}, {3, 2}
    boxed = np.array([one, None], dtype=object)

    assert len(differences(learned(boxed), learned(np.array([other, None], dtype=object)))) == 1


def test_every_object_below_a_model_is_reached_once(clean):
    """Those that hold it and those it holds, however deep, and no type."""
    found = list(reached({"one": [clean.trained.model], "other": clean.trained.model}))

    assert sum(hasattr(one, "mean_") for one in found) == 1
    assert not any(isinstance(one, type) for one in found)
