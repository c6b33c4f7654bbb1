"""A proving by itself: checks on a pipeline's folder as it stands, and the faults that prove them. Nothing is published.

The gate (``integrate``) runs the very same; this is for the author, who wants to see it before, or one check or fault of it alone.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow

from flows import certificate, changed, runner
from flows.building import source
from flows.changed import Since
from flows.checks import desk
from flows.orchestration import Tell, each, say
from flows.reporting import proving as report
from flows.runner import Code
from store import clock
from store.errors import Unreachable
from store.layout import Root
from store.registry.packages import Package


def run(
    root: Root, pipeline: str, *, checks: Sequence[str] = (), faults: Sequence[str] = (), fast: bool = False,
    only_changed: bool = False, tell: Tell | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Prove a pipeline, a name in ``flows/pipelines/`` or a folder's path, on the root's newest data.

    ``checks`` and ``faults``: codes, all if none are given; with ``fast`` no faults; with ``only_changed`` of these
    only what is not as it was certified (``changed``), and ``since`` says what that is. Gives ``pipeline``, ``tree``, ``window``, ``rows``,
    ``checks``, ``faults``, ``seconds``, ``failed`` (sentences; empty: proved as far as was asked), and ``page``: where report
    and JSON were written. NotFound names the checks, faults and pipelines there are.
    """
    now, code = clock.now(root), runner.stage(root, source.find(pipeline))
    since = changed.since(root, code) if only_changed else None
    found = proved(root, code, now, checks=checks, faults=faults, fast=fast, since=since, tell=tell)
    in_part = checks or faults or fast or only_changed
    failed = certificate.failed(found) if in_part else certificate.unproved(found)
    found |= {"pipeline": code.pipeline, "tree": code.tree, "failed": failed}
    found |= {"since": since.told(found)} if since else {}
    folder = root.path / "provings" / code.pipeline
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{code.tree[:8]}.html"
    page.write_text(report.page(found))
    page.with_suffix(".json").write_text(json.dumps(found, indent=2))
    return found | {"page": str(page)}


def proved(
    root: Root, code: Code, now: datetime, *, checks: Sequence[str] = (), faults: Sequence[str] = (), fast: bool = False,
    since: Since | None = None, tell: Tell | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the checks and faults say of the code.

    A process of its own holds the slice of data (``flows.checks``); each verdict is asked of it one by one, as a task under Prefect,
    on whatever runner the flow has.
    """
    with tempfile.TemporaryDirectory(prefix="assay-prove-") as scratch, ThreadPoolExecutor(1) as beside:
        address = str(Path(scratch) / "desk")
        job = {
            "what": "prove", "root": str(root.path), "now": now.isoformat(), "folder": scratch, "checks": list(checks),
            "faults": list(faults), "fast": fast, "address": address, **(since.job if since else {}),
        }  # fmt: skip
        held = beside.submit(copy_context().run, functools.partial(runner.run, code, "flows.checks", job, progress=say))
        try:
            with desk.opened(address, lambda: not held.done()) as there_is:
                verdicts = {
                    kind: each(desk.ask, address, there_is[kind], there_is["workers"], tell)
                    for kind in ("checks", "faults")
                }
        except Unreachable:
            held.result()  # says why, if it did not just end
            raise
        return held.result() | verdicts


def verified(root: Root, package: Package) -> list[certificate.Bound]:
    """Everything a package's certificate is bound to, its data too, held against what is there now."""
    found = certificate.require(root, package)
    job = {"what": "content", "root": str(root.path), "window": found["data"]["window"]}
    data = runner.run(runner.unpacked(root, package), "flows.checks", job)
    return certificate.verify(root, package, data)


@flow(name="prove", description=__doc__)
def prove(
    pipeline: str, checks: list[str] | None = None, faults: list[str] | None = None, fast: bool = False,
    only_changed: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Prove a pipeline without publishing it."""
    return run(Root.open(), pipeline, checks=checks or [], faults=faults or [], fast=fast, only_changed=only_changed)
