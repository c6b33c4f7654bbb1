"""Proving in a process of its own, with one pipeline's code active."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from flows.building import catalog
from flows.building.job import Job, main, step
from flows.checks import proving
from flows.checks.check import Finding
from flows.checks.crew import Crew
from flows.checks.proving import Killed
from flows.checks.world import World, newest
from flows.pipeline import Pipeline
from store.layout import Root


def prove(pipeline: Pipeline, job: Job) -> Job:
    """Run the checks (``job["checks"]``, or all) on the newest slice of ``job["root"]`` as of ``job["now"]``, then the
    faults (``job["faults"]``, or all of these checks; none with ``job["fast"]``).

    Each verdict is told as it comes, as a step. Scratch roots are made below ``job["folder"]`` and deleted. One thread a process: on a few
    thousand rows more of them only wait for each other (measured: twenty times slower on two busy cores), and sums come out
    the same everywhere.
    """
    begun, root, now = time.monotonic(), Root.open(job["root"]), datetime.fromisoformat(job["now"])
    folder = Path(job["folder"])
    checks = proving.chosen(job.get("checks"))
    faults = [] if job.get("fast") else proving.planting(job.get("faults"), checks)
    with threadpool_limits(1):
        step("the newest slice of the store")
        world = newest(root, catalog.load(), pipeline, now, within=folder)
        build(world)
        sliced = time.monotonic() - begun
        step(f"{len(checks)} checks on {world.rows.height:,} rows")
        with Crew(world, folder, workers=len(os.sched_getaffinity(0))) as crew:
            found = proving.findings(crew, checks, told)
            killed = proving.killed(crew, found, faults, told)
    return {
        "window": world.window.to_dict(),
        "rows": world.rows.height,
        "checks": [finding.to_dict() for finding in found],
        "faults": [fault.to_dict() for fault in killed],
        "seconds": round(time.monotonic() - begun, 2),
        "seconds_slice": round(sliced, 2),
    }


def build(world: World) -> None:
    """What all checks share, built before they part. What a pipeline raises here it raises again in each check, which says so."""
    with contextlib.suppress(Exception):
        _ = world.futures, world.judged


def told(one: Finding | Killed) -> None:
    """A verdict, as a step with its numbers."""
    told = one.to_dict()
    step(f"{one.code} {one.title}: {told.get('fate') or told['verdict']}", told)


if __name__ == "__main__":
    main({"prove": prove})
