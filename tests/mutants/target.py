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
    Target("ledger", "store/ledger.py", ("tests/store/test_ledger.py",)),
    Target(
        "oracle of the join",
        "tests/store/features/oracle.py",
        (
            "tests/store/features/test_oracle.py::test_the_oracle_answers_by_the_rule",
            "tests/store/features/test_oracle.py::test_the_worlds_hold_what_a_join_must_tell_apart",
            "tests/store/features/test_write.py::test_the_content_hash_is_the_documented_one",
            "tests/store/features/test_oracle.py::test_the_join_equals_the_oracle[two-everything]",
        ),
    ),
    Target(
        "certificate",
        "flows/certificate.py",
        ("tests/flows/test_certificate.py", "-k", "what_fails_a_proving or holds_for_good"),
        ("require", "own", "unproved", "failed", "_differs"),
        sample=70,
    ),
    Target("intervals", "flows/deciding/performance.py", ("tests/flows/deciding/test_performance.py",)),
    Target(
        "bootstrap",
        "flows/deciding/bootstrap.py",
        tuple(
            f"tests/flows/deciding/test_performance.py::test_{name}"
            for name in (
                "student_s_quantile_is_right_up_to_the_fourth_power_of_the_freedom",
                "few_blocks_take_percentiles_further_out",
                "the_auc_of_tied_predictions_is_computed_once_and_not_per_draw",
                "the_fast_auc_is_scikit_learns_on_every_draw",
                "an_interval_is_the_percentiles_of_a_thousand_draws",
                "predictions_of_several_columns_are_measured_as_their_metric_takes_them",
                "undefined_draws_are_dropped_and_counted",
                "an_undefined_metric_is_refused_and_never_a_number",
                "a_metric_that_only_borrows_the_name_is_computed_as_it_is",
                "the_seed_decides",
            )
        ),
    ),
    Target(
        "K21, which asks the gate",
        "flows/checks/k21_gate.py",
        ("tests/flows/checks/test_k21_gate.py", "-k", "small_world"),
        plugins=("tests.flows.checks.fixtures",),
    ),
)  # fmt: skip
