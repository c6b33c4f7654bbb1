"""Every check and every fault by its code, as a page: ``python -m tests.handbook`` writes ``docs/checks.md`` from their docstrings."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from flows.checks.catalog import CHECKS
from flows.checks.check import Check
from flows.faults.catalog import FAULTS
from flows.faults.fault import Fault

PAGE = Path(__file__).parents[1] / "docs" / "checks.md"
HEAD = """# Checks, and the faults that prove them

Written by `python -m tests.handbook` from the docstrings; `make test` fails where it is out of date, or a check or fault says nothing.

`assay prove PIPELINE` runs all of them on a pipeline's folder as it stands, on the newest slice of the store; nothing of it is written by
the pipeline's author. `--check K04` runs one check, `--fault F07` shows one fault, `--fast` leaves the faults out. `assay integrate` runs
the same and publishes only what is proved; the package's certificate (`assay certificate show`) keeps both tables.

A check ends in PASS, FAIL, VACUOUS (its positive control moved nothing: a pass would mean nothing, so it blocks) or N/A with its reason.
A fault is one component of the very same pipeline replaced by a wrong one. It is KILLED when its check fails on it, N/A with its reason
where it cannot be planted, and where it SURVIVED nothing is published: that part of the pipeline is untested.

`tests/flows/faults/test_faults.py` plants every one of them in a classification and a regression; `tests/flows/checks/` holds, for each
check, clean pipelines that pass and pipelines written wrong by hand that fail.
"""


def page() -> str:
    """The page: the checks in order of their codes, each with its faults."""
    return "\n".join([HEAD, *(chapter(check) for check in sorted(CHECKS, key=lambda check: check.code))])


def chapter(check: Check) -> str:
    """What a check does, and the table of the faults it must kill."""
    faults = [f"| {fault.code} | {fault.title} | {said(fault)} |" for fault in faults_of(check)]
    table = ["| fault | what is wrong | how it is planted |", "|---|---|---|", *faults] if faults else ["No fault."]
    warns = "" if check.severity == "blocks" else " (warns, never blocks)"
    return "\n".join([f"## {check.code} {check.title}{warns}", "", text(check), "", *table, ""])


def faults_of(check: Check) -> list[Fault]:
    """The faults it must kill, in order of their codes."""
    return sorted((fault for fault in FAULTS if fault.check == check.code), key=lambda fault: fault.code)


def text(check: Check) -> str:
    """The docstring of the check's module, without the code it begins with."""
    found = inspect.getdoc(sys.modules[check.look.__module__]) or ""
    return found.removeprefix(f"{check.code}: ").replace("``", "`")


def said(fault: Fault) -> str:
    """The docstring of what plants it, in one line."""
    return " ".join((inspect.getdoc(fault.plant) or "").replace("``", "`").split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
