"""Verbs that read what the store remembers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from console.cli import modules
from console.cli.output import Environment, Format, Output, Pipeline, one, rows, time
from store import clock
from store.layout import Root

app = typer.Typer()
ledger = typer.Typer(help="The record of every publication, decision and move.", invoke_without_command=True)
Which = Annotated[str, typer.Argument(help="Only of this pipeline.")]


@app.command()
def packages(pipeline: Which = "", output: Output = Format.TEXT) -> None:
    """The package store."""
    aliases, store, root = modules.load("store.registry.aliases"), modules.load("store.registry.packages"), Root.open()

    def line(found: Any) -> dict[str, Any]:
        where = [
            environment
            for environment in ("test", "production")
            if aliases.current(root, found.pipeline, environment, aliases.DEPLOYED) == found.digest
        ]
        return {
            "pipeline": found.pipeline, "version": found.version, "digest": found.digest, "published": found.published_at,
            "metric": found.body.metric, "at the gate": found.body.value, "runs in": where, "by": found.actor,
        }  # fmt: skip

    rows("packages", map(line, store.listed(root, pipeline)), output, digests=("digest",))


@app.command()
def models(
    pipeline: Which = "",
    environment: Annotated[str, typer.Option("--environment", "-e", help="Only in this one.")] = "",
    output: Output = Format.TEXT,
) -> None:
    """The model registry."""
    aliases, store, root = modules.load("store.registry.aliases"), modules.load("store.registry.models"), Root.open()

    def line(found: Any) -> dict[str, Any]:
        body = found.body
        serves = aliases.current(root, found.pipeline, found.environment, aliases.CHAMPION) == found.digest
        return {
            "pipeline": found.pipeline, "environment": found.environment, "version": found.version, "digest": found.digest,
            "alias": "champion" if serves else "", "metric": body.metric, "on its test rows": body.value, "low": body.low,
            "high": body.high, "has seen until": body.train_end[:10], "package": body.package, "snapshot": body.snapshot,
        }  # fmt: skip

    found = map(line, store.listed(root, pipeline, environment))
    rows("models", found, output, digests=("digest", "package", "snapshot"))


@app.command()
def dues(pipeline: Which = "", output: Output = Format.TEXT) -> None:
    """Retrainings: why they were due, who took them, how they ended."""

    def line(due: Any) -> dict[str, Any]:
        return {
            "due": due.id, "pipeline": due.pipeline, "environment": due.environment, "opened": due.opened.store_time,
            "reasons": due.opened.body.kinds, "state": due.state, "taken by": due.claimed.body.by if due.claimed else None,
            "outcome": due.closed.body.outcome if due.closed else None,
        }  # fmt: skip

    rows("dues", map(line, modules.load("store.registry.dues").listed(Root.open(), pipeline)), output, digests=("due",))


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One statement; without it, the views are listed.")] = "",
    output: Output = Format.TEXT,
) -> None:
    """DuckDB over everything the root remembers."""
    found, root = modules.load("store.sql"), Root.open()
    if not statement:
        rows("views", ({"view": name} for name in found.views(found.connect(root))), output)
        return
    answer = found.ask(root, statement)
    if output is Format.JSON:
        print(answer.write_json())
    else:
        rows("rows", answer.iter_rows(named=True), output)


@app.command()
def why(
    model: Annotated[str, typer.Argument(help="A model's version or digest.")], output: Output = Format.TEXT
) -> None:
    """Where a model comes from, and why it serves or not."""
    one(modules.load("console.lineage").model(Root.open(), model), output)


@app.command()
def history(
    pipeline: Pipeline,
    at: Annotated[
        str | None, typer.Option(help="Only what served at this time (UTC), with its package and data.")
    ] = None,
    environment: Environment = "production",
    output: Output = Format.TEXT,
) -> None:
    """Which model served when.

    With --at a time: the model, its package and its data.
    """
    lineage, root = modules.load("console.lineage"), Root.open()
    instant = time(at, "--at")
    if instant is None:
        rows("reigns", lineage.reigns(root, pipeline, environment), output, digests=("digest", "package"))
    else:
        one(lineage.serving(root, pipeline, environment, instant), output)


@app.command()
def status(environment: Environment = "production", output: Output = Format.TEXT) -> None:
    """Every pipeline: what runs, how it does, what it needs."""
    views, sentences, root = modules.load("console.views"), modules.load("console.pages.parts.sentences"), Root.open()
    now: datetime = clock.now(root)

    def line(card: Any) -> dict[str, Any]:
        return {
            "pipeline": card.pipeline, "level": card.level, "package": card.package.version if card.package else None,
            "champion": card.champion.version if card.champion else None, "since": card.champion_since,
            "due": card.due.id if card.due else None, "verdict": sentences.verdict(card), "needs": sentences.need(card, now),
        }  # fmt: skip

    rows("pipelines", map(line, views.cards(root, environment, now)), output, digests=("due",))


@ledger.callback()
def show(
    context: typer.Context,
    last: Annotated[int, typer.Option(help="How many rows, the newest.")] = 20,
    output: Output = Format.TEXT,
) -> None:
    """The newest rows."""
    if context.invoked_subcommand is not None:
        return
    names = ("seq", "store_time", "actor", "action", "subject", "environment", "digest", "reason")
    found = [
        {name: getattr(row, name) for name in names} for row in modules.load("store.ledger").rows(Root.open())[-last:]
    ]
    if output is Format.TEXT:
        found = [row | {"reason": row["reason"][:60]} for row in found]
    rows("ledger rows", found, output, digests=("digest",))


@ledger.command()
def verify(output: Output = Format.TEXT) -> None:
    """Check every row's number, hash and place in the chain."""
    count = modules.load("store.ledger").verify(Root.open())
    one({"rows": count, "whole": True}, output, f"{count} rows, all in their chain.")


@ledger.command("row")
def ledger_row(seq: Annotated[int, typer.Argument(help="Its number.")], output: Output = Format.TEXT) -> None:
    """One row, whole."""
    row = modules.load("store.ledger").one(Root.open(), seq)
    names = (
        "seq",
        "recorded_at",
        "store_time",
        "actor",
        "action",
        "subject",
        "environment",
        "digest",
        "reason",
        "request",
        "hash",
    )
    one({name: getattr(row, name) for name in names} | vars(row.body), output)
