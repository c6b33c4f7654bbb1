"""The child's side of a job: what it tells, and what it leaves when a pipeline fails."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flows.building import job
from store.errors import AssayError, InvalidInput, Refused
from tests.flows.building import PIPELINE


def active(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    """The code of ``bakery``, as the child would import it."""
    module = ModuleType("bakery")
    module.pipeline = found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bakery", module)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run one handler as the child does; the result it left, or None."""

    def run(handler: Callable[..., Any], **asked: Any) -> Any:
        active(monkeypatch, PIPELINE)
        request, answer = tmp_path / "job.json", tmp_path / "result.json"
        request.write_text(json.dumps({"pipeline": "bakery", "what": "it", "result": str(answer)} | asked))
        monkeypatch.setattr(sys, "argv", ["job", str(request)])
        job.main({"it": handler})
        return json.loads(answer.read_text())

    return run


def test_a_result_is_what_the_handler_returns(ran) -> None:
    """It gets the active pipeline and the whole job."""
    assert ran(lambda pipeline, job: {"name": pipeline.name, "day": job["day"]}, day=3) == {"name": "bakery", "day": 3}


def test_a_step_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks and quotes inside it stay inside."""
    job.step('tuning\n"hard"')
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"step": 'tuning\n"hard"'}


def test_an_error_of_ours_keeps_its_kind_and_three_sentences(ran) -> None:
    """What was asked, what exists, what to do."""

    def refuse(pipeline: Any, job: Any) -> Any:
        raise Refused("No.", "There is one.", "Take it.")

    assert ran(refuse)["error"] == {"kind": "Refused", "asked": "No.", "exists": "There is one.", "remedy": "Take it."}


@pytest.mark.parametrize("error", [ValueError("no such hour"), KeyError("hour"), MemoryError(), AssertionError()])
def test_any_other_error_is_invalid_input_with_its_reason_and_last_frames(ran, error: Exception) -> None:
    """The line of the user's code that raised is in it."""

    def broken_component(pipeline: Any, job: Any) -> Any:
        raise error

    found = ran(broken_component)["error"]
    assert found["kind"] == "InvalidInput"
    assert found["asked"] == f"bakery raised {type(error).__name__}: {error}"
    assert "broken_component" in found["exists"]


def test_an_unknown_job_is_an_error_and_no_crash(ran) -> None:
    """A parent that asks for what this child cannot do is told so."""
    assert "KeyError: 'else'" in ran(lambda pipeline, job: {}, what="else")["error"]["asked"]


@pytest.mark.parametrize(("leaves", "code"), [(lambda: sys.exit("enough"), "enough"), (lambda: sys.exit(0), 0)])
def test_an_exit_leaves_no_result(ran, tmp_path: Path, leaves: Callable[[], Any], code: Any) -> None:
    """A pipeline that exits is not taken for one that is done; the parent tells it by the missing result."""
    with pytest.raises(SystemExit) as left:
        ran(lambda pipeline, job: leaves())
    assert left.value.code == code
    assert not (tmp_path / "result.json").exists()


def test_a_folder_without_a_pipeline_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the name is missing or is something else."""
    for wrong in (None, "a string", dataclasses.asdict):
        active(monkeypatch, wrong)
        with pytest.raises(InvalidInput, match=r"bakery/__init__.py has no `pipeline`"):
            job.pipeline("bakery")


def test_folder_and_contract_have_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied folder whose contract still has the old name is refused with both."""
    active(monkeypatch, dataclasses.replace(PIPELINE, name="butcher"))
    with pytest.raises(AssayError, match=r"folder bakery calls itself 'butcher'. Give both one name"):
        job.pipeline("bakery")


def test_what_is_undefined_becomes_null_and_everything_else_stays():
    """A result is JSON that the store takes: a slice of one class has no AUC."""
    result = {
        "slices": [{"value": float("nan"), "rows": 3}],
        "trials": ({"value": float("inf")},),
        "ok": [1.5, "a", None, True],
    }
    wanted = {"slices": [{"value": None, "rows": 3}], "trials": [{"value": None}], "ok": [1.5, "a", None, True]}
    assert job.finite(result) == wanted
