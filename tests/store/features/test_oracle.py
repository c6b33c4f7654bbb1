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
