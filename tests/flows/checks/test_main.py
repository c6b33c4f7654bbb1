"""A proving in a process of its own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.checks import __main__ as child
from flows.checks import desk
from store.errors import NotFound
from tests.flows.checks import shop


@pytest.fixture
def job(shops, tmp_path, monkeypatch):
    monkeypatch.setattr(child.catalog, "load", lambda: shop.CATALOG)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return {
        "what": "prove",
        "root": str(shops.path),
        "now": shop.END.isoformat(),
        "folder": str(scratch),
        "address": str(tmp_path / "desk"),
        "checks": ["K11"],
    }


def proved(job):
    """The proving in a thread, every verdict asked of it as the flow does; what it leaves, and the verdicts by kind."""
    with ThreadPoolExecutor(1) as beside:
        held = beside.submit(child.prove, shop.PIPELINE, job)
        with desk.opened(job["address"], lambda: not held.done()) as there_is:
            verdicts = {
                kind: [desk.ask(job["address"], one["code"]) for one in there_is[kind]] for kind in ("checks", "faults")
            }
        return held.result() | verdicts


def test_a_proving_answers_in_json_tells_its_steps_and_leaves_nothing_behind(job, tmp_path, capsys):
    answer = json.loads(json.dumps(proved(job), allow_nan=False))

    assert [check["verdict"] for check in answer["checks"]] == ["PASS"]
    assert {fault["check"] for fault in answer["faults"]} == {"K11"}
    assert all(fault["killed"] for fault in answer["faults"])
    assert answer["seconds"] > answer["seconds_slice"] > 0
    told = [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()]
    assert told[:3] == ["the newest slice of the store", "1 checks on 357 rows", "K11 report: PASS"]
    assert {"F08 the metric rounded in its favour: KILLED", "F13 a slice dropped: KILLED"} <= set(told)
    assert not list((tmp_path / "scratch").iterdir())


def test_a_fast_proving_plants_nothing_and_one_fault_runs_its_check_alone(job):
    """What is left out is left out; what is asked for is all there is."""
    assert proved(job | {"fast": True})["faults"] == []
    answer = proved(job | {"faults": ["F10"]})
    assert [(fault["code"], fault["fate"]) for fault in answer["faults"]] == [("F10", "KILLED")]
    assert [check["code"] for check in answer["checks"]] == ["K11"]


def test_an_unknown_fault_is_refused_with_those_there_are(job):
    """The nearest is asked for."""
    with pytest.raises(NotFound, match=r"There is no fault named 'F1'. Known: F01, F02.*Did you mean F"):
        child.prove(shop.PIPELINE, job | {"faults": ["F1"]})


def test_an_unknown_check_is_refused_with_those_there_are(job):
    with pytest.raises(NotFound, match=r"There is no check named 'K99'. Known: K\d\d, K\d\d"):
        child.prove(shop.PIPELINE, job | {"checks": ["K99"]})
