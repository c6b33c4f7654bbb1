"""All checks, in the order they run. A new check is a file, an entry here, and a fault in ``flows.faults`` that it
must kill."""

from __future__ import annotations

from flows.checks import (
    k01_schema,
    k02_future,
    k03_history,
    k04_heldout,
    k05_split,
    k06_shuffled,
    k07_forbidden,
    k08_invariance,
    k09_determinism,
    k10_tuner,
    k11_report,
    k12_parity,
    k13_transforms,
    k14_learning,
    k15_input,
    k16_rebuild,
    k17_proxy,
    k18_spine,
    k19_reuse,
    k20_useful,
    k21_gate,
)
from flows.checks.check import Check

CHECKS: tuple[Check, ...] = (
    k01_schema.CHECK,
    k02_future.CHECK,
    k03_history.CHECK,
    k04_heldout.CHECK,
    k05_split.CHECK,
    k06_shuffled.CHECK,
    k07_forbidden.CHECK,
    k08_invariance.CHECK,
    k09_determinism.CHECK,
    k10_tuner.CHECK,
    k11_report.CHECK,
    k12_parity.CHECK,
    k13_transforms.CHECK,
    k14_learning.CHECK,
    k15_input.CHECK,
    k16_rebuild.CHECK,
    k17_proxy.CHECK,
    k18_spine.CHECK,
    k19_reuse.CHECK,
    k20_useful.CHECK,
    k21_gate.CHECK,
)
