"""The fast join against the plain one, on more than a thousand random worlds."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from store import tables
from store.features import group as groups
from store.features.group import Group
from store.features.join import Use, join
from store.features.write import OFF_RULE, TIED, declare, write
from store.layout import Root
from tests.store.features import oracle

WORLDS_A_GROUP = 17
TTLS = (None, timedelta(0), 4 * oracle.MICROSECOND)
DELAYS = (timedelta(0), 2 * oracle.MICROSECOND)
SHAPES = list(itertools.product(oracle.KEYS, oracle.FLAVOURS))


def filled(root: Root, group: Group, facts: list[dict[str, Any]], seed: int) -> None:
    """Write the facts in three batches, in another order, some of them twice."""
    draw = random.Random(seed)
    facts = [*facts, *draw.sample(facts, len(facts) // 5)]
    draw.shuffle(facts)
    schema = {name: dtype for name, dtype in group.schema.items() if name != groups.ROW_HASH}
    declare(root, group, derivation="d" * 64, actor="test", now=oracle.START)
    for first in range(3):
        write(root, group, pl.DataFrame(facts[first::3], schema=schema, orient="row"), now=oracle.START)


@pytest.mark.parametrize(("keys", "flavour"), SHAPES)
def test_the_join_equals_the_oracle(root: Root, keys: str, flavour: str) -> None:
    """Rows, order, values and dtypes are the oracle's in every world: zero differences."""
    for number, (ttl, delay) in enumerate(itertools.product(TTLS, DELAYS)):
        group = Group(f"g{number}", oracle.KEYS[keys], oracle.VALUES, ttl=ttl, delay=delay)
        worlds = [oracle.Case(group, seed, flavour) for seed in range(WORLDS_A_GROUP)]
        filled(root, group, [fact for world in worlds for fact in world.facts()], number)
        schema = {**group.keys, "event_time": groups.TIME, "label": pl.Float64()}
        spines = [pl.DataFrame(world.spine(), schema=schema, orient="row") for world in worlds]
        expected = pl.concat(
            [oracle.joined(spine, world.facts(), group, "x_") for spine, world in zip(spines, worlds, strict=True)]
        )
        got = join(root, pl.concat(spines), [Use(group.name, tuple(group.values), prefix="x_")])
        assert_frame_equal(got, expected, check_exact=True)


def test_more_than_a_thousand_worlds_are_tried() -> None:
    assert WORLDS_A_GROUP * len(SHAPES) * len(TTLS) * len(DELAYS) >= 1000


@pytest.mark.parametrize(
    ("flavour", "marks"),
    [("regular", set()), ("late", {OFF_RULE}), ("tied", {TIED}), ("everything", {OFF_RULE, TIED})],
)
def test_each_way_of_the_join_is_taken(root: Root, flavour: str, marks: set[str]) -> None:
    """The flavours are not all the same to the join: each leaves its own marks, so each form was judged above."""
    group = Group("g", oracle.KEYS["one"], oracle.VALUES)
    facts = [fact for seed in range(WORLDS_A_GROUP) for fact in oracle.Case(group, seed, flavour).facts()]
    filled(root, group, facts, 0)
    path = groups.path(root, group)
    assert {mark for mark in (OFF_RULE, TIED) if tables.transaction(path, mark) is not None} == marks


def fact(key: str, event: int, known: int, value: int | None) -> oracle.Fact:
    """A fact by hand, times in microseconds after the start."""
    at = {
        "event_time": oracle.START + event * oracle.MICROSECOND,
        "known_time": oracle.START + known * oracle.MICROSECOND,
    }
    return {"k": key, **at, "v": value}


@pytest.mark.parametrize(
    ("key", "asked", "ttl", "expected"),
    [
        ("a", 1, None, None),  # before anything was true
        ("a", 2, None, 1),  # at the very instant at which it was true and known
        ("a", 4, None, 1),  # the next is true, and not known
        ("a", 5, None, 2),  # known: the newer event
        ("a", 9, None, 3),  # of one event what became known last
        ("a", 20, None, 3),
        ("a", 20, 16, 3),  # as old as may be
        ("a", 20, 15, None),  # too old
        ("b", 20, None, None),  # its value is null
        ("c", 20, None, None),  # nobody has heard of it
        ("d", 3, None, None),  # a forecast is known, and not yet true
        ("d", 4, None, 7),
        (None, 20, None, None),
    ],
)  # fmt: skip
def test_the_oracle_answers_by_the_rule(key: str | None, asked: int, ttl: int | None, expected: int | None) -> None:
    """The newest fact that was true and known and not too old, by hand."""
    facts = [
        fact("a", 4, 9, 3),
        fact("a", 2, 2, 1),
        fact("a", 4, 5, 2),
        fact("b", 1, 1, None),
        fact("d", 4, 0, 7),
        fact(None, 1, 1, 8),
    ]  # type: ignore[arg-type]
    group = Group("g", {"k": pl.String()}, {"v": pl.Int64()}, ttl=None if ttl is None else ttl * oracle.MICROSECOND)
    found = oracle.answer(facts, group, {"k": key}, oracle.START + asked * oracle.MICROSECOND)
    assert (None if found is None else found["v"]) == expected
    spine = pl.DataFrame(
        {"k": [key], "event_time": [oracle.START + asked * oracle.MICROSECOND]}, schema_overrides={"k": pl.String()}
    )
    assert oracle.joined(spine, facts, group, "x_").to_dict(as_series=False) == {
        **spine.to_dict(as_series=False),
        "x_v": [expected],
    }


def microseconds(some: timedelta) -> int:
    return some // oracle.MICROSECOND


def repeated(worlds: list[list[oracle.Fact]], columns: list[str]) -> bool:
    return any(len({tuple(one[name] for name in columns) for one in facts}) < len(facts) for facts in worlds)


@pytest.mark.parametrize("keys", oracle.KEYS)
@pytest.mark.parametrize(
    ("flavour", "off"),
    [
        ("regular", {0}),
        ("late", set(range(7))),
        ("forecast", set(range(-6, 1))),
        ("tied", set(range(-6, 1))),
        ("everything", set(range(-6, 7))),
    ],
)
def test_the_worlds_hold_what_a_join_must_tell_apart(keys: str, flavour: str, off: set[int]) -> None:
    """Facts off the rule by so many microseconds, none or many of them, every value; asked before, at and after, with and without a
    key, once and twice: over some hundreds of worlds all of it occurs, and nothing else."""
    group = Group("g", oracle.KEYS[keys], oracle.VALUES, delay=2 * oracle.MICROSECOND)
    worlds = [oracle.Case(group, seed, flavour) for seed in range(200)]
    facts, spines = [world.facts() for world in worlds], [world.spine() for world in worlds]
    every, asked = list(itertools.chain(*facts)), list(itertools.chain(*spines))
    assert {microseconds(one["known_time"] - one["event_time"]) - 2 for one in every} == off
    assert {microseconds(one["event_time"] - oracle.START) for one in every} == set(range(11))
    assert {microseconds(one["event_time"] - oracle.START) for one in asked} == set(range(-2, 15))
    assert {len(some) for some in facts} >= {0, 1, 10}
    assert {len(some) for some in spines} == set(range(13))
    assert any(some[-1] in some[:-1] for some in spines if some)
    assert {one["number"] for one in every} == {None, 0, 1, 2, 3}
    assert {one["text"] for one in every} == {None, "", "é", "b"}
    assert {str(one["share"]) for one in every} == {"None", "0.5", "nan", "-0.0"}
    assert {one["flag"] for one in every} == {None, True, False}
    drawn: set[object] = {0, 1, -1} if keys == "one" else {"a", "ab", "b", "bc", ""}
    for name in list(group.keys)[1:]:
        assert {one[name] for one in every} == drawn
        assert {one[name] for one in asked} == drawn | {None}
    assert repeated(facts, [*group.keys, "event_time"]) is (flavour != "regular")
    assert repeated(facts, [*group.keys, "event_time", "known_time"]) is (flavour in ("tied", "everything"))
