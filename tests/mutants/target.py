"""What is mutated, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE = 40


@dataclass(frozen=True)
class Target:
    """One source file, or some functions of it. ``tests``: pytest's arguments, the quickest to fail first. ``sample``: so many of
    its mutants are tried unless all are asked for. ``plugins``: where their fixtures stand, beside ``tests.conftest``."""

    name: str
    path: str
    tests: tuple[str, ...]
    functions: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    sample: int = SAMPLE


TARGETS = (
    Target("gate, floor and comparison", "flows/deciding/promotion.py", ("tests/flows/deciding/test_promotion.py",), sample=120),
)  # fmt: skip
UNTRIED = (
    Target("ledger", "store/ledger.py", ("tests/store/test_ledger.py",)),
    Target("intervals", "flows/deciding/performance.py", ("tests/flows/deciding/test_performance.py",)),
    Target("bootstrap", "flows/deciding/bootstrap.py", ("tests/flows/deciding/test_performance.py",)),
    Target(
        "certificate",
        "flows/certificate.py",
        ("tests/flows/test_certificate.py", "-k", "what_fails_a_proving or holds_for_good"),
        ("require", "own", "unproved", "failed", "_differs"),
        sample=30,
    ),
    Target(
        "K21, which asks the gate",
        "flows/checks/k21_gate.py",
        ("tests/flows/checks/test_k21_gate.py",),
        plugins=("tests.flows.checks.fixtures",),
        sample=16,
    ),
    Target("oracle of the join", "tests/store/features/oracle.py", ("tests/store/features/test_oracle.py",), sample=30),
)  # fmt: skip
"""Laid out, and not tried to the end yet: ``python -m tests.mutants PATH`` tries one and leaves the page as it is."""
