"""Who is judged by the same rows again and again needs more than the floor."""

import dataclasses
import math

import pytest

from flows.checks import k19_reuse
from flows.checks.check import Severity, Verdict, judge
from flows.pipeline import Window


def finding(world, judges=(), **pipeline):
    return judge(k19_reuse.CHECK, world.planted(dataclasses.replace(world.pipeline, **pipeline)).but(judges=judges))


def just_reached(world):
    """A floor a thousandth below what the model reaches."""
    return finding(world).numbers["value"] - 0.001


def test_the_first_model_on_these_rows_needs_no_margin(clean):
    found = finding(clean, floor=just_reached(clean))
    assert (found.verdict, found.numbers["judged_before"], found.numbers["margin"]) == (Verdict.PASS, 0, 0)


def test_a_later_one_that_just_reaches_the_floor_is_warned_of_and_does_not_block(clean):
    found = finding(clean, [clean.window] * 4, floor=just_reached(clean))
    assert (found.verdict, found.severity, found.blocks) == (Verdict.FAIL, Severity.WARNS, False)
    assert found.numbers["margin"] == pytest.approx(found.numbers["standard_error"] * math.sqrt(2 * math.log(5)))
    assert "4 earlier models" in found.sentence


def test_an_error_that_just_reaches_its_floor_is_made_larger_by_the_margin(minutes):
    """Less is better: the margin is added."""
    value = finding(minutes).numbers["value"]
    assert finding(minutes, floor=value + 0.001).verdict is Verdict.PASS
    assert finding(minutes, [minutes.window] * 4, floor=value + 0.001).verdict is Verdict.FAIL


def test_models_judged_on_other_rows_are_not_counted(clean):
    """However many: their stretch ends before the first evaluation row."""
    other = Window(clean.published, clean.trained.train["event_time"].max())
    assert finding(clean, [other] * 100).numbers["judged_before"] == 0


def test_a_model_far_above_its_floor_may_be_tried_often(clean):
    assert finding(clean, [clean.window] * 1000, floor=0.01).verdict is Verdict.PASS


def test_a_model_that_is_right_on_every_row_was_not_chosen_by_chance(clean):
    """Whatever rows are drawn, the metric is the same: there is no margin to ask for."""
    right = clean.planted(dataclasses.replace(clean.pipeline))
    right.__dict__["judged"] = clean.judged.with_columns(prediction="label")
    found = judge(k19_reuse.CHECK, right)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert found.sentence.startswith("roc_auc is 1 on every draw of the")


def test_a_metric_without_an_interval_is_said_so(clean):
    rows = clean.judged.head(5)
    other = clean.planted(dataclasses.replace(clean.pipeline))
    other.__dict__["judged"] = rows
    assert judge(k19_reuse.CHECK, other).verdict is Verdict.NOT_APPLICABLE
