"""The judge of the fast join: loops in plain Python, written from the rule and not from the implementation.

``answer`` applies the rule to a list of facts, one question at a time. ``row_hash`` is the documented content hash,
one value at a time. ``Case`` draws small random groups and spines in which keys collide, times tie, values are null,
rows come late and forecasts come early.
"""

from __future__ import annotations

import hashlib
import math
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from store.features.group import Group

START = datetime(2020, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_MASK, _GOLDEN, _NULL = 2**64 - 1, 0x9E3779B97F4A7C15, 0x6E756C6C6E756C6C

Fact = dict[str, Any]


def answer(facts: Sequence[Fact], group: Group, key: Mapping[str, Any], time: datetime) -> Fact | None:
    """The newest fact of this key that was true and known by ``time``, and not older than the ttl."""
    if any(value is None for value in key.values()):
        return None
    candidates = [
        fact
        for fact in facts
        if all(fact[name] == value for name, value in key.items())
        and fact["event_time"] <= time
        and fact["known_time"] <= time
        and (group.ttl is None or fact["event_time"] >= time - group.ttl)
    ]
    return max(candidates, key=lambda fact: rank(fact, group), default=None)


def rank(fact: Fact, group: Group) -> tuple[datetime, datetime, int]:
    return fact["event_time"], fact["known_time"], row_hash([fact[name] for name in group.values])


def row_hash(values: Sequence[Any]) -> int:
    state = 0
    for position, value in enumerate(values, start=1):
        word = _NULL if value is None else _mix(_word(value) + _GOLDEN * position)
        state = _mix(state ^ word)
    return state - 2**64 if state >= 2**63 else state


def _word(value: Any) -> int:
    if isinstance(value, str):
        return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little")
    if isinstance(value, float):
        return int.from_bytes(struct.pack("<d", math.nan if math.isnan(value) else value), "little")
    return int(value) & _MASK


def _mix(word: int) -> int:
    word &= _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def joined(spine: pl.DataFrame, facts: Sequence[Fact], group: Group, prefix: str = "") -> pl.DataFrame:
    """What ``join`` must return for one use with unmapped keys."""
    found = [
        answer(facts, group, {k: row[k] for k in group.keys}, row["event_time"]) for row in spine.iter_rows(named=True)
    ]
    columns = [
        pl.Series(prefix + name, [None if fact is None else fact[name] for fact in found], dtype=dtype)
        for name, dtype in group.values.items()
    ]
    return spine.with_columns(columns)


VALUES = {"number": pl.Int64(), "text": pl.String(), "share": pl.Float64(), "flag": pl.Boolean()}
KEYS: dict[str, dict[str, pl.DataType]] = {
    "one": {"case": pl.Int32(), "k": pl.Int64()},
    "two": {"case": pl.Int32(), "k": pl.String(), "l": pl.String()},
}
FLAVOURS = ("regular", "late", "forecast", "tied", "everything")


@dataclass(frozen=True)
class Case:
    """One small random world. ``flavour`` says what is in it besides rows on the group's rule."""

    group: Group
    seed: int
    flavour: str

    def facts(self) -> list[Fact]:
        draw = random.Random(f"facts {self.group.name} {self.seed}")
        found = [self._fact(draw) for _ in range(draw.randint(0, 14))]
        if self.flavour in ("tied", "everything"):
            return found
        rule = {
            (*self._key(fact), fact["event_time"], self.flavour != "regular" and fact["known_time"]): fact
            for fact in found
        }
        return list(rule.values())

    def spine(self) -> list[dict[str, Any]]:
        draw = random.Random(f"spine {self.group.name} {self.seed}")
        rows = [
            {
                **self._drawn_key(draw, 0.1),
                "event_time": START + draw.randint(-2, 14) * MICROSECOND,
                "label": draw.random(),
            }
            for _ in range(draw.randint(0, 10))
        ]
        return rows + rows[: draw.randint(0, 2)]

    def _fact(self, draw: random.Random) -> Fact:
        event = START + draw.randint(0, 10) * MICROSECOND
        known = event + self.group.delay
        if self.flavour in ("late", "everything") and draw.random() < 0.5:
            known += draw.randint(1, 6) * MICROSECOND
        if self.flavour in ("forecast", "everything", "tied") and draw.random() < 0.5:
            known -= draw.randint(1, 6) * MICROSECOND
        values = {
            "number": draw.choice([None, draw.randint(0, 3)]),
            "text": draw.choice([None, "", "é", "b"]),
            "share": draw.choice([None, 0.5, math.nan, -0.0]),
            "flag": draw.choice([None, True, False]),
        }
        return {**self._drawn_key(draw, 0.0), "event_time": event, "known_time": known, **values}

    def _drawn_key(self, draw: random.Random, absent: float) -> dict[str, Any]:
        drawn: dict[str, Any] = {"case": self.seed}
        for name, dtype in list(self.group.keys.items())[1:]:
            value = draw.choice(["a", "ab", "b", "bc", ""] if dtype == pl.String else [0, 1, -1])
            drawn[name] = None if draw.random() < absent else value
        return drawn

    def _key(self, fact: Fact) -> tuple[Any, ...]:
        return tuple(fact[name] for name in self.group.keys)
