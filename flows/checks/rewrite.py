"""Facts rewritten: what became known at or after an instant made otherwise, and late rows planted around it.

What is written stays something the source could have said: values are other rows' values or plain functions of them,
nulls go only where a column has nulls already, and a key gets a second row only where the group repeats its keys. So
a sound pipeline has no reason to refuse. Keys, ``event_time`` and ``known_time`` of a rewritten row are kept.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from flows.pipeline import TIME, Group
from store.features import write
from store.features.group import EVENT_TIME, KNOWN_TIME

LATE_ROWS = 6000
FEWEST = 50
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
SHIFT = timedelta(minutes=37)


def known_from(cutoff: datetime) -> pl.Expr:
    """Rows that became known at or after an instant."""
    return pl.col(KNOWN_TIME) >= cutoff


def happened_from(cutoff: datetime) -> pl.Expr:
    """Rows that also happened at or after it: no late ones."""
    return (pl.col(KNOWN_TIME) >= cutoff) & (pl.col(EVENT_TIME) >= cutoff)


def otherwise(
    group: Group, rows: pl.DataFrame, future: pl.Expr, *, spared: Collection[str] = (), added: bool = True
) -> pl.DataFrame:
    """The rows with those of the ``future``, by a hash, rewritten (a quarter with their time values too), nulled or
    deleted, a quarter each; with ``added``, a quarter of them there twice, a microsecond later. Columns of ``spared``
    are left alone: they tell questions apart."""
    past, ahead = rows.filter(~future), rows.filter(future)
    fate = write.row_hash(ahead, [*group.keys, EVENT_TIME, KNOWN_TIME]).abs() % 4
    moved = _rewritten(group, ahead, spared)
    rewritten = moved.with_columns(ahead.get_column(name) for name, dtype in group.values.items() if dtype == TIME)
    nullable = [name for name in group.values if rows.get_column(name).null_count() and name not in spared]
    nulled = rewritten.with_columns(pl.lit(None, group.values[name]).alias(name) for name in nullable)
    parts = [past, rewritten.filter(fate == 0), moved.filter(fate == 1), nulled.filter(fate == 2)]
    if added:
        twice = rewritten.filter(fate == 0).with_columns(pl.col(EVENT_TIME, KNOWN_TIME) + MICROSECOND)
        parts.append(_as_others(group, rows, twice))
    return pl.concat(parts)


def late(
    group: Group,
    rows: pl.DataFrame,
    cutoff: datetime,
    known: Sequence[datetime],
    *,
    recent: timedelta,
    spared: Collection[str] = (),
    wanted: int = LATE_ROWS,
    beside: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Late rows to add: of what happened up to ``recent`` before ``cutoff`` and was known by it (the last 50 such rows,
    if they are fewer), copies with other values that happened microseconds after and were known at the instants of
    ``known``, in turn. About ``wanted``, newest last. New keys are none of the rows', or of those
    ``beside`` which they are to stand."""
    past = rows.filter(pl.col(EVENT_TIME) < cutoff - SECOND, pl.col(KNOWN_TIME) < cutoff).sort(EVENT_TIME, *group.keys)
    copied = past.tail(max(FEWEST, past.filter(pl.col(EVENT_TIME) >= cutoff - recent).height))
    if copied.is_empty():
        return rows.clear()
    copies = math.ceil(wanted / copied.height)
    changed = _rewritten(group, copied, spared)
    numbered = changed.join(pl.DataFrame({"_copy": range(1, copies + 1)}), how="cross")
    many = numbered.with_columns(pl.col(EVENT_TIME) + pl.duration(microseconds="_copy")).drop("_copy")
    turn = pl.int_range(pl.len()) % len(known)
    instants = pl.lit(pl.Series(list(known), dtype=TIME))
    told = many.with_columns(instants.gather(turn).alias(KNOWN_TIME)).sort(EVENT_TIME)
    return _as_others(group, rows if beside is None else beside, told)


def ancient(group: Group, rows: pl.DataFrame, before: datetime, known: datetime, *, wanted: int) -> pl.DataFrame:
    """Rows to add that happened before an instant and became known at another, long after: copies of the newest rows
    known by then, at most ``wanted``."""
    copied = (
        rows.filter(pl.col(EVENT_TIME) < known, pl.col(KNOWN_TIME) < known).sort(EVENT_TIME, *group.keys).tail(wanted)
    )
    happened = pl.lit(before) - pl.duration(microseconds=1 + pl.int_range(pl.len()))
    moved = copied.with_columns(happened.cast(TIME).alias(EVENT_TIME), pl.lit(known, TIME).alias(KNOWN_TIME))
    return _as_others(group, rows, moved)


def dealt_out(
    group: Group,
    rows: pl.DataFrame,
    chosen: pl.Series,
    *,
    spared: Collection[str] = (),
    moved: datetime | None = None,
    holes: bool = True,
) -> pl.DataFrame:
    """The ``chosen`` rows with another row's values, all of one other row together; times among them are half an hour
    later instead, in every other row. With ``moved`` such a row also happened and became known so much later, if that
    is before this instant.

    Which row's values a row gets depends on the group's rows alone, not on which are chosen. Other than ``otherwise``
    this deletes and adds nothing. A null moves with its row, or with ``holes=False`` stays where it is.
    """
    values = [name for name, dtype in group.values.items() if dtype != TIME and name not in spared]
    times = [name for name, dtype in group.values.items() if dtype == TIME and name not in spared]
    order = np.random.default_rng(0).permutation(rows.height)
    shifted = pl.int_range(pl.len()) % 2 == 0
    if moved is not None:
        times = [*times, EVENT_TIME, KNOWN_TIME]
        shifted &= pl.col(EVENT_TIME) + SHIFT < moved
    dealt = {name: pl.col(name).gather(pl.Series(order)) for name in values}
    if not holes:
        dealt = {name: pl.when(pl.col(name).is_not_null()).then(pl.coalesce(one, name)) for name, one in dealt.items()}
    changed = rows.with_columns(one.alias(name) for name, one in dealt.items())
    later = changed.with_columns(
        pl.when(shifted).then(pl.col(name) + SHIFT).otherwise(name).alias(name) for name in times
    )
    return rows.with_columns(
        later.get_column(name).zip_with(chosen, rows.get_column(name)) for name in (*values, *times)
    )


def stamped(group: Group, rows: pl.DataFrame, *, times: bool) -> pl.DataFrame:
    """The rows with each numeric (and, with ``times``, each time) value that can hold it replaced by its own
    ``known_time``; numbers in microseconds since 1970, which a Float64 holds exactly. Nulls stay null."""
    known = pl.col(KNOWN_TIME)
    numbers = {name: dtype for name, dtype in group.values.items() if dtype in (pl.Int64, pl.Float64)}
    whole = {name: known.dt.epoch("us").cast(dtype) for name, dtype in numbers.items()}
    moments = {name: known for name, dtype in group.values.items() if times and dtype == TIME}
    return rows.with_columns(
        pl.when(pl.col(name).is_not_null()).then(value).alias(name) for name, value in (whole | moments).items()
    )


def _rewritten(group: Group, rows: pl.DataFrame, spared: Collection[str]) -> pl.DataFrame:
    return rows.with_columns(
        _value(pl.col(name), dtype).alias(name) for name, dtype in group.values.items() if name not in spared
    )


def _value(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_integer():
        return (2 * column.cast(pl.Int64) + 1).cast(dtype, strict=False)
    if dtype.is_float():
        return (1 - 1.7 * column).cast(dtype)
    if dtype == pl.Boolean:
        return ~column
    if dtype == TIME:
        return column + SHIFT
    if dtype == pl.Date:
        return column + timedelta(days=1)
    return column.reverse()


def _as_others(group: Group, rows: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """Rows to add: as they are where the group repeats its keys, else under keys nobody has; none where such keys
    cannot be made."""
    if not group.keys or rows.select(list(group.keys)).is_duplicated().any():
        return more
    for name, dtype in group.keys.items():
        if dtype == pl.String:
            return more.with_columns(pl.format("{}+{}", name, pl.int_range(pl.len())).alias(name))
        if dtype in (pl.Int64, pl.Int32):
            beyond = rows.select(pl.col(name).max() + 1).item() + pl.int_range(pl.len())
            return more.with_columns(beyond.cast(dtype).alias(name))
    return more.clear()
