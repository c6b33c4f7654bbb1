"""Fields of requests and outcomes: from what a manifest says (``str(dtype)``) to typed columns, and rows to frames.

Tables are typed from the first row on: a field keeps its dtype for the life of a pipeline's name. A newer package may
add fields (the table is widened, older rows have null there) and drop some (newer rows have null there), never change
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from store.errors import InvalidInput

TIME = pl.Datetime("us", "UTC")
DTYPES: dict[str, pl.DataType] = {
    str(dtype): dtype
    for dtype in (
        pl.String(), pl.Boolean(), pl.Date(), TIME, pl.Float32(), pl.Float64(),
        pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(),  # Delta has no unsigned integers
    )
}  # fmt: skip


def typed(declared: Mapping[str, str], taken: Sequence[str], what: str) -> dict[str, pl.DataType]:
    """Field names with their dtypes. InvalidInput: a dtype no table can hold, or a name the table needs for itself."""
    for name, dtype in declared.items():
        if dtype not in DTYPES:
            raise InvalidInput(
                f"The {what} field {name} cannot be a {dtype}.",
                f"Dtypes: {', '.join(DTYPES)}.",
                "Declare one of them in the pipeline's `serving`.",
            )
        if name in taken or name.startswith("x_"):
            raise InvalidInput(
                f"A {what} field cannot be called {name!r}.",
                f"Taken: {', '.join(taken)}, and whatever starts with x_ (the model's columns).",
                "Rename it in the pipeline's `serving`.",
            )
    return {name: DTYPES[dtype] for name, dtype in declared.items()}


def frame(rows: Sequence[Mapping[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Rows as they were spooled (times and dates as ISO 8601 text) in a table's columns; what a row lacks is null.

    InvalidInput: a row with a field the table does not have, which would be lost.
    """
    if unknown := sorted(set().union(*rows) - set(schema)):
        raise InvalidInput(
            f"The spool holds fields that the table has not: {', '.join(unknown)}.",
            f"The table's columns: {', '.join(schema)}.",
            "Drain with the manifest of the package that wrote them; nothing was moved or lost.",
        )
    return pl.DataFrame([_series(name, [row.get(name) for row in rows], dtype) for name, dtype in schema.items()])


def _series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    if dtype == TIME:
        return pl.Series(name, values, dtype=pl.String).str.to_datetime("%+", time_unit="us", time_zone="UTC")
    if dtype == pl.Date:
        return pl.Series(name, values, dtype=pl.String).str.to_date("%Y-%m-%d")
    return pl.Series(name, values, dtype=dtype)
