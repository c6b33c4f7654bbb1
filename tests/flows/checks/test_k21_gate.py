"""The gate says no where it must, in the pipeline's own metric, and yes where it may."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from flows.checks import k21_gate
from flows.checks.check import Verdict, judge
from flows.deciding import promotion
from flows.pipeline import METRICS
from store.errors import InvalidInput


@pytest.mark.parametrize("world", ["clean", "minutes"])
def test_the_real_gate_is_right_about_every_model_in_either_direction_of_the_metric(request, world):
    found = judge(k21_gate.CHECK, request.getfixturevalue(world))
    assert found.verdict is Verdict.PASS
    assert (found.numbers["cases"], found.control) == (11, 3)


def test_a_gate_that_lets_nobody_through_fails_too(clean):
    def strict(**given):
        return promotion.Promotion("kept", ("No.",), ("No.",))

    found = judge(k21_gate.CHECK, clean.but(gate=strict))
    assert found.verdict is Verdict.FAIL
    assert "just better than the floor, the gate said kept, and must say promoted" in found.sentence


def test_a_metric_that_is_undefined_here_is_said_so(clean):
    other = clean.planted(dataclasses.replace(clean.pipeline))
    other.__dict__["judged"] = clean.judged.filter(label=1.0)
    assert judge(k21_gate.CHECK, other).verdict is Verdict.NOT_APPLICABLE


def told(metric, gate=promotion.decide, label=(0.0, 1.0, 1.0, None, 0.0), prediction=(0.5, 1.0, 3.0, 9.0, 0.25)):
    """What K21 says of a gate, in a world of five rows, one of which has no label yet."""
    judged = pl.DataFrame({"label": label, "prediction": prediction})
    pipeline = SimpleNamespace(name="small", metric=METRICS[metric])
    return judge(k21_gate.CHECK, SimpleNamespace(judged=judged, pipeline=pipeline, gate=gate))


def astray(**changes):
    """The real gate, told something else than it was asked: each change is made of what it was asked."""
    return lambda **given: promotion.decide(**given | {name: change(given) for name, change in changes.items()})


def unlike(outcome, when):
    """The real gate, but for one outcome."""
    return lambda **given: promotion.Promotion(outcome, (), ()) if when(given) else promotion.decide(**given)


BLIND = {
    "to the floor": (astray(floor=lambda given: None), "just worse than the floor", "promoted", "kept"),
    "to a missing metric": (unlike("promoted", lambda given: given["challenger"] is None), "is missing", "promoted", "kept"),
    "to what is no number": (
        unlike("promoted", lambda given: given["challenger"] is not None and np.isnan(given["challenger"].estimate)),
        "is not a number", "promoted", "kept",
    ),
    "to how many rows there are": (astray(minimum_rows=lambda given: 0), "on a row too few", "promoted", "kept"),
    "to members": (astray(members=lambda given: {}), "surely misses the floor of slices", "promoted", "kept"),
    "to the margin": (astray(margin=lambda given: 0.0), "not surely better by it", "promoted", "kept"),
    "to a missing difference": (
        unlike("promoted", lambda given: "difference" in given and given["difference"] is None),
        "whose difference is missing", "promoted", "kept",
    ),
    "to other rows": (
        lambda **given: promotion.decide(**given | ({"champion_ids": given["challenger_ids"]} if "champion_ids" in given else {})),
        "measured on different rows", "promoted", "refused to compare",
    ),
}  # fmt: skip


@pytest.mark.parametrize("metric", ["roc_auc", "mean_absolute_error"])
@pytest.mark.parametrize("blind", BLIND)
def test_a_gate_in_a_small_world_that_is_blind_to_one_thing_is_caught_by_that_alone(blind, metric):
    """The sentence names the model, what the gate said and what it must say; the three that may serve are let through."""
    gate, what, said, must = BLIND[blind]
    found = told(metric, gate)
    assert (found.verdict, found.numbers["wrong"], found.numbers["cases"], found.control) == (Verdict.FAIL, 1, 11, 3)
    assert what in found.sentence
    assert f"the gate said {said}, and must say {must}." in found.sentence


STRICT = {
    "asks for more than the floor": (
        unlike("kept", lambda given: not given.keys() & {"slice_floor", "margin"}), "just better than the floor", 2,
    ),
    "refuses a member that perhaps misses": (
        unlike("kept", lambda given: "slice_floor" in given), "a member that perhaps misses it", 2,
    ),
    "keeps every champion": (unlike("kept", lambda given: given.get("difference") is not None and given["difference"].low < 1.5),
                             "surely better by the margin", 2),
}  # fmt: skip


@pytest.mark.parametrize("strict", STRICT)
def test_a_gate_in_a_small_world_that_refuses_one_that_may_serve_is_caught(strict):
    """It lets the other two through, which is what is counted."""
    gate, what, through = STRICT[strict]
    found = told("roc_auc", gate)
    assert (found.verdict, found.numbers["wrong"], found.control) == (Verdict.FAIL, 1, through)
    assert f"{what}, the gate said kept, and must say promoted." in found.sentence


@pytest.mark.parametrize(("metric", "value"), [("roc_auc", 1.0), ("mean_absolute_error", 2.75 / 4)])
def test_the_real_gate_in_a_small_world_is_right_about_every_model(metric, value):
    """Only rows with a label count; and a gate that refuses to compare anything at all is caught."""
    found = told(metric)
    assert (found.verdict, found.control, found.numbers) == (Verdict.PASS, 3, {"cases": 11, "wrong": 0, "value": value})
    assert found.sentence == "The gate is right about 11 models, 3 of which may serve."
    assert told(metric, label=(0.0, 1.0, 1.0, 0.0, 0.0)).verdict is Verdict.PASS  # an odd number of rows

    def dumb(**given):
        raise InvalidInput("No.", "No.", "No.")

    assert told(metric, dumb).numbers["wrong"] == 10


def test_lines_in_a_small_world_are_drawn_a_millionth_from_the_metric_s_own_value():
    """Of the value, or of 1 where it is smaller; on all rows with a label."""
    asked = []
    told(
        "mean_absolute_error",
        lambda **given: asked.append(given) or promotion.decide(**given),
        prediction=[100.0, 101.0, 101.0, 0.0, 100.0],
    )
    told("roc_auc", lambda **given: asked.append(given) or promotion.decide(**given))
    for large, given in zip((True, False), (asked[0], asked[11])):
        value, step = (100.0, 1e-4) if large else (1.0, 1e-6)
        assert given["floor"] == pytest.approx(value + step if large else value - step, rel=1e-9)
        assert (given["challenger"].low, given["challenger"].high) == pytest.approx(
            (value - step / 2, value + step / 2), rel=1e-9
        )
        assert (given["minimum_rows"], given["challenger_ids"], given["challenger"].rows) == (4, [0, 1, 2, 3], 4)


@pytest.mark.parametrize("label", [(1.0, 1.0, None, 1.0, 1.0), (None,) * 5])
def test_a_metric_that_is_undefined_in_a_small_world_is_said_so(label):
    """Where rows have one class only, or none has a label."""
    found = told("roc_auc", label=label)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "roc_auc is undefined on the" in found.sentence
