"""The split: in order, with the gap, and no label that was still open."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.building import split
from flows.building.split import TEST, TRAIN, VALIDATION
from flows.pipeline import TimeSplit
from store.errors import InvalidInput
from tests.flows.building import DAY, HOUR, PIPELINE, START, hours

PARTS = (TRAIN, VALIDATION, TEST)


def rows(days: int = 8, matures: timedelta = 6 * HOUR) -> pl.DataFrame:
    """One row an hour, with a label that is known ``matures`` later."""
    return hours(START, START + days * DAY).with_columns(
        (pl.col("event_time") + matures).alias("label_time"), pl.lit(1.0).alias("label")
    )


def spans(frame: pl.DataFrame, declared: TimeSplit) -> dict[str, pl.DataFrame]:
    found = frame.with_columns(split.by_time(frame, declared).alias("part"))
    return {part: found.filter(part=part) for part in PARTS}


def test_parts_are_in_order_of_time_with_the_gap_between_them() -> None:
    """Two days of validation and one of test, newest last, six hours apart, to the hour."""
    found = spans(rows(), TimeSplit(validation=2 * DAY, test=DAY, gap=6 * HOUR))
    last = START + 8 * DAY - HOUR
    assert found[TEST]["event_time"].min() == last - DAY + HOUR
    assert found[TEST]["event_time"].max() == last
    assert found[VALIDATION]["event_time"].max() == last - DAY - 6 * HOUR
    assert found[VALIDATION]["event_time"].min() == last - DAY - 6 * HOUR - 2 * DAY + HOUR
    assert found[TRAIN]["event_time"].max() == last - DAY - 6 * HOUR - 2 * DAY - 6 * HOUR
    assert found[TRAIN]["event_time"].min() == START


def test_rows_whose_label_was_open_at_the_next_parts_start_are_left_out() -> None:
    """Labels that take two days, with a gap of six hours: the two days before each part are in none."""
    declared = TimeSplit(validation=3 * DAY, test=DAY, gap=6 * HOUR)
    frame = rows(days=10, matures=2 * DAY)
    found, last = spans(frame, declared), START + 10 * DAY - HOUR
    assert found[VALIDATION]["label_time"].max() == last - DAY
    assert found[TRAIN]["label_time"].max() == last - DAY - 6 * HOUR - 3 * DAY
    assert sum(part.height for part in found.values()) < frame.height


def test_a_row_whose_label_never_becomes_known_is_in_no_earlier_part() -> None:
    """A null label_time is not known at any time."""
    frame = rows().with_columns(pl.when(pl.col("event_time").dt.hour() > 0).then("label_time").alias("label_time"))
    found = spans(frame, TimeSplit(DAY, DAY, HOUR))
    assert found[TRAIN].filter(pl.col("label_time").is_null()).is_empty()
    assert found[VALIDATION].filter(pl.col("label_time").is_null()).is_empty()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), min_size=1, max_size=40),
    st.integers(0, 60), st.integers(0, 60), st.integers(0, 30),
)  # fmt: skip
def test_nothing_known_later_ever_stands_before_a_part(
    drawn: list[tuple[int, int]], validation: int, test: int, gap: int
) -> None:
    """Whatever the times: earlier parts end, and their labels are known, before the next part starts, and the gap is kept."""
    frame = pl.DataFrame(drawn, schema=["event", "matures"], orient="row").select(
        (pl.lit(START) + pl.duration(hours="event")).alias("event_time"),
        (pl.lit(START) + pl.duration(hours=pl.col("event") + pl.col("matures"))).alias("label_time"),
    )
    found = spans(frame, TimeSplit(validation * HOUR, test * HOUR, gap * HOUR))
    for earlier, later in ((TRAIN, VALIDATION), (TRAIN, TEST), (VALIDATION, TEST)):
        start = found[later]["event_time"].min()
        if start is not None and found[earlier].height:
            assert found[earlier]["event_time"].max() + gap * HOUR < start
            assert found[earlier]["label_time"].max() < start


def test_an_empty_part_is_refused_with_the_counts() -> None:
    """The sentence says which part is empty, and how many rows each has."""
    short = dataclasses.replace(PIPELINE, split=TimeSplit(validation=5 * DAY, test=2 * DAY, gap=12 * HOUR))
    with pytest.raises(InvalidInput, match="no labelled rows for train") as refused:
        split.parts(short, rows(days=7))
    assert "168 rows from 2024-01-01" in str(refused.value)
    assert "{'train': 0, 'validation': 108, 'test': 48}" in str(refused.value)


def test_a_part_without_labels_is_empty() -> None:
    """Rows that can be counted, but not judged, do not make a part."""
    frame = rows().with_columns(pl.when(pl.col("event_time") < START + 6 * DAY).then("label").alias("label"))
    with pytest.raises(InvalidInput, match="no labelled rows for test"):
        split.parts(dataclasses.replace(PIPELINE, split=TimeSplit(DAY, DAY, HOUR)), frame)


def test_no_rows_cannot_be_split() -> None:
    """Nothing is nothing, with or without a declared split."""
    with pytest.raises(InvalidInput, match="no rows to split"):
        split.by_time(rows().clear(), TimeSplit())


def test_a_callable_split_is_honoured() -> None:
    """The contract's own function decides; its series gets the name that the rest relies on."""
    number = pl.int_range(pl.len())
    odd = pl.when(number < 100).then(pl.lit(TRAIN)).when(number < 120).then(pl.lit(VALIDATION)).otherwise(pl.lit(TEST))
    found = split.parts(
        dataclasses.replace(PIPELINE, split=lambda frame: frame.select(odd.alias("mine"))["mine"]), rows()
    )
    assert found.name == "part"
    assert found.value_counts().sort("count")["count"].to_list() == [20, 72, 100]


def test_a_callable_split_that_leaves_a_part_out_is_refused() -> None:
    """A misspelt part is an empty one."""
    own = dataclasses.replace(PIPELINE, split=lambda frame: pl.Series(["Train"] * frame.height))
    with pytest.raises(InvalidInput, match="for train, validation, test"):
        split.parts(own, rows())
