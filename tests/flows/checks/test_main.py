"""A proving in a process of its own."""

from __future__ import annotations

import json

import pytest

from flows.checks import __main__ as child
from store.errors import NotFound
from tests.flows.checks import shop


@pytest.fixture
def job(shops, tmp_path, monkeypatch):
    monkeypatch.setattr(child.catalog, "load", lambda: shop.CATALOG)
    return {
        "what": "prove",
        "root": str(shops.path),
        "now": shop.END.isoformat(),
        "folder": str(tmp_path),
        "codes": ["K11"],
    }


def test_a_proving_answers_in_json_tells_its_steps_and_leaves_nothing_behind(job, tmp_path, capsys):
    answer = json.loads(json.dumps(child.prove(shop.PIPELINE, job), allow_nan=False))

    assert [check["verdict"] for check in answer["checks"]] == ["PASS"]
    assert {fault["check"] for fault in answer["faults"]} == {"K11"}
    assert all(fault["killed"] for fault in answer["faults"])
    assert answer["seconds"] > answer["seconds_slice"] > 0
    steps = [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()]
    assert steps[:2] == ["the newest slice of the store", "K11 report"]
    assert "F08 the metric rounded in its favour: K11 must kill it" in steps
    assert not list(tmp_path.iterdir())


def test_an_unknown_check_is_refused_with_those_there_are(job):
    with pytest.raises(NotFound, match=r"There is no check named 'K99'. Known: K\d\d, K\d\d"):
        child.prove(shop.PIPELINE, job | {"codes": ["K99"]})
