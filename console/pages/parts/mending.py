"""A refusal in words for the pipeline's author: what a check saw or a fault showed, where to look, and the command that shows it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console import provings
from console.provings import Attempt
from flows import certificate
from flows.parts import POINTS_AT


@dataclass(frozen=True)
class Reason:
    """One reason of a refusal. ``where``: what to look at; ``asks``: what the check asks of every pipeline. Markdown, or empty."""

    title: str
    sentence: str
    asks: str
    where: str
    command: str


def reasons(attempt: Attempt, pipeline: str) -> list[Reason]:
    """Every reason of a refusal: checks that failed or saw nothing, faults that survived, what else the gate said.

    That a check is not proved is no reason besides the fault that survived it."""
    checks, alive = [one for one in attempt.checks.values() if blocks(one)], attempt.survived
    known = set(certificate.failed({"checks": checks, "faults": alive}))
    untested = {fault["check"] for fault in alive}
    rest = [said for said in attempt.failed if said not in known and said.partition(" ")[0] not in untested]
    return [
        *(_check(one, pipeline) for one in checks),
        *(_fault(one, pipeline) for one in alive),
        *(_other(attempt, said, pipeline) for said in rest),
    ]


def asks(code: str) -> str:
    """What a check asks of every pipeline; empty where it says nothing."""
    said = provings.promise(code)
    return f"{code} asks: {said}" if said else ""


def blocks(found: Mapping[str, Any]) -> bool:
    """Whether no package may come of a check's finding."""
    return found["severity"] == "blocks" and found["verdict"] in (provings.FAIL, provings.VACUOUS)


def title(found: Mapping[str, Any]) -> str:
    """``K05 split failed``."""
    said = "failed" if found["verdict"] == provings.FAIL else "saw nothing"
    return f"{found['code']} {found['title']} {said}"


def _check(found: Mapping[str, Any], pipeline: str) -> Reason:
    code = found["code"]
    command = f"assay prove {pipeline} --check {code}"
    return Reason(title(found), found["sentence"], asks(code), POINTS_AT.get(code, ""), command)


def _fault(fault: Mapping[str, Any], pipeline: str) -> Reason:
    check, code = fault["check"], fault["code"]
    said = (
        f"“{fault['title'].capitalize()}” was planted in this pipeline, and {check} did not notice: the part it replaces is untested. "
        f"{check} said: {fault['sentence']}"
    )
    command = f"assay prove {pipeline} --fault {code}"
    return Reason(f"{code} survived {check}", said, asks(check), POINTS_AT.get(check, ""), command)


def _other(attempt: Attempt, said: str, pipeline: str) -> Reason:
    code = said.partition(" ")[0]
    if code in attempt.checks:
        return Reason(f"{code} is not proved itself", said, asks(code), "", f"assay prove {pipeline} --check {code}")
    if attempt.unread:
        return Reason("The gate said no", said, "", "", f"assay prove {pipeline}")
    where = "the model: improve it, or agree with its users on another floor"
    return Reason("The model is not good enough", said, "", where, f"assay explore {pipeline}")
