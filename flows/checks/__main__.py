"""Proving in a process of its own, with one pipeline's code active."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from flows.building import catalog
from flows.building.job import Job, main, step
from flows.checks import proving
from flows.checks.world import newest
from flows.pipeline import Pipeline
from store.layout import Root


def prove(pipeline: Pipeline, job: Job) -> Job:
    """Run the checks (``job["codes"]``, or all) on the newest slice of ``job["root"]`` as of ``job["now"]``, then the
    faults.

    Scratch roots are made below ``job["folder"]``, if given, and deleted. One thread: on a few thousand rows more of
    them only wait for each other (measured: twenty times slower on two busy cores), and sums come out the same
    everywhere.
    """
    begun, root, now = time.monotonic(), Root.open(job["root"]), datetime.fromisoformat(job["now"])
    within = Path(job["folder"]) if job.get("folder") else None
    checks = proving.chosen(job.get("codes"))
    with threadpool_limits(1):
        step("the newest slice of the store")
        world = newest(root, catalog.load(), pipeline, now, within=within)
        sliced = time.monotonic() - begun
        found = proving.findings(world, checks, step)
        killed = list(proving.faults(world, found, step))
    return {
        "window": world.window.to_dict(),
        "rows": world.rows.height,
        "checks": [finding.to_dict() for finding in found],
        "faults": [fault.to_dict() for fault in killed],
        "seconds": round(time.monotonic() - begun, 2),
        "seconds_slice": round(sliced, 2),
        "seconds_cpu": round(time.process_time(), 2),
    }


if __name__ == "__main__":
    main({"prove": prove})
