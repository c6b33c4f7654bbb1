"""One look at a file: names, times and rows that can be questions, or a refusal that says which cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from console import looked
from store.errors import InvalidInput, NotFound
from tests.console import team
from tests.console.team import DAY, SHOP, lay_out, orders


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The orders as CSV. Read it only."""
    return team.written(tmp_path_factory.mktemp("shop"))


def test_times_of_another_zone_are_read_in_it(shop: Path, tmp_path: Path) -> None:
    """And are UTC from there on."""
    seen = looked.look(
        shop, **{name: SHOP[name] for name in ("keys", "time", "known", "label", "positive")}, zone="Asia/Tokyo"
    )
    assert seen.rows["ordered_at"][0] == datetime(2024, 2, 29, 15, tzinfo=UTC)
    assert 'replace_time_zone("Asia/Tokyo"' in lay_out(shop, tmp_path, zone="Asia/Tokyo")[0].read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.head(100), "has 100 rows with a label. The least is 200"),
        (lambda rows: pl.concat([rows, rows.head(3)]), "3 rows of odd.csv are about the same at the same time"),
        (lambda rows: rows.with_columns(pl.col("Shop").replace("amber", None)), "rows of odd.csv have no Shop"),
        (lambda rows: rows.with_columns(pl.lit(1).alias("shop")), "would have one name: shop"),
        (lambda rows: rows.with_columns(pl.col("Told At") + 30 * DAY), "spans 49 days, too few"),
        (
            lambda rows: rows.with_columns(pl.col("Told At").alias("Outcome")),
            r"label Outcome is Datetime.* A label is a number, true or false, or one of two texts\. Write it as one of these",
        ),
    ],
    ids=["few", "twice", "null key", "one name", "late labels", "a time as label"],
)
def test_a_file_that_cannot_be_asked_about_is_refused(tmp_path: Path, change, says: str) -> None:
    """What is wrong, and how many rows."""
    rows = change(orders())
    rows.write_csv(tmp_path / "odd.csv")
    with pytest.raises(InvalidInput, match=says):
        lay_out(tmp_path / "odd.csv", tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "kind", "says"),
    [
        ("none.csv", None, NotFound, "There is no file"),
        ("some.xlsx", b"PK", InvalidInput, "Files: .csv, .parquet"),
        ("bad.parquet", b"no parquet", InvalidInput, "bad.parquet cannot be read"),
        ("empty.csv", b"", InvalidInput, "empty.csv cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, data, kind, says: str) -> None:
    """Named, with what can be."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(kind, match=says):
        lay_out(tmp_path / name, tmp_path)


def test_names_of_assays_own_are_given_others(tmp_path: Path) -> None:
    """A team's column may be called label, event_time, class, or 2nd."""
    columns = {"Ordered At": "event_time", "Outcome": "label", "Size (kg)": "class", "Rush": "2nd", "Kind": "x_kind"}
    orders().rename(columns).write_csv(tmp_path / "odd.csv")
    seen = looked.look(
        tmp_path / "odd.csv",
        keys=["Order ID", "Shop"],
        time="event_time",
        known="Told At",
        label="label",
        positive="late",
    )
    assert (seen.time, seen.label) == ("asked_at", "answer")
    assert seen.given == ("c_class", "c_x_kind", "c_2nd")
    for path in lay_out(tmp_path / "odd.csv", tmp_path, time="event_time", label="label"):
        compile(path.read_text(), str(path), "exec")
