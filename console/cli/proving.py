"""The verb that proves: a table that fills while checks and faults run, and at its end the verdict."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from console.cli import modules
from console.cli.flows import ran
from console.cli.output import Format, Output, Pipeline, err, one, rows
from store.errors import GateFailed, Refused
from store.layout import Root

app = typer.Typer()
COLOURS = {"PASS": "green", "KILLED": "green", "FAIL": "bold red", "VACUOUS": "bold red", "SURVIVED": "bold red"}


@app.command()
def prove(
    pipeline: Annotated[str, typer.Argument(help="A name in flows/pipelines/, or a folder's path.")],
    check: Annotated[list[str] | None, typer.Option(help="Only this check, such as K04 (may be said again).")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault, such as F07, and the check that must kill it.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="The checks without the faults.")] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not as it was when the newest package was certified.")
    ] = False,
    output: Output = Format.TEXT,
) -> None:
    """Run the checks and the faults that prove them.

    On the pipeline's folder as it stands; nothing is published. Ends with 1 where a check failed or saw nothing, or a fault survived.
    """
    asked = {"checks": list(check or ()), "faults": list(fault or ()), "fast": fast, "only_changed": changed}
    with Filling() as table:
        if modules.prefect_url():
            found = ran("prove", pipeline=pipeline, **asked)
            for verdict in (*found["checks"], *found["faults"]):
                table.fill(verdict)
        else:
            found = modules.flow("prove").run(Root.open(), pipeline, **asked, tell=table.fill)
    report = modules.flow("reporting.proving")
    since = f"{found['since']}\n" if changed else ""
    one(found, output, f"{since}{report.summary(found)} {report.time(found)}\n{found['page']}")
    if found["failed"]:
        raise GateFailed(
            f"{found['pipeline']} is not proved: {found['failed'][0]}",
            f"{len(found['failed'])} reasons in all." if len(found["failed"]) > 1 else "",
            f"Mend the pipeline where the check points; all of it stands in {found['page']}.",
        )


class Filling:
    """A table on standard error that gets a line with each verdict: live on a terminal, line by line elsewhere."""

    def __init__(self) -> None:
        self.table = Table("", "", "", "s", "", box=None, pad_edge=False, show_header=False)
        self.live = Live(self.table, console=err, refresh_per_second=4) if sys.stderr.isatty() else None

    def __enter__(self) -> Filling:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def fill(self, verdict: dict[str, Any]) -> None:
        """One more line."""
        said = verdict.get("fate") or verdict["verdict"]
        colour = COLOURS.get(said, "dim")
        cells = (
            verdict["code"],
            verdict["title"],
            f"[{colour}]{said}[/{colour}]",
            f"{verdict['seconds']:.1f} s",
            verdict["sentence"],
        )
        self.table.add_row(*cells[:4], cells[4].replace("[", r"\["))
        if not self.live:
            err.print(f"{cells[0]} {cells[2]} {cells[3]} {cells[4]}", markup=True, soft_wrap=True)


certificates = typer.Typer(help="What proved a package, and whether it still holds.", no_args_is_help=True)
Version = Annotated[str, typer.Argument(help="Version or digest; default: the newest.")]


@certificates.command()
def show(pipeline: Pipeline, version: Version = "", output: Output = Format.TEXT) -> None:
    """A package's certificate: what was proved, on what, by which checks and faults."""
    root, certificate = Root.open(), modules.flow("certificate")
    found = certificate.read(root, modules.load("store.registry.packages").get(root, pipeline, version))
    if output is Format.JSON:
        one(found, output)
        return
    heads = {name: found[name] for name in ("pipeline", "version", "issued_at", "wheel", "tree")}
    window = found["data"]["window"]
    data = f"{found['data']['rows']:,} rows of {window['start'][:16]} to {window['end'][:16]} UTC, content {found['data']['content'][:8]}"
    one(
        heads | {"data": data, "python": found["runtime"]["python"], "packages": len(found["runtime"]["packages"])},
        output,
    )
    keys = ("code", "title", "verdict", "seconds", "sentence")
    rows("checks", ({name: check[name] for name in keys} for check in found["checks"]), output)
    keys = ("code", "title", "check", "fate", "seconds", "sentence")
    rows("faults", ({name: fault[name] for name in keys} for fault in found["faults"]), output)


@certificates.command()
def verify(pipeline: Pipeline, version: Version = "", output: Output = Format.TEXT) -> None:
    """Hold a certificate against what is there now.

    Package, verdicts, data, runtime and checks. Ends with 3 where anything differs, and names it.
    """
    root = Root.open()
    package = modules.load("store.registry.packages").get(root, pipeline, version)
    bound = modules.flow("prove").verified(root, package)
    rows("bound", ({"what": each.what, "holds": not each.differs, "differs": each.differs} for each in bound), output)
    if differing := [each for each in bound if each.differs]:
        raise Refused(
            f"The certificate of {pipeline} {package.version} was issued for something else: {differing[0].what}.",
            differing[0].differs,
            f"Prove it as it is now: `assay prove {pipeline}`; a new version gets a certificate of its own.",
        )
