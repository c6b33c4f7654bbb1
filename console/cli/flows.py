"""Verbs that run a flow, in this process: as a run of Prefect's where PREFECT_API_URL is set, and as a plain call where it is not.

Both ways write the same rows to the ledger. On a schedule, by an automation or a button, the same flows run as deployments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from console.cli import modules
from console.cli.output import DryRun, Environment, Format, Output, Pipeline, Reason, drafted, one, rows, time
from store.errors import Unreachable
from store.layout import Root

app = typer.Typer()


def ran(name: str, **parameters: Any) -> Any:
    """What a flow returns. Unreachable when PREFECT_API_URL is set and nobody answers there: nothing was begun."""
    flow = getattr(modules.flow(name), name)
    url = modules.prefect_url()
    if not url:
        return flow.fn(**parameters)
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise Unreachable(
            f"{name} should run on Prefect, which does not answer ({type(error).__name__}).",
            f"PREFECT_API_URL is {url}.",
            "Start it (`prefect server start`, `assay up`), or unset PREFECT_API_URL to run without it.",
        ) from None
    return flow(**parameters)


@app.command()
def ingest(
    start: Annotated[
        str | None,
        typer.Option("--from", help="Read the archives from this time (UTC) on; without it, the inbox only."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="… until this time; default: now.")] = None,
    output: Output = Format.TEXT,
) -> None:
    """Bring facts from sources and the inbox into the store.

    The features derived from them are published too.
    """
    written = ran("ingest", start=time(start, "--from"), until=time(until, "--until"))
    rows("rows ingested", ({"group": name, "rows": count} for name, count in written.items()), output)


@app.command()
def explore(pipeline: Pipeline, environment: Environment = "production", output: Output = Format.TEXT) -> None:
    """Analyse a pipeline's data; ends in a verdict."""
    found = ran("explore", pipeline=pipeline, environment=environment)
    one(found, output, f"{found['verdict']}: {found['sentence']}")


@app.command()
def integrate(
    pipeline: Annotated[str, typer.Argument(help="A name in flows/pipelines/, or a folder's path.")],
    output: Output = Format.TEXT,
) -> None:
    """The gate: prove, train, build and publish a pipeline.

    Or it is refused, with what to do.
    """
    found = ran("integrate", pipeline=pipeline)
    one(found, output, " ".join(found.values()))


@app.command()
def deliver(
    pipeline: Pipeline,
    version: Annotated[str, typer.Option(help="Default: the newest package.")] = "",
    approve: Annotated[bool, typer.Option("--approve", help="Your word that it may go to production.")] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    output: Output = Format.TEXT,
) -> None:
    """Take a package to test, try it there, then to production.

    It is tried against its applications' contract over HTTP; production wants somebody's approval.
    """
    if dry_run:
        would = modules.flow("deliver").would(Root.open(), pipeline, version, reason=reason)
        rows("rows it would write", would, output, digests=("digest",))
        return
    found = ran("deliver", pipeline=pipeline, version=version, approve=approve, reason=reason)
    one(found, output, f"{found['pipeline']} {found['version']}: {found['state']}. {found['sentence']}")


@app.command()
def train(
    pipeline: Pipeline,
    environment: Environment = "production",
    due: Annotated[str | None, typer.Option(help="The due to work for; without it, one is opened by hand.")] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    output: Output = Format.TEXT,
) -> None:
    """Retrain the delivered package; champion against challenger.

    A dry run prints the first row; who would serve is known only after a training.
    """
    if dry_run:
        one(drafted(modules.flow("train").would(Root.open(), pipeline, environment, due=due, reason=reason)), output)
        return
    found = ran("train", pipeline=pipeline, environment=environment, due=due, reason=reason)
    one(found, output, f"{found['outcome']}: {found['sentence']}")


@app.command()
def monitor(pipeline: Pipeline, environment: Environment = "production", output: Output = Format.TEXT) -> None:
    """Judge drift and performance; a retraining may become due."""
    found = ran("monitor", pipeline=pipeline, environment=environment)[pipeline]
    one(found, output, found["verdict"])


@app.command()
def report(
    pipeline: Pipeline,
    environment: Environment = "production",
    out: Annotated[Path | None, typer.Option(help="Also write the HTML here.")] = None,
    output: Output = Format.TEXT,
) -> None:
    """Draw Evidently's report of the window judged last."""
    drawn = ran("report", pipeline=pipeline, environment=environment)
    if out is not None:
        out.write_bytes(modules.load("store.blobs").get(Root.open(), drawn["report"]))
    one(drawn, output, drawn["report"])


@app.command()
def collect(pipeline: Pipeline, environment: Environment = "production", output: Output = Format.TEXT) -> None:
    """Bring predictions and outcomes into the store.

    From the service's spool, exactly once; what users did comes back as feature rows.
    """
    found = ran("collect", pipeline=pipeline, environment=environment)[pipeline]
    rows_derived = sum(found["derived"].values())
    counted = f"{found['predictions']:,} predictions, {found['outcomes']:,} outcomes, {rows_derived:,} feature rows"
    one(found, output, counted)


@app.command()
def score(
    pipeline: Pipeline,
    environment: Environment = "production",
    model: Annotated[str, typer.Option(help="Alias, version or digest; default: the champion.")] = "",
    start: Annotated[str | None, typer.Option("--from", help="Questions from this time (UTC) on.")] = None,
    until: Annotated[str | None, typer.Option(help="… until this time; default: now.")] = None,
    out: Annotated[Path | None, typer.Option(help="The parquet file; default: under the root.")] = None,
    output: Output = Format.TEXT,
) -> None:
    """Score a window of questions in one go, to the store and to a file."""
    window = {"start": time(start, "--from"), "end": time(until, "--until")}
    where = str(out.resolve()) if out else ""
    found = ran("score", pipeline=pipeline, environment=environment, model=model, out=where, **window)
    one(found, output, found["sentence"])


@app.command()
def maintain(
    grace_days: Annotated[float, typer.Option(help="What is younger than this is left alone.")] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Compact tables, and remove what nothing reaches."""
    found = ran("maintain", grace_days=grace_days, dry_run=dry_run)
    one(found, output, found["sentence"])


@app.command()
def serve(
    pipeline: Pipeline,
    environment: Environment = "production",
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0: a free one.")] = 8000,
) -> None:
    """Serve a pipeline over HTTP. Ctrl-C ends it.

    It follows champion and package as they move. /docs says how to ask it.
    """
    modules.flow("serving.supervisor").serve(Root.open(), pipeline, environment, port=port)
