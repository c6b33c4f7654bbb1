"""Publication: on the grid, once, and known when it was there."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows.building import publish
from flows.building.catalog import Catalog
from store import tables
from store.errors import Conflict, NotFound
from store.features import group, write
from store.layout import Root
from tests.flows.building import CADENCE, CATALOG, DAY, END, HOUR, PACE, SALES, START, declared, filled, sales

DERIVED = CATALOG.derived["pace"]


def published(root: Root) -> pl.DataFrame:
    """All rows of the derived group with both times, in order."""
    return write.rows(root, PACE, START - DAY, END + DAY)


def test_history_in_one_go_equals_publishing_tick_by_tick(root: Root, tmp_path) -> None:
    """Same rows, same known_time, whether all facts were there or came as they became known."""
    end = START + DAY
    filled(root, end)
    other = declared(Root.open(tmp_path / "live"))
    facts = sales(end=end)
    for tick in publish.ticks(CADENCE, START - CADENCE, end):
        known = pl.col("event_time") + SALES.delay
        write.write(other, SALES, facts.filter(known <= tick), now=tick)
        publish.publish(other, CATALOG, start=START, now=tick)
    assert published(other).height == 2 * 4
    assert_frame_equal(published(other), published(root))


def test_bulk_history_is_known_at_its_tick_and_the_groups_delay(root: Root) -> None:
    """A derived group that takes an hour to compute is known an hour after its ticks."""
    slow = dataclasses.replace(DERIVED, group=dataclasses.replace(PACE, delay=HOUR))
    catalog = dataclasses.replace(CATALOG, derived={"pace": slow})
    publish.declare(root, catalog, actor="test", now=END)
    write.write(root, SALES, sales(), now=END)
    publish.publish(root, catalog, start=START, now=END)
    rows = published(root)
    assert (rows["known_time"] - rows["event_time"]).unique().to_list() == [HOUR]


def test_a_late_tick_is_known_when_it_was_published(root: Root) -> None:
    """Two ticks published two hours after the second are known then, not at their ticks."""
    filled(root, START + DAY)
    write.write(root, SALES, sales(START + DAY), now=END)
    late = START + DAY + 2 * CADENCE + 2 * HOUR
    assert publish.publish(root, CATALOG, start=START, now=late) == {"pace": 4}
    fresh = published(root).filter(pl.col("event_time") > START + DAY)
    assert fresh["known_time"].unique().to_list() == [late]
    assert fresh["event_time"].unique().sort().to_list() == [START + DAY + CADENCE, START + DAY + 2 * CADENCE]


def test_the_first_tick_of_a_new_root_is_live_when_it_is_the_last_one(root: Root) -> None:
    """One tick due, three hours late: it is known now."""
    declared(root)
    write.write(root, SALES, sales(), now=START)
    publish.publish(root, CATALOG, start=START + DAY, now=START + DAY + 3 * HOUR)
    assert published(root)["known_time"].unique().to_list() == [START + DAY + 3 * HOUR]


def test_the_watermark_moves_even_when_a_tick_has_no_rows(root: Root) -> None:
    """Nothing was sold: the ticks are done all the same, and not derived again."""
    declared(root)
    assert publish.watermark(root, DERIVED) is None
    assert publish.publish(root, CATALOG, start=START, now=START + DAY + HOUR) == {"pace": 0}
    assert publish.watermark(root, DERIVED) == START + DAY
    assert published(root).is_empty()


def test_publishing_again_adds_nothing(bakery_copy: Root) -> None:
    """Neither from the watermark, nor by deriving the very ticks again."""
    root = bakery_copy
    before, version = published(root), tables.version(group.path(root, PACE))
    assert publish.publish(root, CATALOG, start=START, now=END) == {"pace": 0}
    again = publish.ticks(CADENCE, START, END)
    assert publish.derive(root, publish.reader(root, CATALOG), DERIVED, again, now=END + DAY) == 0
    assert tables.version(group.path(root, PACE)) == version
    assert_frame_equal(published(root), before)


def test_publishing_goes_on_from_the_watermark_not_from_the_start(root: Root) -> None:
    """A start after the watermark leaves no hole."""
    filled(root, START + DAY)
    publish.publish(root, CATALOG, start=START + 3 * DAY, now=START + 2 * DAY)
    assert publish.watermark(root, DERIVED) == START + 2 * DAY


@pytest.mark.parametrize(
    ("after", "until", "expected"),
    [
        (0, 12, [6, 12]),
        (0, 11, [6]),
        (5, 6, [6]),
        (6, 6, []),
        (6, 11, []),
        (7, 3, []),
        (-1, 0, [0]),
    ],
)
def test_ticks_are_after_one_instant_and_up_to_another(after: int, until: int, expected: list[int]) -> None:
    """``after < tick <= until``, on a grid through midnight UTC."""
    found = publish.ticks(CADENCE, START + after * HOUR, START + until * HOUR)
    assert found == [START + hours * HOUR for hours in expected]


def test_the_grid_is_anchored_at_1970_whatever_the_cadence() -> None:
    """A week's grid falls on Thursdays."""
    (tick,) = publish.ticks(timedelta(days=7), START, START + timedelta(days=6))
    assert tick == datetime(2024, 1, 4, tzinfo=UTC)


def test_a_reader_gives_the_facts_of_a_half_open_window(bakery: Root) -> None:
    """Both times are there; the window's end is not."""
    rows = publish.reader(bakery, CATALOG)("sales", publish.Window(START, START + 2 * HOUR))
    assert rows.columns == ["shop", "event_time", "known_time", "amount"]
    assert rows["event_time"].unique().sort().to_list() == [START, START + HOUR]


@pytest.mark.parametrize("name", ["pace", "sale"])
def test_a_reader_refuses_what_is_no_group_of_facts(bakery: Root, name: str) -> None:
    """Neither a derived group nor an unknown one can be read by a dataset; what can is named."""
    with pytest.raises(NotFound, match=f"no group of facts named '{name}'. Known: orders, sales"):
        publish.reader(bakery, CATALOG)(name, publish.Window(START, END))


def test_a_changed_derivation_under_an_unchanged_version_is_refused(root: Root) -> None:
    """Declaring is repeatable, until the code's digest differs."""
    declared(declared(root))
    changed = Catalog(CATALOG.facts, CATALOG.derived, CATALOG.digests | {"pace": "e" * 64})
    with pytest.raises(Conflict, match="Raise `version` to 2"):
        publish.declare(root, changed, actor="test", now=START)
