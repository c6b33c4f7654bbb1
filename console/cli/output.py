"""What verbs print: data on standard output, as a table for people or as JSON for programs; all else goes to standard error."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from store import clock
from store.errors import InvalidInput
from store.layout import Root
from store.ledger import Row

err = Console(stderr=True, highlight=False)
SHORT = 8
"""So many characters of a digest are shown to people; JSON has them whole."""


class Format(enum.StrEnum):
    """How data is printed."""

    TEXT, JSON = "text", "json"


Output = Annotated[Format, typer.Option("--output", "-o", help="How data is printed.")]
Environment = Annotated[str, typer.Option("--environment", "-e", help="test or production.")]
Pipeline = Annotated[str, typer.Argument(help="The pipeline's name.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it stands in the ledger.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the ledger row it would write, and write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def rows(title: str, found: Iterable[Mapping[str, Any]], output: Format, digests: Iterable[str] = ()) -> None:
    """A list of things alike. ``digests``: the columns that people see shortened."""
    found = [dict(one) for one in found]
    if output is Format.JSON:
        print(_json(found))
    elif not found:
        err.print(f"No {title} yet in {Root.open().path}.")
    else:
        table = Table(*found[0], title=title, title_justify="left", box=None, pad_edge=False)
        for one in found:
            table.add_row(*(_told(value, short=name in digests) for name, value in one.items()))
        wide = None if sys.stdout.isatty() else 240  # what is piped is not cut to a screen that is not there
        Console(highlight=False, width=wide).print(table)


def one(found: Mapping[str, Any], output: Format, sentence: str = "") -> None:
    """One thing: its sentence, or its fields a line each, or, as JSON, the fields."""
    if output is Format.JSON:
        print(_json(found))
    elif sentence:
        print(sentence)
    else:
        wide = max(map(len, found))
        for name, value in found.items():
            lines = value if isinstance(value, list) else [value]
            for number, line in enumerate(lines or [None]):
                print(f"{'' if number else name:{wide}}  {_told(line)}".rstrip())


def drafted(row: Row) -> dict[str, Any]:
    """A row as it stands, or would stand, in the ledger."""
    fields = {
        name: getattr(row, name)
        for name in ("seq", "store_time", "actor", "action", "subject", "environment", "digest")
    }
    return fields | asdict(row.body) | {"reason": row.reason}


def time(text: str | None, option: str) -> datetime | None:
    """A time given on the command line; one without a zone is UTC."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{option} {text!r} is no time.",
            "Times are ISO 8601, such as 2013-04-01 or 2013-04-01T06:00+00:00.",
            "Write it so.",
        ) from None
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def confirm(question: str, *, yes: bool) -> None:
    """Ask once before something moves. InvalidInput where nobody can answer and ``--yes`` was not given; Abort on no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} Nobody can answer here.", "Nothing was moved.", "Say --yes, or try --dry-run.")
    typer.confirm(question, abort=True, err=True)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.utc(value).isoformat()
    raise TypeError(f"{type(value).__name__} cannot be said in JSON")


def _told(value: Any, *, short: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return clock.printed(value)
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(part)}" for name, part in value.items())
    return str(value)[:SHORT] if short else str(value)
