"""The one shape of every refusal: ``{"error": {"type", "message", "fields": [{"field", "problem"}]}}``.

``answer`` is a whole HTTP answer, for what is refused before there is a request that an application could answer.
"""

from __future__ import annotations

import http
from collections.abc import Sequence

import orjson

BUSY = "More is asked than can be answered. Nothing was recorded: send it again."
BUSY_SECONDS = 1
"""After which who was told to come again may."""


def content(kind: str, message: str, fields: Sequence[tuple[str, str]] = ()) -> bytes:
    """A refusal as JSON. ``fields``: path and problem."""
    named = [{"field": path, "problem": what} for path, what in fields]
    return orjson.dumps({"error": {"type": kind, "message": message, "fields": named}})


def answer(status: int, kind: str, message: str, *, closes: bool, retry_s: int = 0) -> bytes:
    """A refusal with its head. ``closes``: the connection ends with it."""
    body = content(kind, message)
    lines = [
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *([f"retry-after: {retry_s}"] if retry_s else []),
        *(["connection: close"] if closes else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
