"""Proving in a process of its own, with one pipeline's code active."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from flows.building import catalog
from flows.building.job import Job, finite, main, step
from flows.checks import own, proving
from flows.checks.catalog import CHECKS
from flows.checks.check import Check, Finding
from flows.checks.crew import Crew
from flows.checks.desk import Desk
from flows.checks.elsewhere import Neighbour
from flows.checks.proving import Killed
from flows.checks.world import World, newest, sliced
from flows.faults.fault import Fault
from flows.pipeline import Pipeline, Window
from store.layout import Root


def prove(pipeline: Pipeline, job: Job) -> Job:
    """Hold the checks (``job["checks"]``, or all, the author's ``own`` among them) on the newest slice of ``job["root"]`` as of
    ``job["now"]``, and the faults (``job["faults"]`` with the checks that must kill them, or all of these checks; none with
    ``job["fast"]``; with ``job["since"]`` only what is ``again`` to be asked, where the slice's ``data`` is what it was), and judge each
    when it is asked for at ``job["address"]`` (``desk``).

    Each verdict is told as it comes, as a step. Scratch roots are made below ``job["folder"]`` and deleted. One thread a process: on a few
    thousand rows more of them only wait for each other (measured: twenty times slower on two busy cores), and sums come out
    the same everywhere.
    """
    begun, root, now = time.monotonic(), Root.open(job["root"]), datetime.fromisoformat(job["now"])
    folder = Path(job["folder"])
    checks = proving.chosen(job.get("checks"), own.found(pipeline))
    faults = [] if job.get("fast") else proving.planting(job.get("faults"), checks)
    if job.get("faults"):
        checks = [check for check in checks if check.code in {fault.check for fault in faults}]
    with threadpool_limits(1):
        step("the newest slice of the store")
        world = newest(root, catalog.load(), pipeline, now, within=folder)
        if "since" in job and job["since"]["data"] == digests(world):
            checks, faults = again(job["since"], checks, faults)
        build(world)
        sliced = time.monotonic() - begun
        step(f"{len(checks)} checks on {world.rows.height:,} rows")
        with Neighbour() as next_door:
            world, cores = world.but(neighbour=next_door.address), len(os.sched_getaffinity(0))
            with Crew(world, folder, workers=cores) as crew:
                held = proving.Proving(crew, checks, faults)
                listing = {"checks": named(checks), "faults": named(faults), "workers": cores}
                Desk(job["address"], listing, lambda code: told(held.verdict(code))).serve()
    return {
        "window": world.window.to_dict(),
        "rows": world.rows.height,
        **digests(world),
        "seconds": round(time.monotonic() - begun, 2),
        "seconds_slice": round(sliced, 2),
    }


def again(since: Job, checks: Sequence[Check], faults: Sequence[Fault]) -> tuple[list[Check], list[Fault]]:
    """Of these the ones that are not as they were certified (``flows.changed``), and the checks that judge such a fault."""
    faults = [fault for fault in faults if fault.code in since["again"]]
    asked = {*since["again"], *(fault.check for fault in faults)}
    ours = {check.code for check in CHECKS}
    return [one for one in checks if one.code in asked or (since["own"] and one.code not in ours)], faults


def named(ones: Sequence[Check | Fault]) -> list[Job]:
    """What there is to ask for."""
    return [{"code": one.code, "title": one.title} for one in ones]


def content(pipeline: Pipeline, job: Job) -> Job:
    """The digests of the facts of ``job["window"]``, read again from ``job["root"]``, and of the features."""
    world = sliced(Root.open(job["root"]), catalog.load(), pipeline, Window.from_dict(job["window"]))
    return digests(world)


def digests(world: World) -> Job:
    """What a certificate's verdicts stand on beside the pipeline: the facts of the slice, and the code of the features used."""
    used = world.catalog.facts.keys() | world.catalog.derived.keys()
    return {"content": world.content, "features": {name: world.catalog.digests[name] for name in sorted(used)}}


def build(world: World) -> None:
    """What all checks share, built before they part. What a pipeline raises here it raises again in each check, which says so."""
    with contextlib.suppress(Exception):
        _ = world.futures, world.judged


def told(one: Finding | Killed) -> Job:
    """A verdict as JSON; it is also told as a step."""
    found: Job = finite(one.to_dict())
    step(f"{one.code} {one.title}: {found.get('fate') or found['verdict']}")
    return found


if __name__ == "__main__":
    main({"prove": prove, "content": content})
