"""Two frames of rows told apart: which cells differ, for rows that both have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

CLOSE = 1e-12
PREDICTED, SINGLE = 1e-9, 1e-5


@dataclass(frozen=True)
class Moved:
    """``cells`` by column (only columns with any), the ``rows`` that hold one, and how many rows were ``compared`` or
    ``lost`` (there before, and not after)."""

    cells: dict[str, int]
    rows: int
    compared: int
    lost: int

    @property
    def total(self) -> int:
        return sum(self.cells.values())

    @property
    def worst(self) -> str:
        """The column with most differing cells, or nothing."""
        return max(self.cells, key=lambda column: self.cells[column], default="")


def moved(
    before: pl.DataFrame,
    after: pl.DataFrame,
    *,
    on: Sequence[str],
    columns: Sequence[str],
    exact: Collection[str] = (),
    close: float | None = None,
) -> Moved:
    """The cells of ``columns`` that differ in rows of one key ``on``: floats by more than a relative 1e-12 unless
    ``exact`` names the column, everything else at all. Null and NaN equal themselves and nothing else. With ``close``
    floats may differ by so much of the column's largest value: sums made on two ways."""
    compared = [column for column in columns if column not in on]
    theirs = after.select(*on, *(pl.col(column).alias(f"_after_{column}") for column in compared))
    both = before.select(*on, *compared).join(theirs, on=list(on), how="inner")
    cells, rows = {}, np.zeros(both.height, dtype=bool)
    for column in compared:
        differs = _differs(both.get_column(column), both.get_column(f"_after_{column}"), column in exact, close)
        rows |= differs
        if differs.any():
            cells[column] = int(differs.sum())
    return Moved(cells, int(rows.sum()), both.height, before.height - both.height)


def far(one: np.ndarray, other: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Which predictions differ by more than 1e-9 of the largest ``among`` them all (default: ``one``), or 1e-5 where they
    are computed in single precision."""
    among = one if among is None else among
    single = bool((among.astype(np.float32).astype(np.float64) == among).all())
    return np.abs(one - other) > (SINGLE if single else PREDICTED) * np.abs(among).max()


def _differs(mine: pl.Series, theirs: pl.Series, exact: bool, close: float | None) -> np.ndarray:
    if mine.dtype != theirs.dtype:
        return np.ones(mine.len(), dtype=bool)
    if mine.equals(theirs, null_equal=True):
        return np.zeros(mine.len(), dtype=bool)
    unequal = mine.ne_missing(theirs).to_numpy()
    if exact or not mine.dtype.is_float() or not unequal.any():
        return unequal
    one, other = (series.cast(pl.Float64).fill_null(np.nan).to_numpy() for series in (mine, theirs))
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.maximum(np.abs(one), np.abs(other))
        allowed = CLOSE * size if close is None else close * _largest(size)
        near = np.abs(one - other) <= allowed
    return unequal & ~near


def _largest(sizes: np.ndarray) -> float:
    finite = sizes[np.isfinite(sizes)]
    return float(finite.max()) if finite.size else 0.0
