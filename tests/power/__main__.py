"""Proves every kind of clean pipeline with several seeds, and writes the matrix into docs/power.md.

python -m tests.power [NAME ...] [--seeds N] [--check CODE] [--fault CODE]

What is finished is kept in .power/: an interrupted run goes on where it was, and after a change only those verdicts are asked again whose
check, fault or kind is another (or imports one that is). Faults are planted with the first seed only. With names, seeds or codes nothing is
written into the documentation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from flows.checks import proving
from flows.checks.check import Check
from flows.faults.fault import Fault
from store.errors import NotFound
from tests.power import page, proved
from tests.power.catalog import KINDS
from tests.power.kind import Kind


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="kinds to prove; all without one")
    parser.add_argument("--seeds", type=int, default=page.SEEDS, help="so many seeds, the first of them with faults")
    parser.add_argument("--seed", type=int, action="append", help="this seed, instead")
    parser.add_argument("--check", action="append", default=[], help="this check alone, and the faults it must kill")
    parser.add_argument("--fault", action="append", default=[], help="this fault alone, and its check")
    parser.add_argument("--fast", action="store_true", help="no faults")
    asked = parser.parse_args()
    begun, results, wrong = time.monotonic(), list[proved.Result](), 0
    kinds = named(asked.names)
    checks, faults = chosen(asked.check, asked.fault)
    whole = not (asked.check or asked.fault or asked.fast)
    for kind in kinds:
        for seed in asked.seed or range(asked.seeds):
            planted = faults if seed == page.FIRST and not asked.fast else []
            found = run(kind, seed, checks, planted, keeping=whole)
            results.append(found)
            wrong += len(proved.bad(found))
    print(f"{len(results)} provings, {wrong} alarms and survivors, {time.monotonic() - begun:.0f} s", flush=True)
    if whole and kinds == KINDS and asked.seeds == page.SEEDS and not asked.seed:
        page.PAGE.write_text(page.page(results))
        print(f"written: {page.PAGE.relative_to(page.PAGE.parents[1])}")
    return 1 if wrong else 0


def run(kind: Kind, seed: int, checks: Sequence[Check], faults: Sequence[Fault], *, keeping: bool) -> proved.Result:
    """One proving, of what was not kept of an earlier one; a line says what came of it."""
    before = proved.kept(kind, seed) if keeping else None
    done = {one["code"] for one in (*before["checks"], *before["faults"])} if before else set()
    faults_left = [fault for fault in faults if fault.code not in done]
    left = {check.code for check in checks if check.code not in done} | {fault.check for fault in faults_left}
    if left or before is None:
        found = proved.prove(kind, seed, [check for check in checks if check.code in left], faults_left)
        took = f"{found['seconds']:.1f} s"
        if keeping:
            found = proved.merged(before, found)
            proved.keep(kind, found)
    else:
        found, took = before, "kept"
    passed = sum(one["verdict"] == "PASS" for one in found["checks"])
    killed = sum(one["killed"] is True for one in found["faults"])
    tally = f"{passed}/{len(found['checks'])} passed" + (f", {killed}/{len(found['faults'])} killed" if faults else "")
    print(f"{kind.name:20} seed {seed}  {found['rows']:5} rows  {took:>8}  {tally}", flush=True)
    for sentence in proved.bad(found):
        print(f"    {sentence}", flush=True)
    return found


def named(names: Sequence[str]) -> tuple[Kind, ...]:
    """The kinds of these names, or all."""
    known = {kind.name: kind for kind in KINDS}
    if unknown := sorted(set(names) - set(known)):
        raise NotFound.among("kind", unknown[0], known)
    return tuple(known[name] for name in names) or KINDS


def chosen(checks: Sequence[str], faults: Sequence[str]) -> tuple[list[Check], list[Fault]]:
    """The checks and faults of these codes; with faults alone, the checks that must kill them."""
    judging = proving.chosen(checks)
    planting = proving.planting(faults, judging)
    if faults:
        judging = [check for check in judging if check.code in {fault.check for fault in planting}]
    return judging, planting


if __name__ == "__main__":
    sys.exit(main())
