"""Every error a person can meet is listed, says what to do, and is triggered by a test (see ``conftest.py``)."""

from __future__ import annotations

from tests import errors

ANSWERS = ("Rejected", "HTTPException")
"""What an application reads as JSON: its sentences name the field and what is wrong with it."""


def test_the_page_of_errors_is_up_to_date() -> None:
    """``docs/errors.md`` holds what the source holds: run ``python -m tests.errors`` after changing an error."""
    assert errors.PAGE.read_text() == errors.page()


def test_every_error_says_what_to_do() -> None:
    """What was asked, what exists, what to do: the last is never missing."""
    assert [str(place) for place in errors.listed() if place.kind not in ANSWERS and not place.remedy] == []
