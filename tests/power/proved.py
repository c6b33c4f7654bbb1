"""One kind proved with one seed, by the very checks and faults that a gate runs; and what came of it, kept until its sources change."""

from __future__ import annotations

import functools
import inspect
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

from flows import certificate, changed
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
    return blobs.digest(blobs.canonical(_sources()))


def kept(kind: Kind, seed: int) -> Result | None:
    """What earlier runs found with the sources there are: the verdicts whose check or fault, and kind, are as they were then."""
    path = _path(kind, seed)
    if not path.exists():
        return None
    found: Result = json.loads(path.read_text())
    by, known = found["made_by"], _reaching()
    for table in ("checks", "faults"):
        found[table] = [
            one for one in found[table] if one["code"] in known and by[one["code"]] == made_by(kind, one["code"])
        ]
    return found


def keep(kind: Kind, result: Result) -> None:
    """Leave it for the next run: all of it, or nothing."""
    path = _path(kind, result["seed"])
    path.parent.mkdir(parents=True, exist_ok=True)
    codes = [one["code"] for table in ("checks", "faults") for one in result[table]]
    half = path.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(result | {"made_by": {code: made_by(kind, code) for code in codes}}))
    half.rename(path)


def merged(before: Result | None, found: Result) -> Result:
    """What was found, beside the verdicts before that were not asked again, in the order of the catalogs. The seconds are those of
    the longer run: one in which little was asked tells nothing of the whole."""
    if before is None:
        return found
    result = before | {"seconds": max(before["seconds"], found["seconds"])}
    for table, catalog in (("checks", CHECKS), ("faults", FAULTS)):
        told = {one["code"]: one for one in (*before[table], *found[table])}
        result[table] = [told[one.code] for one in catalog if one.code in told]
    return result


@functools.cache
def made_by(kind: Kind, code: str) -> str:
    """The digest of every source that a verdict comes of: the check's or fault's with all that it imports, how they are run, the kind's."""
    checked_by = {fault.code: fault.check for fault in FAULTS}
    reaching, sources = _reaching(), _sources()
    own = reaching[code] | (reaching[checked_by[code]] if code in checked_by else set())
    shared = changed.shared(sources, reaching)
    files = {path.relative_to(HERE.parents[1]).as_posix(): blobs.digest(path.read_bytes()) for path in _imported(kind)}
    return blobs.digest(blobs.canonical({"checks": {path: sources[path] for path in own | shared}, "kind": files}))


@functools.cache
def _sources() -> dict[str, str]:
    return certificate.sources()


@functools.cache
def _reaching() -> dict[str, set[str]]:
    return changed.reached_by_code()


def _imported(kind: Kind) -> set[Path]:
    """The file of a kind, and all it imports of the tests and of the users' rooms, by others too."""
    make = kind.make.func if isinstance(kind.make, functools.partial) else kind.make
    return changed.imported(
        Path(inspect.getfile(make)), HERE.parents[1], ("tests.", "flows.pipelines", "flows.features")
    )


def _path(kind: Kind, seed: int) -> Path:
    return WORK / f"{kind.name}-{seed}.json"
