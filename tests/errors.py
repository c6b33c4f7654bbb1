"""Every error a person can meet: listed from the source, and whether a run of the tests triggered it.

An error is a place in ``store``, ``flows`` or ``console`` that makes one of the classes below. ``python -m tests.errors`` writes the list
to ``docs/errors.md``, where it is read; ``watch`` notes the places that are reached while tests run.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from starlette.exceptions import HTTPException

from flows.serving.schema import Rejected
from store.errors import AssayError

HERE = Path(__file__).parents[1]
PAGE = HERE / "docs" / "errors.md"
PACKAGES = ("store", "flows", "console")
ENDS = {
    "InvalidInput": "2 usage", "NotFound": "2 usage", "Conflict": "2 usage", "Refused": "3 refused", "GateFailed": "1 a gate said no",
    "Unreachable": "4 out of reach", "Rejected": "HTTP 400, 413 or 422", "HTTPException": "HTTP, as said",
}  # fmt: skip
"""The classes a person meets by name, with what a command or a request ends with."""


@dataclass(frozen=True)
class Place:
    """One call that makes an error: ``file`` from the repository's root, first and last line, its sentences as templates.

    ``remedy``: whether it says what to do.
    """

    file: str
    first: int
    last: int
    kind: str
    sentences: tuple[str, ...]
    remedy: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.first}: {self.kind}: {self.sentences[0] if self.sentences else ''}"


def listed() -> list[Place]:
    """Every place of the source, in the order of files and lines."""
    found: list[Place] = []
    for package in PACKAGES:
        for path in sorted((HERE / package).rglob("*.py")):
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            file = path.relative_to(HERE).as_posix()
            found += [
                Place(
                    file,
                    call.lineno,
                    call.end_lineno or call.lineno,
                    kind,
                    tuple(map(_template, _arguments(call))),
                    _remedy(call),
                )
                for call in sorted(calls, key=lambda call: call.lineno)
                if (kind := _kind(call)) is not None
            ]
    return found


def _kind(call: ast.Call) -> str | None:
    """The class a call makes, also through ``NotFound.among``; None when it makes no error."""
    made = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == "among" else call.func
    return made.id if isinstance(made, ast.Name) and made.id in ENDS else None


def _remedy(call: ast.Call) -> bool:
    """Whether its third sentence is there; ``NotFound.among`` lists the known names, and an error copied from another has its sentences."""
    among = isinstance(call.func, ast.Attribute)
    return among or len(call.args) > 2 or any(keyword.arg == "remedy" for keyword in call.keywords)


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _template(sentence: ast.expr) -> str:
    """A sentence as it stands in the source: text as it is, what is filled in between braces."""
    if isinstance(sentence, ast.Constant):
        return str(sentence.value)
    if isinstance(sentence, ast.JoinedStr):
        return "".join(
            str(part.value)
            if isinstance(part, ast.Constant)
            else "{" + ast.unparse(part.value if isinstance(part, ast.FormattedValue) else part) + "}"
            for part in sentence.values
        )
    return "{" + ast.unparse(sentence) + "}"


def page() -> str:
    """The list as a page: a table for each file."""
    lines = [
        "# Every error a person can meet",
        "",
        "Written by `python -m tests.errors` from the source; `make test` fails where it is out of date, and where a run of all tests",
        "triggers one of them never. Each says what was asked, what exists, what to do; `{…}` is filled in. A `NotFound` of three words",
        "(kind, name, known names) lists the known names and asks for the nearest of them.",
    ]
    file = ""
    for place in listed():
        if place.file != file:
            file = place.file
            lines += ["", f"## {file}", "", "| error | ends with | says |", "|---|---|---|"]
        said = "<br>".join(sentence.replace("|", "\\|").replace("\n", " ") for sentence in place.sentences if sentence)
        lines.append(f"| {place.kind} | {ENDS[place.kind]} | {said} |")
    return "\n".join(lines) + "\n"


def watch(reached: set[tuple[str, int]]) -> None:
    """From now on, note file and line of whoever makes an error in this process."""
    for kind in (AssayError, Rejected, HTTPException):
        kind.__init__ = _noting(kind.__init__, reached)  # type: ignore[method-assign]


def _noting(init: Callable[..., None], reached: set[tuple[str, int]]) -> Callable[..., None]:
    @functools.wraps(init)
    def noted(*args: object, **named: object) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and (frame.f_code.co_name in ("among", "noted") or _its_own(frame, args[0])):
            frame = frame.f_back
        reached.add((frame.f_code.co_filename, frame.f_lineno))
        init(*args, **named)

    return noted


def _its_own(frame: FrameType, error: object) -> bool:
    """Whether the error's own class runs there; a constructor of anything else may well be who makes it."""
    return frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is error


def missed(reached: Iterable[tuple[str, int]]) -> list[Place]:
    """The places that nothing reached."""
    by_file: dict[str, set[int]] = {}
    for file, line in reached:
        path = Path(file)
        if path.is_relative_to(HERE):
            by_file.setdefault(path.relative_to(HERE).as_posix(), set()).add(line)
    return [place for place in listed() if not by_file.get(place.file, set()) & set(range(place.first, place.last + 1))]


if __name__ == "__main__":
    PAGE.write_text(page())
