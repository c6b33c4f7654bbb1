"""``assay prove``: verdicts as they come on standard error, the result on standard output, 1 where it is not proved."""

import json
import shutil

from flows import certificate
from flows.building import source
from tests.flows.test_prove import LIE


def test_a_fault_is_shown_and_the_answer_is_json(assay, delivered_copy):
    """For people a line a verdict; for programs all of it."""
    code, out, err = assay(delivered_copy, "prove", "arrival_minutes", "--fault", "F10", "-o", "json")
    found = json.loads(out)
    assert (code, [one["fate"] for one in found["faults"]]) == (0, ["KILLED"])
    assert "K11 PASS" in err
    assert "F10 KILLED" in err


def test_what_is_not_proved_ends_with_one_and_its_reason(assay, delivered_copy, tmp_path):
    """And names the page with all of it."""
    folder = tmp_path / "arrival_minutes"
    shutil.copytree(source.find("arrival_minutes"), folder)
    with (folder / "__init__.py").open("a") as file:
        file.write(LIE)
    code, out, err = assay(delivered_copy, "prove", str(folder), "--check", "K11", "--fast")
    assert code == 1
    assert "0 of 1 checks passed" in out
    assert "arrival_minutes is not proved: K11 FAIL" in " ".join(err.split())


def test_an_unknown_check_is_a_usage_error_with_the_nearest(assay, delivered_copy):
    """Nothing was run."""
    code, out, err = assay(delivered_copy, "prove", "arrival_minutes", "--check", "K4")
    assert (code, out) == (2, "")
    assert "Did you mean" in err


def test_a_certificate_is_shown_and_verified(assay, delivered_copy):
    """For people in two tables; every point of it holds."""
    code, out, _ = assay(delivered_copy, "certificate", "show", "arrival_minutes")
    assert code == 0
    assert "held-out poison" in out
    code, out, _ = assay(delivered_copy, "certificate", "show", "arrival_minutes", "-o", "json")
    assert (code, json.loads(out)["pipeline"]) == (0, "arrival_minutes")
    code, out, _ = assay(delivered_copy, "certificate", "verify", "arrival_minutes", "-o", "json")
    assert (code, {one["holds"] for one in json.loads(out)}) == (0, {True})


def test_a_certificate_issued_for_something_else_ends_with_three(assay, delivered_copy, monkeypatch):
    """The sentence names what differs."""
    monkeypatch.setattr(certificate, "sources", lambda: {"checks/k99_new.py": "0" * 64})
    code, out, err = assay(delivered_copy, "certificate", "verify", "arrival_minutes", "-o", "json")
    assert (code, [one["what"] for one in json.loads(out) if not one["holds"]]) == (3, ["checks"])
    assert "was issued for something else: checks" in " ".join(err.split())
