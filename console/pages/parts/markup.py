"""Pieces of HTML that pages are put together from. Arguments called ``inner`` or ``main`` are markup; all others are escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from console.pages.parts import icons

_TIME = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d UTC)?")


def text(said: str) -> str:
    """Text as it is, safe within markup."""
    return html.escape(said)


def sentence(said: str) -> str:
    """Text whose times are not broken over two lines."""
    return _TIME.sub(r'<span class="a-time">\g<0></span>', html.escape(said))


def identifier(digest: str) -> str:
    """An id by its first eight characters; one click selects the whole."""
    return f'<code class="a-id" title="{html.escape(digest)}">{html.escape(digest)}</code>'


def verdict(question: str, level: str, word: str, answer: str, beside: str) -> str:
    """The page's question small, the status in shape and word, the answer large, and what it stands on."""
    aside = f'<p class="a-beside">{text(beside)}</p>' if beside else ""
    asked = f'<p class="a-question">{text(question)} {icons.badge(level, word)}</p>'
    return f'<div class="a-verdict">{asked}<h1>{sentence(answer)}</h1>{aside}</div>'


def notice(level: str, title: str, why: str) -> str:
    """A gap or a server out of reach: shape, what, why."""
    said = f"<div><h3>{text(title)}</h3><p>{text(why)}</p></div>"
    return f'<div class="a-gap a-{level}">{icons.svg(level)}{said}</div>'


def items(lines: Iterable[tuple[str, str, str]]) -> str:
    """A list of events: what (markup), who or how long ago, and when (both text)."""
    shown = "".join(
        f'<li><span class="a-what">{what}</span><small class="a-who">{text(who)}</small>'
        f"{f'<small>{text(when)}</small>' if when else ''}</li>"
        for what, who, when in lines
    )
    return f'<ul class="a-events">{shown}</ul>'


def facts(shown: Iterable[tuple[str, str, str]]) -> str:
    """Facts side by side: name (text), value and what belongs to it (markup)."""
    cells = (
        f"<div><dt>{text(name)}</dt><dd><b>{main}</b><small>{rest}</small></dd></div>" for name, main, rest in shown
    )
    return f'<dl class="a-facts">{"".join(cells)}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are markup. On a phone each row is a block."""
    names = "".join(f"<th>{text(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="a-table"><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>'


def bullets(lines: Iterable[str], kind: str = "ul") -> str:
    """A plain list of sentences (text)."""
    return f'<{kind} class="a-writes">{"".join(f"<li>{text(line)}</li>" for line in lines)}</{kind}>'
