"""One kind proved with one seed, by the very checks and faults that a gate runs; and what came of it, kept until its sources change."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from flows import certificate
from flows.checks import crew, proving
from flows.checks.__main__ import build
from flows.checks.catalog import CHECKS
from flows.checks.check import Check, Finding
from flows.checks.crew import Crew
from flows.checks.elsewhere import Neighbour
from flows.checks.proving import Killed
from flows.checks.world import newest
from flows.faults.catalog import FAULTS
from flows.faults.fault import Fault
from store import blobs
from tests.power.catalog import KINDS
from tests.power.kind import Kind

WORK = Path(__file__).parents[2] / ".power"
HERE = Path(__file__).parent
MADE_BY = ("__init__.py", "__main__.py", "page.py")
"""Files of this package that no result depends on."""

Result = dict[str, Any]
"""What ``prove`` gives: kind, seed, rows, seconds, checks and faults as a certificate has them."""


def prove(kind: Kind, seed: int, checks: Sequence[Check], faults: Sequence[Fault]) -> Result:
    """The verdicts of these checks, and what became of these faults, on the kind's pipeline of this seed."""
    begun, findings, fates = time.monotonic(), list[Finding](), list[Killed]()
    ready()
    with tempfile.TemporaryDirectory(prefix="assay-power-") as name, threadpool_limits(1):
        folder = Path(name)
        case = kind.make(seed)
        world = newest(case.fill(folder / "root"), case.catalog, case.pipeline, case.end, rows=kind.rows, within=folder)
        build(world)
        with Neighbour() as next_door:
            world = world.but(neighbour=next_door.address)
            with Crew(world, folder, workers=len(os.sched_getaffinity(0))) as working:
                findings = proving.findings(working, checks, _quiet)
                fates = proving.killed(working, findings, faults, _quiet)
    return {
        "kind": kind.name,
        "seed": seed,
        "rows": world.rows.height,
        "seconds": round(time.monotonic() - begun, 2),
        "checks": [finding.to_dict() for finding in findings],
        "faults": [fate.to_dict() for fate in fates],
    }


def again(name: str, seed: int, planted: Sequence[str]) -> Result:
    """All checks, and the faults of these codes, on the kind of that name: what a process of its own is asked."""
    kinds, faults = {kind.name: kind for kind in KINDS}, {fault.code: fault for fault in FAULTS}
    return prove(kinds[name], seed, CHECKS, [faults[code] for code in planted])


def bad(result: Result) -> list[str]:
    """The alarms and the faults that survived, in words."""
    alarms = [
        f"{one['code']} {one['verdict']}: {one['sentence']}"
        for one in result["checks"]
        if one["verdict"] in ("FAIL", "VACUOUS")
    ]
    alive = [
        f"{one['code']} survived {one['check']}: {one['sentence']}"
        for one in result["faults"]
        if one["killed"] is False
    ]
    return alarms + alive


def ready() -> None:
    """Have the server of processes load what every kind needs, once."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([*crew.PRELOADED, "tests.power.catalog"])
    forkserver.ensure_running()


def _quiet(_: object) -> None:
    """The line of a pipeline says enough."""


# ---- kept ---------------------------------------------------------------------------------------------------------


@functools.cache
def digest() -> str:
    """Of the sources of checks and faults, as they were when first asked: a run that begins with them ends with them."""
    return blobs.digest(blobs.canonical(certificate.sources()))


def kept(kind: Kind, seed: int, *, with_faults: bool) -> Result | None:
    """What an earlier run found with these very sources, if it was there."""
    path = _path(kind, seed, with_faults)
    found: Result | None = json.loads(path.read_text()) if path.exists() else None
    return found


def keep(kind: Kind, result: Result, *, with_faults: bool) -> None:
    """Leave it for the next run: all of it, or nothing."""
    path = _path(kind, result["seed"], with_faults)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(result))
    half.rename(path)


def _path(kind: Kind, seed: int, with_faults: bool) -> Path:
    return _folder() / f"{kind.name}-{seed}{'-faults' if with_faults else ''}.json"


@functools.cache
def _folder() -> Path:
    """Where the results of these checks, faults and kinds are kept."""
    paths = [path for path in sorted(HERE.glob("*.py")) if path.name not in MADE_BY]
    kinds = {path.name: blobs.digest(path.read_bytes()) for path in paths}
    return WORK / blobs.digest(blobs.canonical({"checks": digest(), "kinds": kinds}))[:16]
