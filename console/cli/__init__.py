"""``assay``: a thin skin over the flows and the store. Each verb works without a Prefect server.

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 a gate said no, 2 usage, 3 refused
(integrity), 4 out of reach.

Flows bring Prefect and scikit-learn with them (seconds to import), so a verb imports its flow when it is called:
``--help`` stays under half a second. ``modules.load`` is the one place that does so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from console.cli import flows, moves, operations, proving, records
from console.cli.output import err
from console.version import VERSION
from store.errors import AssayError

app = typer.Typer(
    name="assay",
    help="Continuous integration and delivery of machine-learning pipelines, on one machine.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (proving, flows, moves, records, operations):
    app.registered_commands += part.app.registered_commands
app.add_typer(records.ledger, name="ledger")
app.add_typer(proving.certificates, name="certificate")


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    """The root is ASSAY_ROOT, else ./.assay."""
    if version:
        print(VERSION)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    progress()
    with ending():
        app()


def progress() -> None:
    """Show what the flows say of their progress on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("· %(message)s"))
    logger = logging.getLogger("assay")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """An error a person can meet is printed in its three sentences, without a traceback, and decides the exit code."""
    try:
        yield
    except AssayError as error:
        err.print("[bold red]✗[/bold red]", end=" ")
        err.print("\n  ".join(part for part in (error.asked, error.exists, error.remedy) if part), markup=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
