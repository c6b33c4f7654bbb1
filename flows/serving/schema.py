"""What may be sent: rows and outcomes checked by the manifest's dtypes, every problem named by its field's path.

JSON is stricter here than in most parsers: NaN, Infinity, numbers beyond Float64, the same key twice, half a surrogate
pair and absurd nesting are refused, because each of them means something else to the next program that reads it. A
value may be null (unknown) unless it is part of the key; a field may not be missing, so that a misspelt one is noticed.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import orjson
import polars as pl

from store.errors import InvalidInput
from store.traffic import outcomes
from store.traffic.fields import DTYPES, TIME

MAX_ROWS = 10_000
MAX_PROBLEMS = 20
_YEARS = range(1900, 2201)
_KEY = re.compile(rb'"\s*:')
_PREDICTION = re.compile(r"[0-9a-f]{32}")
Row = dict[str, Any]


class Rejected(InvalidInput):
    """A request that cannot be used. ``problems``: path and sentence: ``("rows[3].miles", "is not a number")``."""

    def __init__(self, problems: Sequence[tuple[str, str]], status: int = 422) -> None:
        self.problems, self.status = list(problems[:MAX_PROBLEMS]), status
        more = f" … and {len(problems) - MAX_PROBLEMS} more." if len(problems) > MAX_PROBLEMS else ""
        super().__init__("; ".join(f"{path} {what}" if path else what for path, what in self.problems) + "." + more)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:  # type: ignore[override]
        return type(self), (self.problems, self.status)


@dataclass(frozen=True)
class Asked:
    """A predict request: rows with typed values, the features given with each, and whether it is only tried."""

    rows: list[Row]
    features: list[Row]
    dry_run: bool


@dataclass(frozen=True)
class Told:
    """One outcome: by prediction id, or by the key fields, with whatever of the outcome is known so far."""

    prediction_id: str | None
    fields: Row


@dataclass
class _Problems:
    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: str, what: str) -> None:
        self.found.append((path, what))
        if len(self.found) > 10 * MAX_PROBLEMS:
            raise Rejected(self.found)

    def raised(self) -> None:
        if self.found:
            raise Rejected(self.found)


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Rejected with 400: anything else, or one that two programs could read differently."""
    try:
        value = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise Rejected([("", f"The body is not JSON: {error}")], 400) from None
    if not isinstance(value, dict):
        raise Rejected([("", "The body is not a JSON object")], 400)
    if len(_KEY.findall(body)) != _keys(value) and (twice := _twice(body)):
        raise Rejected([(twice, "is there twice in one object")], 400)
    return value


class Schema:
    """The requests one manifest allows."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.request = {name: DTYPES[dtype] for name, dtype in manifest["request"].items()}
        self.outcome = {name: DTYPES[dtype] for name, dtype in outcomes.declared(manifest).items()}
        self.key = tuple(manifest["key"])
        self.features = [use["prefix"] + feature for use in manifest["features"] for feature in use["features"]]
        self._checks = {name: _CHECKS[dtype] for name, dtype in self.request.items()}
        self._outcome_checks = {name: _CHECKS[dtype] for name, dtype in self.outcome.items()}

    def asked(self, body: Mapping[str, Any]) -> Asked:
        """A predict body: ``{"rows": [...]}`` or ``{"row": {...}}``, perhaps ``dry_run``. Rejected: named fields."""
        problems = _Problems()
        _known(body, ("rows", "row", "dry_run"), "", problems)
        dry_run = body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            problems.add("dry_run", "is neither true nor false")
        if ("rows" in body) == ("row" in body):
            raise Rejected([*problems.found, ("rows", "or row must be there, and not both")])
        given = [body["row"]] if "row" in body else _listed(body["rows"], "rows")
        paths = ["row"] if "row" in body else [f"rows[{index}]" for index in range(len(given))]
        rows, features = [], []
        for path, row in zip(paths, given):
            rows.append(self._row(row, path, problems))
            features.append(self._features(row, path, problems))
        problems.raised()
        return Asked(rows, features, dry_run)

    def told(self, body: Mapping[str, Any]) -> list[Told]:
        """An outcomes body, ``{"outcomes": [...]}``. Rejected: named fields."""
        problems = _Problems()
        _known(body, ("outcomes",), "", problems)
        given = _listed(body.get("outcomes"), "outcomes")
        found = [self._told(outcome, f"outcomes[{index}]", problems) for index, outcome in enumerate(given)]
        problems.raised()
        return found

    def _row(self, given: Any, path: str, problems: _Problems) -> Row:
        if not isinstance(given, dict):
            problems.add(path, "is not an object")
            return {}
        _known(given, (*self.request, "features"), path, problems)
        row = {}
        for name, check in self._checks.items():
            if name not in given:
                problems.add(f"{path}.{name}", "is missing")
                continue
            row[name] = _checked(given[name], check, f"{path}.{name}", problems)
            if given[name] is None and name in self.key:
                problems.add(f"{path}.{name}", "is null, and part of the key")
        return row

    def _features(self, given: Any, path: str, problems: _Problems) -> Row:
        features = given.get("features") if isinstance(given, dict) else None
        if features is None:
            return {}
        if not isinstance(features, dict):
            problems.add(f"{path}.features", "is not an object")
            return {}
        _known(features, self.features, f"{path}.features", problems)
        for name, value in features.items():
            if value is not None and not isinstance(value, str | bool | int | float):
                problems.add(f"{path}.features.{name}", "is not a number, a text, true, false or null")
        return features

    def _told(self, given: Any, path: str, problems: _Problems) -> Told:
        if not isinstance(given, dict):
            problems.add(path, "is not an object")
            return Told(None, {})
        _known(given, ("prediction_id", *self.outcome), path, problems)
        prediction = given.get("prediction_id")
        if prediction is not None and not (isinstance(prediction, str) and _PREDICTION.fullmatch(prediction)):
            problems.add(f"{path}.prediction_id", "is not an id that this service gave")
        if prediction is None and any(given.get(name) is None for name in self.key):
            problems.add(path, f"names neither a prediction_id nor all of the key ({', '.join(self.key)})")
        row = {
            name: _checked(given[name], check, f"{path}.{name}", problems)
            for name, check in self._outcome_checks.items()
            if given.get(name) is not None
        }
        if not set(row) - (set(self.key) if set(self.outcome) - set(self.key) else set()):
            problems.add(path, f"says nothing: give any of {', '.join(self.outcome)}")
        return Told(prediction, row)


def json_schema(dtype: pl.DataType) -> dict[str, Any]:
    """A dtype as OpenAPI says it."""
    if dtype == TIME:
        return {"type": ["string", "null"], "format": "date-time", "description": "ISO 8601 with a zone"}
    if dtype == pl.Date:
        return {"type": ["string", "null"], "format": "date"}
    if dtype == pl.String:
        return {"type": ["string", "null"]}
    if dtype == pl.Boolean:
        return {"type": ["boolean", "null"]}
    return {"type": ["integer" if dtype.is_integer() else "number", "null"]}


def _keys(value: Any) -> int:
    """How many keys there are in all objects of a parsed value."""
    count, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            count += len(one)
            left += [child for child in one.values() if isinstance(child, dict | list)]
        else:
            left += [child for child in one if isinstance(child, dict | list)]
    return count


def _twice(body: bytes) -> str:
    """A key that stands twice in one object, or nothing. Only for JSON that was parsed already."""
    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in items]
        found.extend(name for name in set(names) if names.count(name) > 1)

    try:
        json.loads(body, object_pairs_hook=pairs)
    except RecursionError:
        return "a key"
    return found[0] if found else ""


def _listed(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise Rejected([(name, "is not a list with anything in it")])
    if len(value) > MAX_ROWS:
        raise Rejected([(name, f"has {len(value):,} entries; the most is {MAX_ROWS:,}")], 413)
    return value


def _known(given: Mapping[str, Any], names: Sequence[str], path: str, problems: _Problems) -> None:
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names) or 'none'}"
            problems.add(f"{path}.{name}" if path else name, f"is not known here{hint}")


def _checked(value: Any, check: Callable[[Any], Any], path: str, problems: _Problems) -> Any:
    if value is None:
        return None
    try:
        return check(value)
    except ValueError as error:
        problems.add(path, str(error))
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _whole(bits: int) -> Callable[[Any], int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != math.floor(value):
            raise ValueError("is not a whole number")
        inexact = isinstance(value, float) and abs(value) > 2**53  # also what an integer of more than 64 bits becomes
        if inexact or not low <= value <= high:
            raise ValueError(f"is not between {low} and {high}")
        return int(value)

    return check


def _number(largest: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("is not a number")
        if not -largest <= value <= largest:
            raise ValueError(f"is not between {-largest:.3g} and {largest:.3g}")
        return float(value)

    return check


def _instant(value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(_text(value))
    except ValueError:
        raise ValueError("is not a time in ISO 8601, such as 2013-04-01T10:15:00+00:00") from None
    if instant.tzinfo is None:
        raise ValueError("has no zone: give it one, such as +00:00 for UTC")
    if instant.year not in _YEARS:
        raise ValueError(f"is not between the years {_YEARS.start} and {_YEARS.stop - 1}")
    return instant.astimezone(UTC)


def _day(value: Any) -> date:
    try:
        day = date.fromisoformat(_text(value))
    except ValueError:
        raise ValueError("is not a date in ISO 8601, such as 2013-04-01") from None
    if day.year not in _YEARS:
        raise ValueError(f"is not between the years {_YEARS.start} and {_YEARS.stop - 1}")
    return day


_CHECKS: dict[pl.DataType, Callable[[Any], Any]] = {
    pl.String(): _text,
    pl.Boolean(): _truth,
    pl.Date(): _day,
    TIME: _instant,
    pl.Float32(): _number(3.4028234663852886e38),
    pl.Float64(): _number(1.7976931348623157e308),
    **{dtype: _whole(bits) for dtype, bits in ((pl.Int8(), 8), (pl.Int16(), 16), (pl.Int32(), 32), (pl.Int64(), 64))},
}
