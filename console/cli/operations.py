"""Verbs that start and stop things, and say whether all is well with this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from console.cli import modules
from console.cli.output import Format, Output, err, one, rows, time
from store import clock, ledger
from store.errors import Conflict, InvalidInput
from store.layout import Root

app = typer.Typer()


@app.command()
def console(port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8501) -> None:
    """Open the ops console for the browser. Ctrl-C ends it."""
    server = modules.load("console.server")
    os.environ["ASSAY_ROOT"] = str(Root.open().path)
    os.chdir(server.WORKSPACE)  # where Streamlit finds its theme
    os.execv(sys.executable, server.command(port))


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when the loop has turned, instead of leaving the console up.")
    ] = False,
    weeks: Annotated[int, typer.Option(help="At most this many weeks of traffic.")] = 13,
    root: Annotated[Path, typer.Option(help="The demo's own folder; begun anew.")] = Path(".demo"),
    console_port: int = 8511,
    prefect_port: int = 4211,
    service_port: int = 8011,
) -> None:
    """Turn the loop once on real flights.

    Ingest, integrate, deliver, train, serve, watch, retrain; the console stays up until Ctrl-C.
    """
    ports = {"console": console_port, "prefect": prefect_port, "service": service_port}
    modules.load("console.demo.prepare").start(root, ports, once=once, weeks=weeks)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the pipeline: lower-case letters, digits, underscores.")],
    file: Annotated[Path | None, typer.Argument(help="CSV or parquet: one row a question, with its answer.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="A column that says who or what a row is about; may come again.")
    ] = None,
    time_column: Annotated[str, typer.Option("--time", help="The column of when the question is asked.")] = "",
    label: Annotated[str, typer.Option(help="The column of the answer.")] = "",
    task: Annotated[str, typer.Option(help="classification or regression.")] = "",
    known: Annotated[str, typer.Option(help="The column of when the answer became known; or --delay.")] = "",
    delay: Annotated[str, typer.Option(help="How long after --time it is known, such as 6h or 91d.")] = "",
    zone: Annotated[str, typer.Option(help="Of times that have none.")] = "UTC",
    positive: Annotated[str, typer.Option(help="The label's text that counts as 1.")] = "",
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A column not known when the question is asked; may come again.")
    ] = None,
    every: Annotated[str, typer.Option(help="Between publications of what is derived, such as 1d or 13w.")] = "",
    owner: Annotated[str, typer.Option(help="Who answers for it.")] = "",
    output: Output = Format.TEXT,
) -> None:
    """Lay out a pipeline over a file of your own.

    Features with honest times, the pipeline's folder, its author's test and an application's example, such that `assay integrate
    NAME` passes as laid out. What is not given is asked, where somebody can answer.
    """
    layout = modules.load("console.new")
    source = Path(answered("FILE", str(file or "")))
    keys = key or answered("--key", "").split(",")
    when, answer, kind = answered("--time", time_column), answered("--label", label), answered("--task", task)
    if not known:
        delay = answered("--delay", delay)
    written = layout.lay_out(
        name, source, keys=[one.strip() for one in keys], time=when, label=answer, task=kind, known=known or None,
        delay=layout.length(delay) if delay else None, zone=zone, positive=positive or None, leave_out=leave_out or (),
        every=layout.length(every) if every else None, owner=owner,
    )  # fmt: skip
    rows("files written", ({"file": str(path)} for path in written), output)
    err.print(f"Read them and change them. Then:\n{layout.next_steps(name)}", markup=False)


def answered(option: str, value: str) -> str:
    """The value given, or a person's answer. InvalidInput where nobody can answer."""
    if value:
        return value
    if not sys.stdin.isatty():
        raise InvalidInput(f"{option} was not given.", "Nobody can be asked here.", "See `assay new --help`.")
    return str(typer.prompt(option.removeprefix("--"), err=True))


@app.command()
def up(
    console_port: int = 8501,
    prefect_port: int = 4200,
    service_port: Annotated[int, typer.Option(help="Of the first pipeline; the next ones follow.")] = 8000,
    output: Output = Format.TEXT,
) -> None:
    """Start all of this root, and keep it running.

    Prefect's server, a worker, the deployments, a service for every pipeline in production, and the console; what dies is started
    again, until `assay down`.
    """
    ports = {"console": console_port, "prefect": prefect_port, "service": service_port}
    urls = modules.load("console.up").start(Root.open(), ports)
    rows("running", ({"what": name, "where": url} for name, url in urls.items()), output)


@app.command()
def down(output: Output = Format.TEXT) -> None:
    """Stop what `assay up` started."""
    stopped = modules.load("console.up").stop(Root.open())
    one({"stopped": stopped}, output, "All of it is stopped." if stopped else "Nothing of this root was up.")


@app.command("clock")
def store_clock(
    move: Annotated[str | None, typer.Option(help="Let it be this time (UTC) from now on.")] = None,
    output: Output = Format.TEXT,
) -> None:
    """Tell store time; --move it in a root that lives in the past.

    A root goes by the machine's clock until it is moved for the first time, which only an empty root can be: from then on
    nothing but this verb, or a replay, moves it, and never back.
    """
    root, instant = Root.open(), time(move, "--move")
    if instant is not None:
        if not clock.simulated(root) and ledger.head(root):
            raise Conflict(
                f"{root.path} goes by the machine's clock, and has a history.",
                f"Its ledger holds {ledger.head(root):,} rows.",
                "Move the clock of a new root: set ASSAY_ROOT to another folder.",
            )
        clock.move(root, instant)
    now, simulated = clock.now(root), clock.simulated(root)
    kind = "moved by hand or by a replay" if simulated else "the machine's"
    one({"now": now, "simulated": simulated}, output, f"{clock.printed(now)}, {kind}")


@app.command()
def doctor(output: Output = Format.TEXT) -> None:
    """Look whether all is well here; each trouble with its remedy."""
    found = modules.load("console.doctor").examine(Root.open)
    rows(
        "findings",
        ({"what": one.what, "well": one.well, "found": one.found, "remedy": one.remedy} for one in found),
        output,
    )
    worst = max((one.code for one in found if not one.well), default=0)
    if worst:
        raise typer.Exit(worst)
