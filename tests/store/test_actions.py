"""What the ledger can say stays readable: one golden row an action, written once and never edited."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from store import actions, blobs, ledger
from store.actions import ACTIONS, payload
from store.errors import Refused
from store.layout import Root

GOLDEN = json.loads((Path(__file__).parent / "golden_ledger.json").read_text())
LATEST = {stored["action"]: stored for stored in GOLDEN}


def golden(stored: dict[str, Any]) -> ledger.Row:
    times = {name: datetime.fromisoformat(stored[name]) for name in ("recorded_at", "store_time")}
    return ledger.Row(**{**stored, **times})


def leaves(hint: Any) -> set[Any]:
    """The plain types an annotation is made of."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    return set().union(*map(leaves, inner), {origin} - {types.UnionType}) if inner else {hint}


def test_every_action_has_a_golden_row() -> None:
    """An action added without an example, or removed although ledgers hold it, fails here."""
    assert sorted(LATEST) == sorted(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_golden_row_still_parses(action: str) -> None:
    """Every field it was written with is there, with the value it was written with."""
    stored = json.loads(LATEST[action]["payload"])
    body = payload(action, stored)
    assert type(body) is ACTIONS[action]
    assert {name: getattr(body, name) for name in stored} == stored


@pytest.mark.parametrize("action", ACTIONS)
def test_a_golden_row_names_every_field(action: str) -> None:
    """A field that was added has an example too: append a row to the golden file, leave the older ones."""
    assert set(json.loads(LATEST[action]["payload"])) == {field.name for field in dataclasses.fields(ACTIONS[action])}


def test_a_ledger_of_golden_rows_still_verifies(root: Root) -> None:
    """Numbers, hashes and chain: the recipe of a row's hash is what it was, and what is written reads back equal."""
    rows = [golden(stored) for stored in GOLDEN]
    assert all(ledger._create(root, row) for row in rows)
    assert ledger.verify(root) == len(rows)
    assert list(ledger.rows(root)) == rows


def test_golden_payloads_are_canonical() -> None:
    """The text is the one canonical JSON of its value, so equal payloads have equal text."""
    assert all(blobs.canonical(json.loads(stored["payload"])).decode() == stored["payload"] for stored in GOLDEN)


def test_an_unknown_action_is_refused() -> None:
    """A newer assay wrote it: the error names what is known."""
    with pytest.raises(Refused, match=r"'package\.blessed'.*Known: group\.declared.*newer assay"):
        payload("package.blessed", {})


def test_an_unknown_field_is_refused() -> None:
    """Half-understood is not understood."""
    with pytest.raises(Refused, match=r"'package\.approved'.*unknown fields \['by'\].*\['version'\].*newer assay"):
        payload("package.approved", {"version": "1", "by": "ada"})


def test_a_missing_field_is_refused() -> None:
    """Refused with its name, unless the dataclass has a default for it: then an older row reads with that."""
    with pytest.raises(Refused, match=r"'due\.claimed' lacks the fields \['by'\]"):
        payload("due.claimed", {"run": "1"})
    kept = json.loads(LATEST["report.drawn"]["payload"])
    del kept["drifted"]
    assert payload("report.drawn", kept).drifted == []


@pytest.mark.parametrize("kind", list(dict.fromkeys(ACTIONS.values())), ids=lambda kind: kind.__name__)
def test_a_payload_is_frozen_and_holds_what_json_can_say(kind: type) -> None:
    """Strings, numbers, booleans, lists and objects: what comes back from JSON equals what went in."""
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    for hint in typing.get_type_hints(kind).values():
        assert leaves(hint) <= {str, int, float, bool, list, dict, type(None), Any}


def test_actions_that_share_a_payload_are_alias_moves() -> None:
    """All other payloads belong to one action, so a payload says what happened."""
    shared = [kind for kind in ACTIONS.values() if list(ACTIONS.values()).count(kind) > 1]
    assert set(shared) == {actions.AliasMoved}
