"""How `make power` judges, tells and keeps what it measures."""

from __future__ import annotations

import pytest

from tests.power import page, proved
from tests.power.catalog import KINDS


def test_there_are_twenty_kinds_and_five_seeds():
    """As many as were promised."""
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 20
    assert page.SEEDS >= 5


def _result(verdict: str, killed: bool | None = None) -> proved.Result:
    check = {"code": "K99", "verdict": verdict, "sentence": "It is so.", "seconds": 0.1}
    fault = {"code": "F99", "check": "K99", "killed": killed, "sentence": "It is so.", "seconds": 0.1}
    return {"kind": "any", "seed": 0, "rows": 1, "seconds": 1.0, "checks": [check], "faults": [fault]}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (_result("PASS", True), []),
        (_result("N/A", None), []),
        (_result("FAIL"), ["K99 FAIL: It is so."]),
        (_result("VACUOUS"), ["K99 VACUOUS: It is so."]),
        (_result("PASS", False), ["F99 survived K99: It is so."]),
    ],
)
def test_an_alarm_and_a_survivor_are_told(result, told):
    """Whatever else came out is good."""
    assert proved.bad(result) == told


@pytest.mark.parametrize(
    ("words", "sign"),
    [
        (["PASS"] * 5, "✓"),
        (["N/A"] * 5, "·"),
        (["PASS", "N/A", "PASS"], "✓ 2 · 1"),
        (["PASS", "FAIL"], "✓ 1 FAIL 1"),
        (["VACUOUS"] * 2, "VACUOUS 2"),
        (["SURVIVED"], "SURVIVED 1"),
        ([], "not judged"),
    ],
)
def test_a_cell_is_a_sign_where_all_is_alike_and_spells_out_what_is_not(words, sign):
    """So that a bad one is seen."""
    assert page.cell(words) == sign


def test_what_is_finished_is_kept_for_these_sources_alone(tmp_path, monkeypatch):
    """An interrupted run goes on where it was; with other sources it begins anew."""
    monkeypatch.setattr(proved, "WORK", tmp_path)
    proved._folder.cache_clear()
    kind, result = KINDS[0], _result("PASS", True)
    try:
        proved.keep(kind, result, with_faults=True)
        assert proved.kept(kind, 0, with_faults=True) == result
        assert proved.kept(kind, 0, with_faults=False) is None
        assert proved.kept(kind, 1, with_faults=True) is None
        monkeypatch.setattr(proved, "digest", lambda: "0" * 64)
        proved._folder.cache_clear()
        assert proved.kept(kind, 0, with_faults=True) is None
    finally:
        proved._folder.cache_clear()
