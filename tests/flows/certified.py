"""Packages that tests publish without the gate's minutes get a certificate of a proving that was never run."""

from __future__ import annotations

from datetime import datetime

from flows import certificate
from flows.building import source
from store.layout import Root

CHECK = {
    "code": "K11", "title": "report", "verdict": "PASS", "severity": "blocks", "control": 1.0, "seconds": 0.1, "numbers": {},
    "sentence": "The report is what the predictions give.", "blocks": False,
}  # fmt: skip
FAULT = {
    "code": "F10", "title": "labels misaligned by a row", "check": "K11", "killed": True, "fate": "KILLED", "numbers": {},
    "sentence": "15 numbers are not what the predictions give.", "seconds": 0.1,
}  # fmt: skip
PROVED = {
    "window": {"start": "2013-01-01T00:00:00+00:00", "end": "2013-02-01T00:00:00+00:00"}, "rows": 100, "content": "0" * 64, "features": {},
    "checks": [CHECK], "faults": [FAULT], "seconds": 1.0,
}  # fmt: skip


def issued(root: Root, pipeline: str, version: str, wheel: bytes, now: datetime) -> str:
    """The digest of a certificate for this wheel."""
    tree = source.tree(source.held(wheel, pipeline))
    return certificate.issue(root, pipeline, version, wheel, tree, PROVED, now)
