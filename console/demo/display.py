"""What the demo says while it runs: one line a step with its seconds, a bar for the weeks, and the tables of the end."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def named_by(threads: Collection[str]) -> Callable[[logging.LogRecord], bool]:
    """A filter that puts the name of these threads before what is said in them, where it does not begin with it."""

    def name(record: logging.LogRecord) -> bool:
        said, thread = record.getMessage(), record.threadName or ""
        if thread in threads and not said.startswith(thread):
            record.msg, record.args = f"{thread}: {said}", ()
        return True

    return name


class Story:
    """Tells each step and remembers how long it took."""

    def __init__(self) -> None:
        self.started, self.seconds = time.monotonic(), dict[str, float]()

    @contextmanager
    def step(self, name: str, why: str) -> Iterator[None]:
        """A step of the loop: its name and what it is for, then its time."""
        console.print(f"[bold cyan]▸ {name}[/bold cyan]  [dim]{why}[/dim]")
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.seconds[name] = self.seconds.get(name, 0) + took
        console.print(f"  [green]✓[/green] [dim]{took:.1f} s[/dim]")

    def note(self, text: str) -> None:
        """Something worth knowing within a step."""
        console.print(f"  {text}")

    def add(self, name: str, seconds: float) -> None:
        """Time of a part that comes again and again."""
        self.seconds[name] = self.seconds.get(name, 0) + seconds

    @contextmanager
    def bar(self, total: int, what: str) -> Iterator[Progress]:
        """A bar while a week goes by."""
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.completed}/{task.total} h"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(what, total=total)
            yield progress

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table of the end."""
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)

    def times(self) -> None:
        """The time by step."""
        total = time.monotonic() - self.started
        rows = [[name, f"{seconds:.1f} s"] for name, seconds in self.seconds.items()]
        self.table("Time by step", ["step", "wall time"], [*rows, ["all", f"{total:.1f} s"]])
