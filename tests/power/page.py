"""The matrix as a page: ``docs/power.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.checks.catalog import CHECKS
from flows.faults.catalog import FAULTS
from tests.bench.table import machine
from tests.power import proved
from tests.power.catalog import KINDS
from tests.power.proved import Result

PAGE = Path(__file__).parents[2] / "docs" / "power.md"
SEEDS, FIRST = 5, 0
MARKS = {"PASS": "✓", "N/A": "·", "KILLED": "✓"}
"""What is good, in a sign; a cell of anything else spells it out."""

HEAD = """# Power

What the checks are worth, measured by `make power`: {kinds} clean pipelines of many kinds, {seeds} seeds each, raise no alarm, and every
planted fault is found wherever it applies. [`tests/power/`](../tests/power) holds the pipelines; [`checks.md`](checks.md) says what the
codes mean. `make test` fails where this page is older than the checks and faults, or holds a bad cell, and proves one pipeline anew,
another one each day.

A seed deals the rows out in another order and at other times, gives them other ids (so other ones are kept where the spine is thinned),
draws simulated data anew, and seeds the estimator; the flights are proved some days earlier with each. Faults are planted with the first
seed of each pipeline. {spent}

- Measured: {machine}.
- Digest of the sources of checks and faults: `{digest}`
"""


def page(results: Sequence[Result]) -> str:
    """The page of a whole run."""
    by_kind = {kind.name: [one for one in results if one["kind"] == kind.name] for kind in KINDS}
    head = HEAD.format(kinds=len(KINDS), seeds=SEEDS, machine=machine(), digest=proved.digest(), spent=_spent(results))
    return "\n".join([head, *_kinds(by_kind), *_checks(by_kind), *_faults(by_kind), *_reasons(results), ""])


def _spent(results: Sequence[Result]) -> str:
    first = sum(one["seconds"] for one in results if one["seed"] == FIRST)
    rest = sum(one["seconds"] for one in results) - first
    others = sum(one["seed"] != FIRST for one in results)
    return (
        f"With them a pipeline costs {first / len(KINDS):.0f} s in the mean, without {rest / others:.0f} s; this run took "
        f"{(first + rest) / 60:.0f} minutes, and with the faults on every seed would have taken {first * SEEDS / 60:.0f}."
    )


def _kinds(by_kind: Mapping[str, Sequence[Result]]) -> list[str]:
    rows = [
        (kind.name, kind.what, f"{by_kind[kind.name][0]['rows']:,}", f"{by_kind[kind.name][0]['seconds']:.0f}",
         f"{_mean([one['seconds'] for one in by_kind[kind.name][1:]]):.0f}")
        for kind in KINDS
    ]  # fmt: skip
    return [
        "## Pipelines",
        "",
        *_table(("pipeline", "what it is", "rows", "s, first seed with faults", "s, another seed"), rows),
    ]


def _checks(by_kind: Mapping[str, Sequence[Result]]) -> list[str]:
    codes = sorted(check.code for check in CHECKS)
    rows = [(name, *(cell(_verdicts(found, code)) for code in codes)) for name, found in by_kind.items()]
    told = f"✓: PASS with all {SEEDS} seeds; ·: does not apply with any; counts where seeds differ."
    return ["", "## Checks", "", told, "", *_table(("pipeline", *codes), rows), *_cost("checks", by_kind, codes)]


def _faults(by_kind: Mapping[str, Sequence[Result]]) -> list[str]:
    codes = sorted(fault.code for fault in FAULTS)
    rows = [(name, *(cell(_fates(found, code)) for code in codes)) for name, found in by_kind.items()]
    told = "✓: planted and killed; ·: cannot be planted there."
    return ["", "## Faults", "", told, "", *_table(("pipeline", *codes), rows), *_cost("faults", by_kind, codes)]


def _verdicts(found: Sequence[Result], code: str) -> list[str]:
    return [one["verdict"] for result in found for one in result["checks"] if one["code"] == code]


def _fates(found: Sequence[Result], code: str) -> list[str]:
    return [one["fate"] for result in found for one in result["faults"] if one["code"] == code]


def cell(words: Sequence[str]) -> str:
    """One sign where all is alike, else each with its count."""
    counted = Counter(words)
    if len(counted) == 1:
        return MARKS.get(words[0], f"{words[0]} {len(words)}")
    return " ".join(f"{MARKS.get(word, word)} {count}" for word, count in counted.most_common()) or "not judged"


def _cost(table: str, by_kind: Mapping[str, Sequence[Result]], codes: Sequence[str]) -> list[str]:
    """A line of mean seconds, dearest first."""
    every = [one for found in by_kind.values() for result in found for one in result[table]]
    spent = {code: _mean([one["seconds"] for one in every if one["code"] == code]) for code in codes}
    dearest = sorted(spent, key=lambda code: -spent[code])[:8]
    return ["", f"Mean seconds of the dearest: {', '.join(f'{code} {spent[code]:.1f}' for code in dearest)}."]


def _reasons(results: Sequence[Result]) -> list[str]:
    """Where something does not apply: on how many pipelines it does, and a reason of those where it does not."""
    rows = []
    for table, word in (("checks", "N/A"), ("faults", "N/A")):
        codes = sorted({one["code"] for result in results for one in result[table]})
        for code in codes:
            said = {
                result["kind"]: one
                for result in results
                for one in result[table]
                if one["code"] == code and result["seed"] == FIRST
            }
            left = {kind: one for kind, one in said.items() if (one.get("fate") or one["verdict"]) == word}
            if left:
                why = Counter(one["sentence"].replace(kind, "…") for kind, one in left.items()).most_common(3)
                rows.append((code, f"{len(said) - len(left)} of {len(said)}", " ".join(reason for reason, _ in why)))
    told = "What applies to every pipeline is not listed."
    return ["", "## What does not apply, and why", "", told, "", *_table(("code", "applies to", "reasons"), rows)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / max(1, len(numbers))


def _table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(str(one).replace('|', '∣') for one in line)} |" for line in lines]
