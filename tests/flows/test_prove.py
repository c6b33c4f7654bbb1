"""A proving by itself tells what the gate would, and publishes nothing."""

import json
import shutil
from pathlib import Path

import pytest

from flows import prove
from flows.building import source
from store import ledger
from store.errors import NotFound


def test_one_fault_is_shown_with_the_check_that_kills_it(delivered_copy):
    """What was planted and what differed; each verdict is told as it comes, and report and JSON are left."""
    head, told = ledger.head(delivered_copy), []
    found = prove.run(delivered_copy, "arrival_minutes", faults=["F10"], tell=told.append)
    assert [one["code"] for one in told] == ["K11", "F10"]
    assert (found["checks"], found["faults"]) == (told[:1], told[1:])
    assert (found["faults"][0]["fate"], found["failed"]) == ("KILLED", [])
    page = Path(found["page"])
    assert "labels misaligned by a row" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text()) | {"page": str(page)} == found
    assert ledger.head(delivered_copy) == head


def test_a_lying_report_is_not_proved_and_the_sentence_says_why(delivered_copy, tmp_path):
    """As the gate would, without its minutes: one check, no faults."""
    folder = tmp_path / "arrival_minutes"
    shutil.copytree(source.find("arrival_minutes"), folder)
    with (folder / "__init__.py").open("a") as file:
        file.write(LIE)
    found = prove.run(delivered_copy, str(folder), checks=["K11"], fast=True)
    assert [one["verdict"] for one in found["checks"]] == ["FAIL"]
    assert found["failed"][0].startswith("K11 FAIL: ")
    assert "K11 FAIL" in Path(found["page"]).read_text()


LIE = """
import dataclasses
from flows.building.analyse import analyse


def flattering(pipeline, rows):
    honest = analyse(pipeline, rows)
    return dataclasses.replace(honest, metrics=honest.metrics | {pipeline.metric.name: honest.metrics[pipeline.metric.name] * 0.9})


pipeline = dataclasses.replace(pipeline, analyse=flattering)
"""


@pytest.mark.parametrize(("asked", "said"), [({"checks": ["K4"]}, "K04"), ({"faults": ["F088"]}, "F08")])
def test_an_unknown_code_is_refused_with_the_nearest(delivered_copy, asked, said):
    """Before anything is built."""
    with pytest.raises(NotFound, match=f"Did you mean.*{said}"):
        prove.run(delivered_copy, "arrival_minutes", **asked)
