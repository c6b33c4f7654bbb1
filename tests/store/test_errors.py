"""The error tree's promises: it is as drawn, crosses processes whole, and says what to do."""

from __future__ import annotations

import pickle
import re

import pytest

from store import errors
from store.errors import AssayError, NotFound

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, AssayError)]


def test_the_drawn_tree_is_the_tree() -> None:
    """Every class stands once in the module's docstring, straight under the root, and nothing else does."""
    assert errors.__doc__
    drawn = re.findall(r"^(?:├──|└──) (\w+)", errors.__doc__, re.MULTILINE)
    assert sorted(drawn) == sorted(one.__name__ for one in CLASSES if one is not AssayError)
    assert all(one.__bases__ == (AssayError,) for one in CLASSES if one is not AssayError)
    assert AssayError.__bases__ == (Exception,)


def test_exit_codes_tell_a_refusal_from_a_gate_from_a_typing_error() -> None:
    """1 a gate said no, 2 usage, 3 refused, 4 out of reach."""
    assert {one.__name__: one.exit_code for one in CLASSES} == {
        "AssayError": 2, "InvalidInput": 2, "NotFound": 2, "Conflict": 2,
        "GateFailed": 1, "Refused": 3, "Unreachable": 4,
    }  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_crosses_processes_whole(kind: type[AssayError]) -> None:
    """Pickled and back it has the same class, the same three sentences, and the same text."""
    error = kind("You asked.", "There is.", "Do.")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.asked, again.exists, again.remedy) == ("You asked.", "There is.", "Do.")
    assert str(again) == str(error) == "You asked. There is. Do."


def test_an_empty_sentence_leaves_no_gap() -> None:
    """What was not said leaves no double space."""
    assert str(AssayError("You asked.", remedy="Do.")) == "You asked. Do."


def test_an_unknown_name_is_answered_with_the_nearest_known_ones() -> None:
    """The text has what was asked, everything that exists, a question, and the remedy, in that order."""
    error = NotFound.among("pipeline", "flight_delays", ["weather", "flight_delay"], "Run `assay integrate`.")
    assert str(error) == (
        "There is no pipeline named 'flight_delays'. Known: flight_delay, weather. "
        "Did you mean flight_delay? Run `assay integrate`."
    )


def test_a_name_that_resembles_nothing_gets_no_guess() -> None:
    """Nothing near, no question; nothing at all, and the text says so."""
    assert "Did you mean" not in str(NotFound.among("pipeline", "zzz", ["flight_delay"]))
    assert str(NotFound.among("pipeline", "zzz", [])) == "There is no pipeline named 'zzz'. There is no pipeline yet."
