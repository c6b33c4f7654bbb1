"""Draws a drift report in a process of its own, because importing Evidently takes 10 to 25 s.

``python -m flows.reporting job.json``. The job's ``reference``, ``current`` and ``scores`` name parquet files,
``title`` is text, ``out`` the HTML file to write, ``result`` the JSON file that says how it went, for
``flows.runner.run`` to read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from flows.reporting import drift, plots
from store.errors import AssayError


def main(job: dict[str, Any]) -> None:
    """Do the job; a refusal goes into the result, whatever else goes wrong to standard error."""
    frames = [pl.read_parquet(job[name]) for name in ("reference", "current", "scores")]
    try:
        page = drift.draw(*frames, title=job["title"], plots=plots.page)
        Path(job["out"]).write_bytes(page)
        result: dict[str, Any] = {"bytes": len(page)}
    except AssayError as error:
        result = {"error": {"kind": type(error).__name__} | vars(error)}
    Path(job["result"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
