"""A proving by itself: checks on a pipeline's folder as it stands, and the faults that prove them. Nothing is published.

The gate (``integrate``) runs the very same; this is for the author, who wants to see it before, or one check or fault of it alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from prefect import flow

from flows import certificate, runner
from flows.building import source
from flows.orchestration import say
from flows.reporting import proving as report
from flows.runner import Code
from store import clock
from store.layout import Root
from store.registry.packages import Package

Tell = Callable[[dict[str, Any]], None]
"""Hears of each verdict as it comes: a check's (``verdict``) or a fault's (``fate``)."""


def run(
    root: Root, pipeline: str, *, checks: Sequence[str] = (), faults: Sequence[str] = (), fast: bool = False,
    tell: Tell | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Prove a pipeline, a name in ``flows/pipelines/`` or a folder's path, on the root's newest data.

    ``checks`` and ``faults``: codes, all if none are given; with ``fast`` no faults. Gives ``pipeline``, ``tree``, ``window``, ``rows``,
    ``checks``, ``faults``, ``seconds``, ``failed`` (sentences; empty: proved as far as was asked), and ``page``: where report
    and JSON were written. NotFound names the checks, faults and pipelines there are.
    """
    now, code = clock.now(root), runner.stage(root, source.find(pipeline))
    found = proved(root, code, now, checks=checks, faults=faults, fast=fast, tell=tell)
    failed = certificate.failed(found) if checks or faults or fast else certificate.unproved(found)
    found |= {"pipeline": code.pipeline, "tree": code.tree, "failed": failed}
    folder = root.path / "provings" / code.pipeline
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{code.tree[:8]}.html"
    page.write_text(report.page(found))
    page.with_suffix(".json").write_text(json.dumps(found, indent=2))
    return found | {"page": str(page)}


def proved(
    root: Root, code: Code, now: datetime, *, checks: Sequence[str] = (), faults: Sequence[str] = (), fast: bool = False,
    tell: Tell | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the checks and faults say of the code, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="assay-prove-") as scratch:
        job = {
            "what": "prove", "root": str(root.path), "now": now.isoformat(), "folder": scratch, "checks": list(checks),
            "faults": list(faults), "fast": fast,
        }  # fmt: skip
        return runner.run(code, "flows.checks", job, progress=say, detail=tell)


def verified(root: Root, package: Package) -> list[certificate.Bound]:
    """Everything a package's certificate is bound to, its data too, held against what is there now."""
    found = certificate.require(root, package)
    job = {"what": "content", "root": str(root.path), "window": found["data"]["window"]}
    data = runner.run(runner.unpacked(root, package), "flows.checks", job)["content"]
    return certificate.verify(root, package, data)


@flow(name="prove", description=__doc__)
def prove(
    pipeline: str, checks: list[str] | None = None, faults: list[str] | None = None, fast: bool = False
) -> dict[str, Any]:
    """Prove a pipeline without publishing it."""
    return run(Root.open(), pipeline, checks=checks or [], faults=faults or [], fast=fast)
