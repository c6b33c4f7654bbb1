"""Certificates side by side: attempts as columns, newest first, checks as rows; what is not as in the attempt before stands out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from console import provings
from console.pages.parts import icons, words
from console.pages.parts.markup import text
from console.provings import Attempt
from store import clock

SAID = {
    "PASS": ("good", "passed"),
    "FAIL": ("alarm", "failed"),
    "VACUOUS": ("alarm", "saw nothing"),
    "N/A": ("none", "does not apply"),
}
"""A verdict's shape and word. A check that only warns has the shape of what asks for a look."""


IDLE = {"does not apply": "do not apply", "not planted": "not planted"}


class Cell(NamedTuple):
    """A cell's markup, what hovering tells, whether it is not as in the attempt before, and what it was then (text)."""

    markup: str
    hover: str = ""
    changed: bool = False
    was: str = ""


NOTHING, UNBOUND = Cell("–"), Cell("–", "Only a certificate is bound to it; what was refused has none.")
Fact = Callable[[Attempt, Sequence[Attempt]], Cell]
"""A cell of an attempt, against those before it that have evidence, newest first."""


def table(shown: Sequence[Attempt], deployed: str | None, environment: str) -> str:
    """The table. ``deployed``: the digest of the package that runs in ``environment``."""
    head = "".join(_head(one, deployed, environment) for one in shown)
    facts: list[tuple[str, Fact]] = [
        ("Data", _data), ("Planted faults", _faults), ("Took", _took), ("Runtime", _runtime), ("Source of the checks", _sources),
    ]  # fmt: skip
    rows = [_row(text(name), shown, fact) for name, fact in facts]
    rows += [_row(_name(code, title), shown, _finding(code)) for code, title in provings.codes(shown).items()]
    whole = f'<table class="a-sides"><thead><tr><th scope="col"></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="a-scroll" tabindex="0" role="region" aria-label="Certificates side by side">{whole}</div>'


def said(found: Mapping[str, Any]) -> str:
    """A verdict in shape and word."""
    level, word = SAID[found["verdict"]]
    warns = found["severity"] != "blocks" and level == "alarm"
    return icons.badge("watch" if warns else level, f"{word}, only warns" if warns else word)


def numbers(found: Mapping[str, Any]) -> str:
    """Everything a check or fault counted: ``cutoffs 3, rows before 13,593``."""
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in found["numbers"].items())


def number(value: float) -> str:
    """``113,187``, ``0.0786``: whole numbers whole, others to three digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def _head(one: Attempt, deployed: str | None, environment: str) -> str:
    runs = one.package is not None and one.package.digest == deployed
    level, word = (
        ("busy", f"in {environment}") if runs else ("good", "published") if one.package else ("alarm", "refused")
    )
    lacks = "" if one.digest else "<small>no certificate</small>"
    unread = f'<small title="{text(one.unread)}">unreadable</small>' if one.unread else ""
    when = f"<small>{text(clock.printed(one.at))}</small>"
    return f'<th scope="col"><b>{text(one.version)}</b>{icons.badge(level, word)}{when}{lacks}{unread}</th>'


def _name(code: str, title: str) -> str:
    return f'<span title="{text(provings.promise(code))}">{text(code)} {text(title)}</span>'


def _row(name: str, shown: Sequence[Attempt], fact: Fact) -> str:
    cells = []
    for place, one in enumerate(shown):
        older = [before for before in shown[place + 1 :] if before.evidence]
        cells.append(_cell(fact(one, older) if one.evidence else NOTHING))
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _cell(found: Cell) -> str:
    changed, title = (
        ' class="a-changed"' if found.changed else "",
        f' title="{text(found.hover)}"' if found.hover else "",
    )
    was = f'<small class="a-was">was: {text(found.was)}</small>' if found.was else ""
    return f"<td{changed}{title}>{found.markup}{was}</td>"


def _finding(code: str) -> Fact:
    def cell(one: Attempt, older: Sequence[Attempt]) -> Cell:
        found, theirs = one.checks.get(code), older[0].checks.get(code) if older else None
        was = SAID[theirs["verdict"]][1] if theirs else "not there"
        if found is None:
            return Cell("–", "There was no such check.", theirs is not None, was if theirs else "")
        changed = bool(older) and (theirs is None or theirs["verdict"] != found["verdict"])
        seen = f"control {number(found['control'])}" if found["verdict"] == provings.PASS else found["sentence"]
        hover = f"{found['sentence']} Control {number(found['control'])}; {numbers(found)}; {found['seconds']:.1f} s."
        return Cell(f'{said(found)}<small class="a-why">{text(seen)}</small>', hover, changed, was if changed else "")

    return cell


def _data(one: Attempt, _: Sequence[Attempt]) -> Cell:
    """Never marked as changed: each proving has the newest slice, so it moves on with every one."""
    return Cell(f"{text(words.count(one.data['rows'], 'row'))}<small>{text(words.span(*one.window))}</small>")


def _faults(one: Attempt, older: Sequence[Attempt]) -> Cell:
    mine, was = _killed(one), _killed(older[0]) if older else ""
    fates = Counter(provings.fate(one, fault) for fault in one.faults)
    idle = ", ".join(f"{fates[name]} {told}" for name, told in IDLE.items() if fates[name])
    alive = icons.badge("alarm", f"{len(one.survived)} survived") if one.survived else ""
    changed = bool(older) and mine != was
    return Cell(
        f"{text(mine)}{f'<small>{text(idle)}</small>' if idle else ''}{alive}", "", changed, was if changed else ""
    )


def _killed(one: Attempt) -> str:
    return f"{one.killed} of {one.planted} killed"


def _took(one: Attempt, _: Sequence[Attempt]) -> Cell:
    return Cell(text(words.seconds(one.evidence["seconds"])))


def _runtime(one: Attempt, older: Sequence[Attempt]) -> Cell:
    known = [
        {"Python": held["python"], **held["packages"]}
        for each in (one, *older)
        if (held := each.evidence.get("runtime"))
    ]
    if "runtime" not in one.evidence:
        return UNBOUND
    return _bound(f"Python {known[0]['Python']}", known, "package")


def _sources(one: Attempt, older: Sequence[Attempt]) -> Cell:
    known = [held for each in (one, *older) if (held := each.evidence.get("sources"))]
    if "sources" not in one.evidence:
        return UNBOUND
    return _bound(words.count(len(known[0]), "file"), known, "file")


def _bound(said: str, known: Sequence[Mapping[str, str]], noun: str) -> Cell:
    """What a certificate is bound to, against the certificate before it. ``known``: both of them (or more), newest first."""
    moved = provings.moved(*known[:2]) if len(known) > 1 else []
    told = "as certified before" if not moved else f"{words.count(len(moved), noun)} changed"
    below = f"<small>{told}</small>" if len(known) > 1 else ""
    return Cell(f"{text(said)}{below}", words.listed(moved, 12), bool(moved))
