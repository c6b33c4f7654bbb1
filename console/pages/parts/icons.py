"""The project's own icons: small SVG files in ``console/static/icons``, drawn in the colour of the text around them.

Shapes carry the status as much as colours do: a triangle alarms, a diamond asks for a look, a disc is well, a ring has nothing to say,
a half disc is at work.
"""

from __future__ import annotations

import functools
import html
from pathlib import Path

STATIC = Path(__file__).parents[2] / "static"
LEVELS = {
    "broken": "broken", "drifts": "alarm", "falls": "alarm", "trains": "busy", "watch": "watch", "waits": "none", "calm": "good",
}  # fmt: skip
"""The shape (and colour class) of a pipeline's level."""


@functools.cache
def svg(name: str) -> str:
    """The file's markup, on one line."""
    return " ".join((STATIC / "icons" / f"{name}.svg").read_text().split())


def inside(name: str) -> str:
    """What is within the file's ``<svg>``, for drawing it inside another picture (a 16 by 16 square)."""
    _, _, rest = svg(name).partition(">")
    return rest.removesuffix("</svg>")


def badge(level: str, word: str) -> str:
    """Shape and word, in the level's colour. ``level``: a pipeline's level, or a shape's name."""
    return f'<span class="a-badge a-{html.escape(level)}">{svg(LEVELS.get(level, level))}<span>{html.escape(word)}</span></span>'
