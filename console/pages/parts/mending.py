"""A refusal in words for the pipeline's author: what a check saw or a fault showed, where to look, and the command that shows it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console import provings
from console.provings import Attempt
from flows import certificate

WHERE = {
    "K01": "`dataset`, and the derivations of its feature groups: which columns they take from what they read, and how",
    "K02": "`dataset`, `prepare`, or a derivation: what is computed before the question from what became known after it",
    "K03": "a derivation, and the `lookback` and `ttl` it declares",
    "K04": "`prepare`, `split`, the search, `fit` and `estimator`: whatever is fitted or chosen",
    "K05": "`split`, and the `label_time` that `dataset` gives",
    "K06": "`inputs` and `features`: one of them knows the label",
    "K07": "`dataset`: it passes on columns that nobody declared",
    "K08": "`prepare`, a derivation, or `predict`: one row's value depends on the rows beside it",
    "K09": "`dataset`, `prepare`, `estimator` or `fit`: what draws by chance, asks what time it is, or depends on where it runs",
    "K10": "`search`, or a `tune` of your own",
    "K11": "`analyse`: what it reports is not what the model does",
    "K12": "`serving`, and the online values of `features`",
    "K13": "`estimator`, and the derivations: a transformer does not do what it claims",
    "K14": "`estimator`, `fit`, and the label: the model does not learn",
    "K15": "`serving`, `prepare` and `estimator`: what they do with input that is not as it should be",
    "K16": "`fit`, and whatever writes files",
    "K17": "`inputs` and `features`: one of them nearly is the label",
    "K18": "`dataset`: which rows it gives must not depend on what is known later",
    "K19": "nothing in the code: these evaluation rows have judged too often",
    "K20": "`features`: some cost more than they help",
    "K21": "nothing in the pipeline: the gate itself is wrong, so report it",
}
"""The part of the contract (``flows.pipeline.Pipeline``) that each check of CHECKS.md points at."""


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
    return Reason(title(found), found["sentence"], asks(code), WHERE.get(code, ""), command)


def _fault(fault: Mapping[str, Any], pipeline: str) -> Reason:
    check, code = fault["check"], fault["code"]
    said = (
        f"“{fault['title'].capitalize()}” was planted in this pipeline, and {check} did not notice: the part it replaces is untested. "
        f"{check} said: {fault['sentence']}"
    )
    command = f"assay prove {pipeline} --fault {code}"
    return Reason(f"{code} survived {check}", said, asks(check), WHERE.get(check, ""), command)


def _other(attempt: Attempt, said: str, pipeline: str) -> Reason:
    code = said.partition(" ")[0]
    if code in attempt.checks:
        return Reason(f"{code} is not proved itself", said, asks(code), "", f"assay prove {pipeline} --check {code}")
    if attempt.unread:
        return Reason("The gate said no", said, "", "", f"assay prove {pipeline}")
    where = "the model: improve it, or agree with its users on another floor"
    return Reason("The model is not good enough", said, "", where, f"assay explore {pipeline}")
