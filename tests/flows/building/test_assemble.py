"""Rows assembled: what a dataset must give, what it may know, and what its training set is called."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows.building import assemble, publish
from flows.pipeline import Pipeline, Use, Window
from store import ledger
from store.errors import InvalidInput
from store.features import write
from store.layout import Root
from tests.flows.building import (
    CADENCE,
    CATALOG,
    DAY,
    END,
    HOUR,
    ORDERS,
    PACE,
    PIPELINE,
    SALES,
    START,
    dataset,
    declared,
    filled,
    orders,
    prepare,
    sales,
)  # fmt: skip


def spine(root: Root, end: datetime = END, pipeline: Pipeline = PIPELINE) -> pl.DataFrame:
    return assemble.spine(pipeline, publish.reader(root, CATALOG), Window(START, end))


def giving(change: Any) -> Pipeline:
    """The pipeline with its dataset's rows changed."""
    return dataclasses.replace(PIPELINE, dataset=lambda read, window: change(dataset(read, window)))


def frozen(root: Root, end: datetime = END) -> Any:
    return assemble.frozen(root, CATALOG, PIPELINE, Window(START, end), actor="test", now=END)


def test_labels_not_known_by_the_windows_end_are_not_there(bakery: Root) -> None:
    """An order due at the window's end is not in, since what happened then was not read; one due a microsecond before is."""
    rows = spine(bakery, START + DAY)
    assert rows["label_time"].max() == START + DAY - HOUR
    assert rows.height == 24 - 6
    assert spine(bakery, START + DAY + HOUR / 3.6e9).height == 24 - 6 + 1


def test_the_spine_is_in_order_of_time_and_key(bakery: Root) -> None:
    """Whatever order the dataset gives, the same rows come in the same order; here all of a day are asked at midnight."""
    daily = dataclasses.replace(
        PIPELINE, prepare=lambda rows: prepare(rows).with_columns(pl.col("event_time").dt.truncate("1d"))
    )
    shuffled = dataclasses.replace(
        daily, dataset=lambda read, window: dataset(read, window).sample(fraction=1.0, shuffle=True, seed=1)
    )
    order = spine(bakery, pipeline=daily).select("event_time", "order_id")
    assert order.equals(order.sort("event_time", "order_id"))
    assert_frame_equal(spine(bakery, pipeline=shuffled), spine(bakery, pipeline=daily))


def test_two_rows_of_one_key_are_refused(bakery: Root) -> None:
    """A key that comes twice would be trained on twice; the key is named."""
    with pytest.raises(InvalidInput, match=r"bakery gives 3 rows twice. Its key is \('order_id',\)"):
        spine(bakery, pipeline=giving(lambda rows: pl.concat([rows, rows.head(3)])))


def test_missing_columns_are_named(bakery: Root) -> None:
    """Everything that lacks, and everything that is there."""
    with pytest.raises(InvalidInput, match=r"bakery lacks \['label', 'size'\]. It has \['order_id', 'shop', 'due'"):
        spine(bakery, pipeline=giving(lambda rows: rows.drop("label", "size")))
    with pytest.raises(InvalidInput, match=r"bakery lacks \['event_time'\]"):
        spine(bakery, pipeline=dataclasses.replace(PIPELINE, prepare=lambda rows: rows))


@pytest.mark.parametrize(
    ("column", "dtype"),
    [("label", pl.Int64()), ("label_time", pl.Datetime("us")), ("label_time", pl.Datetime("ms", "UTC"))],
)
def test_columns_of_another_type_are_refused(bakery: Root, column: str, dtype: pl.DataType) -> None:
    """Labels are Float64, times are UTC microseconds; the column and its type are named."""
    change = giving(lambda rows: rows.with_columns(pl.col(column).cast(dtype)))
    with pytest.raises(InvalidInput, match=f"^{column} of bakery is {dtype}".replace("(", r"\(").replace(")", r"\)")):
        spine(bakery, pipeline=change)


def test_a_window_without_labelled_rows_is_refused(bakery: Root) -> None:
    """The window is named: nothing was due in its three hours."""
    with pytest.raises(InvalidInput, match="no labelled rows in 2024-01-01 00:00 … 2024-01-01 03:00 UTC"):
        spine(bakery, START + 3 * HOUR)


def test_an_unlabelled_row_is_counted(bakery: Root) -> None:
    """A null label whose time has come stays in the spine; fit and evaluation leave it out."""
    change = giving(lambda rows: rows.with_columns(pl.when(pl.col("shop") == "east").then("label").alias("label")))
    rows = spine(bakery, pipeline=change)
    assert rows["label"].null_count() == rows.filter(shop="west").height > 0


def test_facts_are_complete_until_the_oldest_watermark(root: Root) -> None:
    """Of the derived groups the pipeline uses, and at most now; other groups do not count."""
    filled(root, START + DAY)
    slow = dataclasses.replace(CATALOG.derived["pace"], group=dataclasses.replace(PACE, name="slow"))
    catalog = dataclasses.replace(
        CATALOG, derived=CATALOG.derived | {"slow": slow}, digests=CATALOG.digests | {"slow": "d" * 64}
    )
    publish.declare(root, catalog, actor="test", now=END)
    due = publish.ticks(CADENCE, START, START + 3 * CADENCE)
    publish.derive(root, publish.reader(root, catalog), slow, due, now=START + DAY)
    both = dataclasses.replace(PIPELINE, features=(*PIPELINE.features, Use("slow", ("sold_1d",))))
    neither = dataclasses.replace(PIPELINE, features=())
    assert assemble.known_until(root, catalog, PIPELINE, END) == START + DAY
    assert assemble.known_until(root, catalog, both, END) == START + 3 * CADENCE
    assert assemble.known_until(root, catalog, both, START + HOUR) == START + HOUR
    assert assemble.known_until(root, catalog, neither, END) == END


def test_features_are_as_of_the_question(bakery: Root) -> None:
    """An order of 13:00 sees what was published at 12:00: the sales of the day before that were known by then."""
    rows = assemble.joined(bakery, PIPELINE, spine(bakery))
    known = sales().filter(pl.col("event_time") <= START + 2 * DAY + 11 * HOUR).filter(shop="west")
    expected = known.filter(pl.col("event_time") >= START + DAY + 12 * HOUR)["amount"].sum()
    (row,) = rows.filter(pl.col("event_time") == START + 2 * DAY + 13 * HOUR).to_dicts()
    assert (row["shop"], row["shop_sold_1d"]) == ("west", expected)
    assert set(PIPELINE.columns) <= set(rows.columns)


def test_a_pinned_pipeline_uses_the_versions_it_was_tested_with(bakery: Root) -> None:
    """A package's groups are joined at their version; others stay at their newest, and facts and watermarks are found as before."""
    other = dataclasses.replace(PIPELINE, features=(*PIPELINE.features, Use("sales", ("amount",))))
    pinned = assemble.pinned(other, {"pace": 1, "elsewhere": 7})
    assert [use.group for use in pinned.features] == ["pace@1", "sales"]
    assert pinned.columns == other.columns
    assert assemble.known_until(bakery, CATALOG, pinned, END + DAY) == END
    assert assemble.history(bakery, CATALOG, pinned) == START
    assert_frame_equal(assemble.joined(bakery, pinned, spine(bakery)), assemble.joined(bakery, other, spine(bakery)))


def test_a_snapshots_id_is_equal_for_equal_data(bakery_copy: Root, root: Root) -> None:
    """Frozen twice, and in another root that was filled the same way; the ledger has it once a root."""
    first, again = frozen(bakery_copy), frozen(bakery_copy)
    elsewhere = frozen(filled(root))
    assert first.id == again.id == elsewhere.id
    assert_frame_equal(first.frame, elsewhere.frame)
    assert len(ledger.find(bakery_copy, action="snapshot.frozen")) == 1


def test_a_snapshots_id_differs_after_new_facts(bakery_copy: Root) -> None:
    """A newly published tick is another snapshot, even if no row of it has changed; so is another window."""
    first = frozen(bakery_copy, START + 2 * DAY)
    write.write(bakery_copy, SALES, sales(END, END + DAY), now=END + DAY)
    publish.publish(bakery_copy, CATALOG, start=START, now=END + DAY)
    second = frozen(bakery_copy, START + 2 * DAY)
    assert first.id != second.id
    assert first.content == second.content
    assert frozen(bakery_copy, START + 2 * DAY + HOUR).id != second.id


def test_history_starts_with_the_first_fact_the_pipeline_uses(root: Root) -> None:
    """Sales, which its feature is derived of; and older ones count as soon as they are there."""
    declared(root)
    with pytest.raises(InvalidInput, match=r"holds no facts for bakery. Run `assay ingest` first."):
        assemble.history(root, CATALOG, PIPELINE)
    write.write(root, ORDERS, orders(), now=END)
    write.write(root, SALES, sales(START + 5 * HOUR), now=END)
    assert assemble.history(root, CATALOG, PIPELINE) == START + 5 * HOUR
    write.write(root, SALES, sales(START + HOUR, START + 5 * HOUR), now=END)
    assert assemble.history(root, CATALOG, PIPELINE) == START + HOUR
