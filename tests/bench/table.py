"""The one table of all benches: printed, and kept in ``docs/bench.md`` with the machine it was measured on.

A bench is a module with ``SIZES`` (its sizes by name: full, small, tiny) and ``measured(size)``, which yields rows.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

DOCUMENT = Path(__file__).parents[2] / "docs" / "bench.md"
BEGIN, END = "<!-- what make bench measured -->", "<!-- end of it -->"
HEADINGS = ("case", "peer", "assay", "its", "assay ÷ peer", "target", "reached")
LIBRARIES = ("duckdb", "polars", "pyarrow", "deltalake", "numpy", "pandas", "scikit-learn", "evidently", "uvicorn")

Measured = Callable[[Any], Iterator["Row"]]


@dataclass(frozen=True)
class Row:
    """One case: ours and the peer's in ``unit`` (s and µs are of CPU time), and how much of the peer's ours may be.

    ``target`` is a ratio, None where the issue sets none. ``missing`` says why a case could not be measured.
    """

    case: str
    peer: str
    ours: float = float("nan")
    theirs: float = float("nan")
    unit: str = "s"
    target: float | None = None
    missing: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def reached(self) -> bool | None:
        return None if self.missing or self.target is None else round(self.ratio, 3) <= self.target

    def cells(self) -> tuple[str, ...]:
        """In the order of ``HEADINGS``."""
        target = "" if self.target is None else f"≤ {self.target:.3g}×"
        if self.missing:
            return self.case, self.peer, f"not measured: {self.missing}", "", "", target, ""
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        figures = (f"{_figure(self.ours)} {self.unit}", f"{_figure(self.theirs)} {self.unit}", f"{self.ratio:.3g}×")
        return self.case, self.peer, *figures, target, reached


def _figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def measured(name: str, size: str) -> list[Row]:
    """The rows of one bench."""
    bench = import_module(f"tests.bench.{name}")
    return list(bench.measured(bench.SIZES[size]))


def main(description: str | None, bench: Measured, sizes: Mapping[str, Any]) -> None:
    """The command line of one bench."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    size = "small" if parser.parse_args().small else "full"
    show(bench(sizes[size]))


def show(rows: Iterable[Row]) -> None:
    shown = Table(title=machine(), title_justify="left", caption="s and µs are of CPU time", caption_justify="left")
    for place, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="right" if 2 <= place < 6 else "left")
    for row in rows:
        shown.add_row(*row.cells())
    Console(width=None if Console().is_terminal else 160).print(shown)


def keep(rows: Iterable[Row], document: Path = DOCUMENT) -> None:
    """Put the table between the document's marks."""
    rules = ("---:" if 2 <= place < 6 else "---" for place in range(len(HEADINGS)))
    lines = [_line(HEADINGS), _line(rules), *(_line(row.cells()) for row in rows)]
    made = "\n".join([BEGIN, f"{machine()}.", "", *lines, END])
    text, times = re.subn(f"{BEGIN}.*?{END}", lambda _: made, document.read_text(), flags=re.DOTALL)
    if times != 1:
        raise ValueError(f"{document.name} has {times} places for the table; it needs one, between {BEGIN} and {END}.")
    document.write_text(text)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """When and on what: no path, no name of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{when}, {cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {libraries}"
