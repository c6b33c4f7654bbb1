"""The text that is laid out says what the file says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.console import team
from tests.console.team import lay_out, orders


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The orders as CSV. Read it only."""
    return team.written(tmp_path_factory.mktemp("shop"))


def test_parquet_and_csv_are_laid_out_alike(shop: Path, tmp_path: Path) -> None:
    """But for how they are read."""
    file = tmp_path / "orders.parquet"
    orders().write_parquet(file)
    one, other = lay_out(shop, tmp_path / "a"), lay_out(file, tmp_path / "b")
    assert one[1].read_text() == other[1].read_text()
    assert "pl.read_parquet(FILE)" in other[0].read_text()


def test_a_derived_group_is_by_the_keys_that_repeat(shop: Path, tmp_path: Path) -> None:
    """An order's number tells rows apart, and derives nothing."""
    features = lay_out(shop, tmp_path)[0].read_text()
    assert 'keys={"shop": pl.String()},\n    values={"outcome_mean"' in features
    ids = orders().with_columns(pl.col("Order ID").alias("Shop"))
    ids.write_csv(tmp_path / "ids.csv")
    alone = lay_out(tmp_path / "ids.csv", tmp_path / "b", keys=["Order ID"], leave_out=["Shop"])[0].read_text()
    assert "keys={},\n" in alone
    compile(alone, "features", "exec")


def test_a_delay_takes_the_place_of_a_column(shop: Path, tmp_path: Path) -> None:
    """The column that was not said to be anything is not known when the question is asked: a time is no input."""
    features, pipeline, _ = lay_out(shop, tmp_path, known=None, delay=timedelta(hours=6))
    assert "DELAY = timedelta(hours=6)" in features.read_text()
    assert "told_at" not in features.read_text() + pipeline.read_text()
