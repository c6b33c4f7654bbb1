"""Tries the mutants of the gate's sources, and writes docs/mutants.md.

python -m tests.mutants [PATH ...] [--full]

With paths of targets nothing is written into the documentation. Exit code 1: too many survive, or nobody has said why one does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

from tests.mutants import mutant, page, trial
from tests.mutants.page import LEAST, PAGE, Result
from tests.mutants.target import TARGETS, Target
from tests.workspaces import WORKSPACE

WORK = WORKSPACE / ".mutants"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    paths = [target.path for target in TARGETS]
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"targets to try: {', '.join(paths)}")
    parser.add_argument("--full", action="store_true", help="all mutants and not a sample")
    asked = parser.parse_args()
    if unknown := set(asked.paths) - set(paths):
        parser.error(f"no target is {', '.join(sorted(unknown))}; there are {', '.join(paths)}")
    trial.preload()
    chosen = [target for target in TARGETS if target.path in asked.paths] or TARGETS
    with tempfile.TemporaryDirectory(prefix="assay-mutants-") as folder:
        tree = trial.copied(Path(folder))
        results = [run(tree, target, full=asked.full) for target in chosen]
    if not asked.paths:
        PAGE.write_text(page.page(results, full=asked.full))
        print(f"written: {PAGE.relative_to(WORKSPACE)}")
    return 1 if any(one.percent < LEAST or one.unexplained for one in results) else 0


def run(tree: Path, target: Target, *, full: bool) -> Result:
    """Try the mutants of one target; a line for each survivor, and one for the target."""
    mutants, possible = mutant.chosen(target, (tree / target.path).read_text(), full=full)
    seconds = trial.limit(tree, target)
    fates = [(one, _fate(tree, target, one, seconds)) for one in mutants]
    found = Result(target, possible, fates)
    print(f"{target.path}: {found.killed} of {len(fates)} killed, {found.percent:.1f} %; it has {possible}", flush=True)
    for one in found.survivors:
        told = "" if one not in found.unexplained else "  (why?)"
        print(f"    {one.line}: {one.before} → {one.after}{told}", flush=True)
    return found


def _fate(tree: Path, target: Target, one: mutant.Mutant, seconds: float) -> str:
    """What comes of it now, or how it was killed before."""
    kept = WORK / "killed" / f"{hashlib.sha256(one.text.encode()).hexdigest()}.json"
    if kept.exists():
        return str(json.loads(kept.read_text())["fate"])
    fate = trial.tried(tree, target, one.text, seconds)
    if fate != trial.SURVIVED:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"fate": fate, "path": target.path, "line": one.line, "after": one.after}))
    return fate


if __name__ == "__main__":
    sys.exit(main())
