"""Every error a person can meet is listed, says what to do, and is triggered by a test (see ``conftest.py``)."""

from __future__ import annotations

import pytest

from store.errors import AssayError, InvalidInput, NotFound
from tests import errors

ANSWERS = ("Rejected", "HTTPException")
"""What an application reads as JSON: its sentences name the field and what is wrong with it."""


def test_the_page_of_errors_is_up_to_date() -> None:
    """``docs/errors.md`` holds what the source holds: run ``python -m tests.errors`` after changing an error."""
    assert errors.PAGE.read_text() == errors.page()


def test_every_error_says_what_to_do() -> None:
    """What was asked, what exists, what to do: the last is never missing."""
    assert [str(place) for place in errors.listed() if place.kind not in ANSWERS and not place.remedy] == []


class Made:
    def __init__(self) -> None:
        raise InvalidInput("No.")


def unknown() -> NotFound:
    return NotFound.among("thing", "a", ["b"])


def test_where_an_error_is_made_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that makes it: in a constructor of something else, and through ``NotFound.among``."""
    reached: set[tuple[str, int]] = set()
    monkeypatch.setattr(AssayError, "__init__", errors._noting(AssayError.__init__, reached))
    with pytest.raises(InvalidInput):
        Made()
    unknown()
    made = Made.__init__.__code__.co_firstlineno + 1, unknown.__code__.co_firstlineno + 1
    assert reached == {(__file__, line) for line in made}
