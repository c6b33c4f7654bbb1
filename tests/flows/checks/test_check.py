"""The frame of a check."""

from __future__ import annotations

import dataclasses
import json

from flows.checks.catalog import CHECKS
from flows.checks.check import Check, Finding, Seen, Severity, Verdict, judge
from flows.faults.catalog import FAULTS
from tests.flows.checks import shop


def _judged(clean, seen: Seen, severity: Severity = Severity.BLOCKS) -> Finding:
    return judge(Check("K99", "a test", lambda world: seen, severity), clean)


def test_a_pass_whose_control_moved_nothing_is_vacuous_and_blocks(clean):
    finding = _judged(clean, Seen("All is well.", control=0.0))

    assert (finding.verdict, finding.blocks) == (Verdict.VACUOUS, True)
    assert finding.sentence == "Nothing is shown, for the control moved nothing. All is well."


def test_a_pass_shows_the_control_that_could_have_seen_something(clean):
    finding = _judged(clean, Seen("All is well.", control=7.0))

    assert (finding.verdict, finding.control, finding.blocks) == (Verdict.PASS, 7.0, False)


def test_what_a_pipeline_raises_is_a_failure_with_its_reason(clean):
    def raising(read, window):
        raise KeyError("no such shop")

    derived = {"mood": dataclasses.replace(shop.MOODS, derive=raising)}
    world = clean.planted(dataclasses.replace(shop.PIPELINE, dataset=raising))
    world = dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))
    for check in CHECKS:
        finding = judge(check, world)
        assert finding.verdict is Verdict.FAIL
        assert finding.sentence == "shop_late raised KeyError: 'no such shop'"


def test_an_excuse_is_shown_and_does_not_block(clean):
    finding = _judged(clean, Seen("", excuse="it has no search."))

    assert (finding.verdict, finding.sentence, finding.blocks) == (Verdict.NOT_APPLICABLE, "it has no search.", False)


def test_a_warning_never_blocks(clean):
    assert not _judged(clean, Seen("A dead feature.", failed=True), Severity.WARNS).blocks


def test_a_finding_is_plain_json_without_what_json_cannot_say(clean):
    finding = _judged(clean, Seen("It failed.", 1, {"cells": 3, "reported": float("nan")}, failed=True))

    stored = json.loads(json.dumps(finding.to_dict(), allow_nan=False))

    assert stored.pop("seconds") >= 0
    assert stored == {
        "code": "K99", "title": "a test", "severity": "blocks", "verdict": "FAIL", "blocks": True,
        "numbers": {"cells": 3.0}, "control": 1.0, "sentence": "It failed.",
    }  # fmt: skip


def test_every_check_has_a_code_of_its_own_and_a_fault_it_must_kill():
    codes = [check.code for check in CHECKS]

    assert len(set(codes)) == len(codes)
    assert {fault.check for fault in FAULTS} == set(codes)
