"""What a feature group may be called and hold: said where it is declared, before anything is stored."""

from __future__ import annotations

import polars as pl
import pytest

from store.errors import InvalidInput
from store.features.group import Group


@pytest.mark.parametrize("column", ["Wind", "2nd", "wind speed", "", "known_time", "row_hash"])
def test_a_column_that_no_table_can_have_is_refused_with_the_rule(column: str) -> None:
    """Another alphabet, or one of the store's own names; as key and as value."""
    for columns in ({"keys": {column: pl.String()}, "values": {}}, {"keys": {}, "values": {column: pl.String()}}):
        with pytest.raises(InvalidInput) as refused:
            Group("weather", **columns)
        assert refused.value.asked == f"The feature group weather cannot have a column {column!r}."
        assert (
            "lower-case letters, digits, underscores; event_time, known_time, row_hash are taken"
            in refused.value.exists
        )
        assert refused.value.remedy == "Rename the column in the group's declaration."


def test_a_column_is_a_key_or_a_value() -> None:
    """Declared as both, it would stand twice in one table."""
    with pytest.raises(InvalidInput) as refused:
        Group("weather", {"origin": pl.String()}, {"wind": pl.Float64(), "origin": pl.String()})
    assert refused.value.asked == "The feature group weather has ['origin'] both as key and as value."
    assert (refused.value.exists, refused.value.remedy) == ("A column is one of the two.", "Declare it once.")
