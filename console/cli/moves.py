"""Verbs that move an alias by hand: what they would write can be seen before, and they ask once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from console.cli import modules
from console.cli.output import DryRun, Environment, Format, Output, Pipeline, Reason, Yes, confirm, drafted, one
from store import clock
from store.errors import InvalidInput, NotFound
from store.layout import Root
from store.ledger import Row

app = typer.Typer()


@app.command()
def promote(
    pipeline: Pipeline,
    model: Annotated[str, typer.Argument(help="Version or digest.")],
    environment: Environment = "production",
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = Format.TEXT,
) -> None:
    """Make a model the champion by hand."""
    models, root = modules.load("store.registry.models"), Root.open()
    found, champion = models.get(root, pipeline, environment, model), models.champion(root, pipeline, environment)
    if champion is not None and champion.digest == found.digest:
        raise InvalidInput(
            f"{found.version} is the champion of {pipeline} in {environment} already.", remedy="Nothing to do."
        )
    asked: dict[str, Any] = {
        "expected": champion.digest if champion else None, "actor": modules.actor(), "now": clock.now(root), "reason": reason,
    }  # fmt: skip
    question = f"Make {found.version} the champion of {pipeline} in {environment}?"
    row = made(partial(models.promote, root, found, **asked), lambda _: question, dry_run=dry_run, yes=yes)
    done = f"{pipeline} in {environment}: champion is {found.version} (ledger row {row.seq})."
    one(drafted(row), output, "" if dry_run else done)


@app.command()
def rollback(
    pipeline: Pipeline,
    what: Annotated[str, typer.Argument(help="package or model.")],
    environment: Environment = "production",
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = Format.TEXT,
) -> None:
    """Put back what stood before: one ledger row, no redeployment."""
    aliases, root = modules.load("store.registry.aliases"), Root.open()
    alias = {"package": aliases.DEPLOYED, "model": aliases.CHAMPION}.get(what)
    if alias is None:
        raise NotFound.among("thing to roll back", what, ("package", "model"))
    standing = aliases.current(root, pipeline, environment, alias)
    asked: dict[str, Any] = {
        "expected": standing, "actor": modules.actor(), "now": clock.now(root), "reason": reason,
    }  # fmt: skip
    row = made(
        partial(aliases.roll_back, root, pipeline, environment, alias, **asked),
        lambda would: f"Put {alias} of {pipeline} in {environment} back to {would.body.label}?",
        dry_run=dry_run,
        yes=yes,
    )
    done = f"{pipeline} in {environment}: {alias} is {row.body.label} again (ledger row {row.seq})."
    one(drafted(row), output, "" if dry_run else done)


def made(move: Callable[..., Row], question: Callable[[Row], str], *, dry_run: bool, yes: bool) -> Row:
    """The row a move would write, and, unless that is all that was asked, the row it wrote after somebody said yes."""
    would = move(dry_run=True)
    if dry_run:
        return would
    confirm(question(would), yes=yes)
    return move()
