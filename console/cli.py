"""``assay``: a thin skin over the flows and the store. Each verb works without a Prefect server.

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 a gate said no, 2 usage, 3 refused
(integrity), 4 out of reach.

Flows bring Prefect and scikit-learn with them (seconds to import), so a verb imports its flow when it is called:
``--help`` stays under half a second. ``_module`` is the one place that does so.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from console.version import VERSION
from store import clock
from store.errors import AssayError, InvalidInput
from store.layout import Root

app = typer.Typer(
    name="assay",
    help="Continuous integration and delivery of machine-learning pipelines, on one machine.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ledger_app = typer.Typer(help="The record of every publication, decision and move.", invoke_without_command=True)
app.add_typer(ledger_app, name="ledger")

Environment = Annotated[str, typer.Option("--environment", "-e", help="test or production.")]
Pipeline = Annotated[str, typer.Argument(help="The pipeline's name.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it stands in the ledger.")]
_err = Console(stderr=True, highlight=False)


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
        _err.print("[bold red]✗[/bold red]", end=" ")
        _err.print("\n  ".join(part for part in (error.asked, error.exists, error.remedy) if part), markup=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _module(name: str) -> Any:
    """A module, imported when a verb needs it: see the module's docstring."""
    return importlib.import_module(name)


def _flow(name: str) -> Any:
    """A module of ``flows``, likewise."""
    return _module(f"flows.{name}")


def _root() -> Root:
    return Root.open()


def _time(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{option} {text!r} is no time.", "Times are ISO 8601, such as 2013-04-01 or 2013-04-01T06:00+00:00."
        ) from None
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def _table(title: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        _err.print(f"No {title} yet in {_root().path}.")
        return
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    wide = None if sys.stdout.isatty() else 240  # what is piped is not cut to a screen that is not there
    Console(highlight=False, width=wide).print(table)


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    """The root is ASSAY_ROOT, else ./.assay."""
    if version:
        print(VERSION)
        raise typer.Exit


@app.command()
def ingest(
    start: Annotated[
        str | None,
        typer.Option("--from", help="Read the archives from this time (UTC) on; without it, the inbox only."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="… until this time; default: now.")] = None,
) -> None:
    """Bring facts from sources and the inbox into the store.

    The features derived from them are published too.
    """
    written = _flow("ingest").run(_root(), start=_time(start, "--from"), until=_time(until, "--until"))
    _table("rows ingested", ["group", "rows"], [(name, f"{count:,}") for name, count in written.items()])


@app.command()
def explore(pipeline: Pipeline, environment: Environment = "production") -> None:
    """Analyse a pipeline's data; ends in a verdict."""
    found = _flow("explore").run(_root(), pipeline, environment)
    print(f"{found.verdict}: {found.sentence}")


@app.command()
def integrate(pipeline: Annotated[str, typer.Argument(help="A name in flows/pipelines/, or a folder's path.")]) -> None:
    """The gate: prove, train, build and publish a pipeline.

    Or it is refused, with what to do.
    """
    package = _flow("integrate").run(_root(), pipeline)
    print(f"{package.pipeline} {package.version} {package.digest}")


@app.command()
def deliver(
    pipeline: Pipeline,
    version: Annotated[str, typer.Option(help="Default: the newest package.")] = "",
    approve: Annotated[bool, typer.Option("--approve", help="Your word that it may go to production.")] = False,
    reason: Reason = "",
) -> None:
    """Take a package to test, try it there, then to production.

    It is tried against its applications' contract over HTTP; production wants somebody's approval.
    """
    found = _flow("deliver").run(_root(), pipeline, version, approve=approve, reason=reason)
    print(f"{found.pipeline} {found.version}: {found.state}. {found.sentence}")


@app.command()
def train(
    pipeline: Pipeline,
    environment: Environment = "production",
    due: Annotated[str | None, typer.Option(help="The due to work for; without it, one is opened by hand.")] = None,
    reason: Reason = "",
) -> None:
    """Retrain the delivered package; champion against challenger."""
    found = _flow("train").run(_root(), pipeline, environment, due=due, reason=reason)
    print(f"{found.outcome}: {found.sentence}")


@app.command()
def monitor(pipeline: Pipeline, environment: Environment = "production") -> None:
    """Judge drift and performance; a retraining may become due."""
    flow = _flow("monitor")
    print(flow.verdict(flow.run(_root(), pipeline, environment).body))


@app.command()
def report(
    pipeline: Pipeline,
    environment: Environment = "production",
    out: Annotated[Path | None, typer.Option(help="Also write the HTML here.")] = None,
) -> None:
    """Draw Evidently's report of the window judged last."""
    drawn = _flow("report").run(_root(), pipeline, environment)
    if out is not None:
        out.write_bytes(_module("store.blobs").get(_root(), drawn.report))
    print(drawn.report)


@app.command()
def collect(pipeline: Pipeline, environment: Environment = "production") -> None:
    """Bring predictions and outcomes into the store.

    From the service's spool, exactly once; what users did comes back as feature rows.
    """
    found = _flow("collect").run(_root(), pipeline, environment)
    print(f"{found.predictions} predictions, {found.outcomes} outcomes, {sum(found.derived.values())} feature rows")


@app.command()
def serve(
    pipeline: Pipeline,
    environment: Environment = "production",
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0: a free one.")] = 8000,
) -> None:
    """Serve a pipeline over HTTP. Ctrl-C ends it.

    It follows champion and package as they move. /docs says how to ask it.
    """
    _flow("serving.supervisor").serve(_root(), pipeline, environment, port=port)


@app.command()
def console(port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8501) -> None:
    """Open the ops console for the browser. Ctrl-C ends it."""
    server = _module("console.server")
    os.environ["ASSAY_ROOT"] = str(_root().path)
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
    _module("console.demo.prepare").start(root, ports, once=once, weeks=weeks)


@app.command("packages")
def list_packages(pipeline: Annotated[str, typer.Argument()] = "") -> None:
    """The package store."""
    aliases = _module("store.registry.aliases")
    packages = _module("store.registry.packages")
    root = _root()
    rows = []
    for found in packages.listed(root, pipeline):
        where = [
            env
            for env in ("test", "production")
            if aliases.current(root, found.pipeline, env, aliases.DEPLOYED) == found.digest
        ]
        rows.append(
            (
                found.pipeline,
                found.version,
                found.digest[:8],
                clock.printed(found.published_at),
                f"{found.body.metric} {found.body.value:.4f}",
                ", ".join(where),
                found.actor,
            )
        )
    _table("packages", ["pipeline", "version", "digest", "published", "at the gate", "runs in", "by"], rows)


@app.command("models")
def list_models(
    pipeline: Annotated[str, typer.Argument()] = "",
    environment: Annotated[str, typer.Option("--environment", "-e")] = "",
) -> None:
    """The model registry."""
    aliases = _module("store.registry.aliases")
    models = _module("store.registry.models")
    root = _root()
    rows = []
    for found in models.listed(root, pipeline, environment):
        champion = aliases.current(root, found.pipeline, found.environment, aliases.CHAMPION) == found.digest
        value = f"{found.body.metric} {found.body.value:.4f} ({found.body.low:.4f} … {found.body.high:.4f})"
        rows.append(
            (
                found.pipeline,
                found.environment,
                found.version,
                "champion" if champion else "",
                value,
                found.body.train_end[:10],
                found.body.package[:8],
                found.body.snapshot[:8],
            )
        )
    _table(
        "models",
        ["pipeline", "environment", "version", "alias", "on its test rows", "has seen until", "package", "snapshot"],
        rows,
    )


@app.command("dues")
def list_dues(pipeline: Annotated[str, typer.Argument()] = "") -> None:
    """Retrainings: why they were due, who took them, how they ended."""
    dues = _module("store.registry.dues")
    rows = [
        (
            due.id[:8],
            due.pipeline,
            due.environment,
            clock.printed(due.opened.store_time),
            ", ".join(due.opened.body.kinds),
            due.state,
            due.claimed.body.by if due.claimed else "",
            due.closed.body.outcome if due.closed else "",
        )
        for due in dues.listed(_root(), pipeline)
    ]
    _table("dues", ["due", "pipeline", "environment", "opened", "reasons", "state", "taken by", "outcome"], rows)


@app.command()
def promote(
    pipeline: Pipeline,
    model: Annotated[str, typer.Argument(help="Version or digest.")],
    environment: Environment = "production",
    reason: Reason = "",
) -> None:
    """Make a model the champion by hand."""
    models = _module("store.registry.models")
    root = _root()
    found, champion = models.get(root, pipeline, environment, model), models.champion(root, pipeline, environment)
    row = models.promote(
        root, found, expected=champion.digest if champion else None, actor=_actor(), now=clock.now(root), reason=reason
    )
    print(f"{pipeline} in {environment}: champion is {found.version} (ledger row {row.seq}).")


@app.command()
def rollback(
    pipeline: Pipeline,
    what: Annotated[str, typer.Argument(help="package or model.")],
    environment: Environment = "production",
    reason: Reason = "",
) -> None:
    """Put back what stood before: one ledger row, no redeployment."""
    aliases = _module("store.registry.aliases")
    root = _root()
    alias = {"package": aliases.DEPLOYED, "model": aliases.CHAMPION}.get(what)
    if alias is None:
        raise InvalidInput(f"A {what!r} cannot be rolled back.", "Give package or model.")
    row = aliases.roll_back(root, pipeline, environment, alias, actor=_actor(), now=clock.now(root), reason=reason)
    print(f"{pipeline} in {environment}: {alias} is {row.body.label} again (ledger row {row.seq}).")


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One statement; without it, the views are listed.")] = "",
) -> None:
    """DuckDB over everything the root remembers."""
    found = _module("store.sql")
    if not statement:
        print("\n".join(found.views(found.connect(_root()))))
        return
    answer = found.ask(_root(), statement)
    _table("rows", list(answer.columns), answer.rows())


@ledger_app.callback()
def show_ledger(
    context: typer.Context, last: Annotated[int, typer.Option(help="How many rows, the newest.")] = 20
) -> None:
    """The newest rows."""
    if context.invoked_subcommand is not None:
        return
    rows = [
        (
            row.seq,
            clock.printed(row.store_time),
            row.actor,
            row.action,
            row.subject,
            row.environment,
            row.digest[:8],
            row.reason[:60],
        )
        for row in _module("store.ledger").rows(_root())[-last:]
    ]
    _table("ledger rows", ["seq", "store time", "actor", "action", "subject", "environment", "digest", "reason"], rows)


@ledger_app.command()
def verify() -> None:
    """Check every row's number, hash and place in the chain."""
    ledger = _module("store.ledger")
    print(f"{ledger.verify(_root())} rows, all in their chain.")


def _actor() -> str:
    actor: str = _flow("orchestration").actor()
    return actor


if __name__ == "__main__":
    main()
