"""One look at a team's file: which column is what, under which name, and whether rows can be questions.

A name is a module's, a request's and a table's column at once, so a column's is made plain; what a model cannot be given
(times, and texts of many values) is left out. Nothing is guessed of time: an instant without a zone has the one that is given.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from store.errors import InvalidInput, NotFound

FEWEST = 200
"""Rows with a label that a split, its gaps and an interval need at the very least."""
FEW_WORDS = 50
"""A text column of more different values than this says who a row is about, not what it is like: no input."""
NUMBERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.Float32, pl.Float64, pl.Boolean)
TAKEN = (
    "event_time", "known_time", "row_hash", "label", "label_time", "prediction", "prediction_id", "outcome_id", "received_at",
    "recorded_at", "model", "package", "part", "champion", "value", "tick", "hour", "weekday", "month",
)  # fmt: skip
NEW_NAMES = {"event_time": "asked_at", "label": "answer", "value": "amount"}


@dataclass(frozen=True)
class Looked:
    """What one look at the file says. Names are those used from here on; ``columns`` maps them to the file's.

    ``rows``: the file's rows under those names: keys, time and known Datetime[us, UTC], label Float64, the columns.
    """

    rows: pl.DataFrame
    columns: Mapping[str, str]
    keys: tuple[str, ...]
    time: str
    known: str | None
    label: str
    words: tuple[str, ...]
    """The label's two texts, the positive one last; empty where it is a number."""
    naive: frozenset[str]
    """The times that have no zone in the file."""

    @property
    def given(self) -> tuple[str, ...]:
        """What is known when the question is asked, beside keys and time."""
        apart = {*self.keys, self.time, self.known, self.label}
        return tuple(name for name in self.rows.columns if name not in apart)


def look(
    file: Path, *, keys: Sequence[str], time: str, label: str, known: str | None = None, zone: str = "UTC",
    positive: str | None = None, leave_out: Sequence[str] = (),
) -> Looked:  # fmt: skip
    """Read the file and say what its columns are. Raises as ``lay_out`` does."""
    raw = _read(file)
    for asked in (*keys, time, label, *([known] if known else []), *leave_out):
        if asked not in raw.columns:
            raise NotFound.among(f"column of {file.name}", asked, raw.columns)
    if not keys:
        raise InvalidInput(
            "No key was given.", f"The columns of {file.name}: {', '.join(raw.columns)}.", "Name whom a row is about."
        )
    roles = [*keys, time, label, *([known] if known else [])]
    if len(set(roles)) < len(roles):
        raise InvalidInput(
            f"One column cannot be two things: {', '.join(roles)}.", remedy="Give keys, time, known and label apart."
        )
    raw = raw.drop([one for one in leave_out if one not in roles])
    words = _words(raw[label], label, positive)
    names = _names(raw.columns)
    parts = []
    for column in raw.columns:
        series = raw[column]
        if column in (time, known):
            series = _instants(series, column, zone)
        elif column == label:
            series = (series == words[1]).cast(pl.Float64) if words else series.cast(pl.Float64)
        elif column in keys:
            series = _key(series, column)
        elif not _usable(series):
            continue
        parts.append(_plain(series).alias(names[column]))
    rows = pl.DataFrame(parts)
    kept = {names[column]: column for column in raw.columns if names[column] in rows.columns}
    naive = frozenset(names[one] for one in (time, known) if one and getattr(raw[one].dtype, "time_zone", None) is None)
    found = Looked(
        rows,
        kept,
        tuple(names[k] for k in keys),
        names[time],
        names[known] if known else None,
        names[label],
        words,
        naive,
    )
    _checked_rows(found, file)
    return found


def _read(file: Path) -> pl.DataFrame:
    readers = {
        ".csv": lambda: pl.read_csv(file, try_parse_dates=True, infer_schema_length=None),
        ".parquet": lambda: pl.read_parquet(file),
    }
    if file.suffix not in readers:
        raise InvalidInput(
            f"{file.name} cannot be laid out.", f"Files: {', '.join(readers)}.", "Write it as one of these."
        )
    if not file.is_file():
        raise NotFound(f"There is no file {file}.", remedy="Give the path of a CSV or parquet file.")
    try:
        return readers[file.suffix]()
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InvalidInput(
            f"{file.name} cannot be read: {error}.", remedy="Write it anew as CSV (comma, header) or parquet."
        ) from error


def _names(columns: Sequence[str]) -> dict[str, str]:
    """A column's name as features, requests and modules can have it."""
    found = {}
    for column in columns:
        plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_") or "column"
        plain = f"c_{plain}" if plain[0].isdigit() or keyword.iskeyword(plain) or plain.startswith("x_") else plain
        found[column] = NEW_NAMES.get(plain, f"{plain}_given") if plain in TAKEN else plain[:50]
    if twice := sorted({one for one in found.values() if list(found.values()).count(one) > 1}):
        both = [column for column, one in found.items() if one in twice]
        raise InvalidInput(
            f"The columns {both} would have one name: {', '.join(twice)}.", remedy="Rename them in the file."
        )
    return found


def _instants(series: pl.Series, column: str, zone: str) -> pl.Series:
    if series.dtype == pl.Date:
        series = series.cast(pl.Datetime("us"))
    if not isinstance(series.dtype, pl.Datetime):
        raise InvalidInput(
            f"{column} is {series.dtype}, which is no time: it begins {series.head(3).to_list()}.",
            remedy="Write times as ISO 8601, such as 2013-04-01T06:00:00+00:00.",
        )
    try:
        if series.dtype.time_zone is None:
            series = series.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    except pl.exceptions.PolarsError:
        raise InvalidInput(
            f"There is no time zone {zone!r}.", remedy="Zones are such as UTC or Europe/Zurich."
        ) from None
    return series.dt.convert_time_zone("UTC").dt.cast_time_unit("us")


def _key(series: pl.Series, column: str) -> pl.Series:
    if isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
        return series.cast(pl.String)
    if series.dtype.is_integer():
        return series.cast(pl.Int64)
    raise InvalidInput(
        f"The key {column} is {series.dtype}.", "Keys are texts or whole numbers.", "Write it as one of these."
    )


def _words(series: pl.Series, label: str, positive: str | None) -> tuple[str, ...]:
    """The two texts of a label that is no number, the positive one last."""
    if not isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
        if not series.dtype.is_numeric() and series.dtype != pl.Boolean:
            raise InvalidInput(
                f"The label {label} is {series.dtype}.",
                "A label is a number, true or false, or one of two texts.",
                "Write it as one of these.",
            )
        return ()
    texts = sorted(series.cast(pl.String).drop_nulls().unique())
    if len(texts) != 2:
        raise InvalidInput(
            f"The label {label} has {len(texts)} texts: {texts[:5]}.",
            "A label is a number, or one of two texts.",
            "Make it one of these, or keep the rows of two texts.",
        )
    if positive not in texts:
        raise InvalidInput(f"Which of {texts} is predicted?", f"Given: {positive!r}.", "Name it with `positive`.")
    return (next(one for one in texts if one != positive), positive)


def _usable(series: pl.Series) -> bool:
    """Whether a model can be given the column: numbers and truth, and texts of few values. Times and the rest are left out."""
    if series.null_count() == series.len():
        return False
    if isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
        return series.n_unique() <= FEW_WORDS
    return isinstance(series.dtype, NUMBERS)


def _plain(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.Categorical | pl.Enum):
        return series.cast(pl.String)
    if series.dtype.is_integer():
        return series.cast(pl.Int64)
    return series.cast(pl.Float64).fill_nan(None) if series.dtype.is_float() else series


def _checked_rows(looked: Looked, file: Path) -> None:
    rows, identity = looked.rows, [*looked.keys, looked.time]
    for column in identity:
        if missing := rows[column].null_count():
            raise InvalidInput(
                f"{missing:,} rows of {file.name} have no {looked.columns[column]}.", remedy="Fill or remove them."
            )
    if twice := rows.height - rows.select(identity).n_unique():
        raise InvalidInput(
            f"{twice:,} rows of {file.name} are about the same at the same time.",
            f"Rows are told apart by {', '.join(looked.columns[one] for one in identity)}.",
            "Add the column that tells them apart (an order's number) to the keys, as the first.",
        )
    labelled = rows[looked.label].drop_nulls().len()
    if labelled < FEWEST:
        raise InvalidInput(
            f"{file.name} has {labelled:,} rows with a label.", f"The least is {FEWEST}.", "Bring a longer history."
        )
    if looked.known:
        late = rows.filter(pl.col(looked.known) < pl.col(looked.time)).height
        untold = rows.filter(pl.col(looked.known).is_null() & pl.col(looked.label).is_not_null()).height
        if late or untold:
            raise InvalidInput(
                f"{late:,} labels of {file.name} are known before the question is asked, {untold:,} at no time.",
                f"{looked.columns[looked.known]} says when a label became known.",
                "Mend the column, or give a delay instead.",
            )
