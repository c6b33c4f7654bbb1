"""Every check and fault is documented by its code, and every check has a fault that it must kill."""

from __future__ import annotations

import re
from pathlib import Path

from flows.checks.catalog import CHECKS
from flows.faults.catalog import FAULTS
from tests import handbook


def test_the_page_of_checks_is_up_to_date() -> None:
    """``docs/checks.md`` holds what the docstrings say: run ``python -m tests.handbook`` after changing one."""
    assert handbook.PAGE.read_text() == handbook.page()


def test_every_check_says_how_it_runs_its_control_its_cost_and_its_false_alarms() -> None:
    """In its module's docstring, so that one can read it alone."""
    lacking = {
        check.code: [word for word in ("control", "Cost", "does not alarm") if word not in handbook.text(check)]
        for check in CHECKS
    }
    assert {code: words for code, words in lacking.items() if words} == {}


def test_every_fault_says_how_it_is_planted() -> None:
    """In the docstring of what plants it."""
    assert [fault.code for fault in FAULTS if not handbook.said(fault)] == []


def test_every_check_has_a_fault_and_a_file_of_tests() -> None:
    """A check that nothing proves is no check; pipelines written wrong by hand stand in its tests."""
    assert [check.code for check in CHECKS if not handbook.faults_of(check)] == []
    tested = {path.name for path in (Path(handbook.__file__).parent / "flows" / "checks").glob("test_k*.py")}
    assert {f"test_{check.look.__module__.rpartition('.')[2]}.py" for check in CHECKS} <= tested


def test_codes_are_two_digits_and_told_once() -> None:
    """K01 to K99 and F01 to F99, in any order."""
    codes = [check.code for check in CHECKS] + [fault.code for fault in FAULTS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[KF]\d\d", code) for code in codes)
