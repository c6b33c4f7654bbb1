"""The loop drawn from its stations, as inline SVG: a circuit on a wide screen, a line on a phone; CSS shows one of them.

The first six stations run left to right (what is built), the others back right to left (what runs). Two lines close the loop:
what became of predictions returns as features, and what the monitor sees makes a training due.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime

from console.pages.parts import icons, words
from console.pages.parts.loop import Station

WIDTH, HEIGHT, GAP, TOP, BOTTOM = 184, 96, 40, 8, 212
LEGEND = (("alarm", "alarm"), ("watch", "look at it"), ("busy", "working"), ("good", "well"), ("none", "nothing yet"))


def draw(stations: Sequence[Station], now: datetime) -> str:
    """Both pictures, one line of markup."""
    return f'<div class="a-loop">{wide(stations, now)}{narrow(stations, now)}</div>'


def wide(stations: Sequence[Station], now: datetime) -> str:
    """The circuit: six stations above, five below, from the right."""
    places = [(4 + (WIDTH + GAP) * at, TOP) for at in range(6)] + [
        (4 + (WIDTH + GAP) * at, BOTTOM) for at in (5, 4, 3, 2, 1)
    ]
    boxes = [_box(one, *place, now) for one, place in zip(stations, places, strict=True)]
    lines = [_arrow(x + WIDTH, TOP + HEIGHT / 2, x + WIDTH + GAP, TOP + HEIGHT / 2) for x, _ in places[:5]]
    lines += [_arrow(x, BOTTOM + HEIGHT / 2, x - GAP, BOTTOM + HEIGHT / 2) for x, _ in places[6:10]]
    lines.append(_arrow(places[5][0] + WIDTH / 2, TOP + HEIGHT, places[5][0] + WIDTH / 2, BOTTOM))
    middle, collect, features, train, monitor = (
        (TOP + HEIGHT + BOTTOM) / 2,
        *(places[at][0] + WIDTH / 2 for at in (9, 1, 6, 10)),
    )
    back = f"M{collect} {BOTTOM}V{middle + 8}q0 -8 -8 -8H{features + 8}q-8 0 -8 -8V{TOP + HEIGHT + 9}"
    below = BOTTOM + HEIGHT + 22
    again = f"M{monitor} {BOTTOM + HEIGHT}V{below - 8}q0 8 8 8H{train - 8}q8 0 8 -8V{BOTTOM + HEIGHT + 9}"
    lines += [_path(back), _path(again, "a-due")]
    notes = [
        _text((collect + features) / 2, middle - 8, "what became of it returns as features", "a-note", "middle"),
        _text((train + monitor) / 2, below + 18, "a confirmed drift or fall makes a training due", "a-note", "middle"),
    ]
    width, height = 6 * WIDTH + 5 * GAP + 8, below + 26
    body = "".join([_marker("wide"), *lines, *boxes, *notes, _legend(4, BOTTOM + 4)])
    return _svg("a-wide", width, height, stations, now, body)


def narrow(stations: Sequence[Station], now: datetime) -> str:
    """The same, one below the other, with the two lines that close the loop on the right."""
    step, height = 62, 50
    boxes = [_row(one, 8 + at * step, height, now) for at, one in enumerate(stations)]
    lines = [
        _path(f"M160 {8 + at * step + height}V{8 + (at + 1) * step - 1}", marker="narrow")
        for at in range(len(stations) - 1)
    ]

    def middle(at: int) -> float:
        return 8 + at * step + height / 2

    lines.append(_path(f"M318 {middle(9) - 6}H334q8 0 8 -8V{middle(1) + 8}q0 -8 -8 -8H327", marker="narrow"))
    lines.append(_path(f"M318 {middle(10)}H340q12 0 12 -12V{middle(6) + 12}q0 -12 -12 -12H327", "a-due", "narrow"))
    body = "".join([_marker("narrow"), *lines, *boxes])
    return _svg("a-narrow", 360, 8 + step * len(stations), stations, now, body)


def told(stations: Sequence[Station], now: datetime) -> str:
    """The picture in words, for those who do not see it."""
    return "; ".join(f"{one.name}: {_number(one)}, {one.word}, {_age(one, now)}" for one in stations)


def _svg(kind: str, width: float, height: float, stations: Sequence[Station], now: datetime, body: str) -> str:
    label = html.escape(told(stations, now))
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{body}</svg>'


def _box(one: Station, x: float, y: float, now: datetime) -> str:
    number = (
        f'<tspan class="a-number">{one.number:,}</tspan><tspan class="a-noun" dx="6">{html.escape(_noun(one))}</tspan>'
    )
    inside = [
        _shape(one.level, 13, 14, 0.86),
        _text(33, 26, one.name, "a-name"),
        f'<text x="13" y="59">{number}</text>',
        f'<text x="13" y="82">{_state(one, now)}</text>',
    ]
    return _station(one, x, y, WIDTH, HEIGHT, inside)


def _row(one: Station, y: float, height: float, now: datetime) -> str:
    inside = [
        _shape(one.level, 12, 11, 0.9),
        _text(34, 22, one.name, "a-name"),
        f'<text x="34" y="40">{_state(one, now)}</text>',
        _text(304, 25, f"{one.number:,}", "a-number", "end"),
        _text(304, 40, _noun(one), "a-noun", "end"),
    ]
    return _station(one, 2, y, 316, height, inside)


def _station(one: Station, x: float, y: float, width: float, height: float, inside: list[str]) -> str:
    ground = f'<rect width="{width}" height="{height}" rx="9"></rect>'
    return f'<g class="a-station a-{one.level}" transform="translate({x} {y})">{ground}{"".join(inside)}</g>'


def _shape(level: str, x: float, y: float, scale: float) -> str:
    return f'<g class="a-shape" transform="translate({x} {y}) scale({scale})">{icons.inside(level)}</g>'


def _state(one: Station, now: datetime) -> str:
    since = f" · {words.ago(one.at, now)}" if one.at else ""
    return f'<tspan class="a-word">{html.escape(one.word)}</tspan><tspan class="a-age">{html.escape(since)}</tspan>'


def _legend(x: float, y: float) -> str:
    rows = [
        f'<g class="a-{level}">{_shape(level, x + 8, y + 17 * at, 0.72)}{_text(x + 28, y + 10 + 17 * at, word, "a-age")}</g>'
        for at, (level, word) in enumerate(LEGEND)
    ]
    return "".join(rows)


def _marker(name: str) -> str:
    tip = '<path d="M0 0 8 4 0 8Z" class="a-tip"></path>'
    size = 'markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto" markerUnits="userSpaceOnUse"'
    return f'<defs><marker id="a-tip-{name}" {size}>{tip}</marker></defs>'


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    right, down = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
    return _path(f"M{x + 4 * right} {y + 4 * down}L{to_x - 4 * right} {to_y - 4 * down}")


def _path(way: str, kind: str = "", marker: str = "wide") -> str:
    return f'<path class="a-line {kind}" d="{way}" marker-end="url(#a-tip-{marker})"></path>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _number(one: Station) -> str:
    return f"{one.number:,} {_noun(one)}"


def _noun(one: Station) -> str:
    head, _, rest = one.noun.partition(" ")
    return f"{head.removesuffix('s')} {rest}".strip() if one.number == 1 else one.noun


def _age(one: Station, now: datetime) -> str:
    return words.ago(one.at, now) if one.at else "never"
