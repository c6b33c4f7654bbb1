"""The models that the gate has judged before, as the ledger knows them: published or refused, and on which stretch of time."""

from __future__ import annotations

from flows.pipeline import Window
from store import blobs, ledger
from store.actions import PackagePublished
from store.layout import Root


def of(root: Root, pipeline: str) -> tuple[Window, ...]:
    """From the first to the last test row of each model of the pipeline that the gate has judged, oldest first.

    A refusal before anything was trained (a check failed) judged no model.
    """
    judged = ledger.find(root, action=("package.published", "package.refused"), subject=pipeline)
    evidence = [row.body.evidence if isinstance(row.body, PackagePublished) else row.digest for row in judged]
    found = (blobs.get_json(root, digest) for digest in evidence)
    return tuple(Window.from_dict(one["trained"]["parts"]["test"]) for one in found if "trained" in one)
