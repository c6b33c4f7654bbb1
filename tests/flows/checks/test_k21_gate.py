"""The gate says no where it must, in the pipeline's own metric, and yes where it may."""

import dataclasses

import pytest

from flows.checks import k21_gate
from flows.checks.check import Verdict, judge
from flows.deciding import promotion


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
