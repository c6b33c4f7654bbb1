"""K15: what cannot be used is refused by name; nothing crashes, answers with NaN, or is guessed.

*Requests*, asked of the very parts production is made of (``checks.road``), at the newest moment of K12. What is no request (broken
JSON, no rows, too many) or has a field missing, misspelt, twice, of another type, infinite, out of range or null in the key, must be
refused when it is read, by an error of assay's. What is odd and well typed (null, empty, unseen, 20,000 characters, the largest and
smallest numbers, times of other centuries) must be refused so or get one finite prediction.

*Errors* are planted where only swallowing them can hide them: a model that raises, a model that gives NaN, and columns whose values
raise when they are looked at. Each must be refused, or the answer must be the usual one, for then nobody looks there.

*Training rows* with nulls, infinities, huge numbers, unseen or empty text, numbers as text, NaN as label: the fit refuses, or its model
gives finite predictions or is refused; the process goes on. No rows, and columns whose values raise: the fit refuses, or its model is
the usual one. Columns of other types are tried in another process.

*Time*: a row's answer against a fixed load, and the longest text against the usual request, in CPU seconds, in pairs. It fails where
even the smallest ratio is over the limit.

The control: requests that were refused, beside one that was answered.

Cost: some dozens of answers, seven fits on 200 rows, two of them elsewhere, no feature build, no training but the world's own.

What does not alarm: any refusal; a native library that ends its process when a column is of a type no group holds (LightGBM, given text
for a number): nothing is trained; a value that may be null by its type and is answered; models that look at no data; a slow machine, since
the fixed load is as slow there; predictions of two values at most, in which a NaN may have had its side decided.
"""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import polars as pl

from flows.building.fit import fit, matrix, predict
from flows.checks import compare, elsewhere, k12_parity
from flows.checks.check import Check, Seen
from flows.checks.served import Served, body, requests, served
from flows.checks.world import World
from flows.pipeline import TIME, Pipeline
from flows.serving.schema import MAX_ROWS, Row
from store.errors import AssayError, GateFailed, InvalidInput

FIELDS, ROWS, LONG, PAIRS, LOADS = 25, 200, 20_000, 3, 5
SLOWEST = 150.0
"""So many times the fixed load a row's answer may take; the load is some two milliseconds of a processor of 2020."""
LONGEST = 50.0
"""So many times a usual answer the one for a long text may take."""
LEAST_SECONDS = 1e-4
"""No answer takes less; a clock of CPU time was seen to stand still for a whole one (a virtual machine's)."""
BROKEN = (Exception, pl.exceptions.PanicException)
"""Whatever a user's code may raise: Polars ends its own assertions by a kind that is no Exception."""


def look(world: World) -> Seen:
    """Time the usual, then send what is no request, what is odd, and what raises; then train on bad rows."""
    service, _store, sent, usual = standing(world)
    slow = LOADS * _ratio(lambda: service.answer(body([sent])), lambda: load(LOADS))
    numbers: dict[str, float] = {"times_load": round(slow, 2)}
    if slow > SLOWEST:
        said = f"One row's answer takes at least {slow:.0f} times the fixed load; the most is {SLOWEST:.0f}. Make it cheaper."
        return Seen(said, numbers=numbers, failed=True)
    refused, answered = 0, 0
    for what, wrong in _malformed(world, sent):
        if said := _not_refused(service, wrong):
            return _failed(f"A request with {what} {said}", refused, numbers)
        refused += 1
    for what, odd in _odd(world, sent):
        said, is_refused = _odd_answer(service, body([odd]))
        if said:
            return _failed(f"A request with {what} {said}", refused, numbers)
        refused, answered = refused + is_refused, answered + (not is_refused)
    numbers |= {"refused": refused, "answered": answered}
    if said := _swallowed(world, service, sent, usual) or _untold(world) or _badly_trained(world):
        return _failed(said, refused, numbers)
    longest = {**sent, **dict.fromkeys(_text(world), "long " * (LONG // 5))}
    if _text(world) and not _odd_answer(service, body([longest]))[1]:
        ratio = _ratio(lambda: service.answer(body([longest])), lambda: service.answer(body([sent])))
        numbers["times_usual"] = round(ratio, 2)
        if ratio > LONGEST:
            return _failed(
                f"A text of {LONG:,} characters takes {ratio:.0f} times as long as a usual one", refused, numbers
            )
    sentence = (
        f"{refused:,} bad requests were refused by name, {answered:,} odd ones answered with a finite number; no error was swallowed, at "
        f"serving or in training; a row takes {slow:.1f} times the fixed load."
    )
    return Seen(sentence, refused, numbers)


CHECK = Check("K15", "bad input", look)


def _failed(said: str, refused: int, numbers: dict[str, float]) -> Seen:
    return Seen(f"{said}. Let what cannot be used be refused.", refused, {**numbers, "wrong": 1}, failed=True)


def standing(world: World) -> tuple[Served, Any, Row, float]:
    """A service at the newest moment, what holds its store, the request it answers there with the largest number, and that."""
    service, store = served(world)
    found: list[tuple[float, Row]] = []
    for now, rows in k12_parity.askable(world)[-1:]:
        service.stand(now)
        found = _answered(service, requests(world, rows))
    if not found:
        raise InvalidInput(
            f"{world.pipeline.name} answers no row of its own dataset.",
            remedy="Let the service take what training takes.",
        )
    usual, sent = max(found, key=lambda one: abs(one[0]))
    return service, store, sent, usual


def _answered(service: Served, sent: list[Row]) -> list[tuple[float, Row]]:
    """The rows that are answered, with what is said: all at once, or, where that is refused, by halves."""
    try:
        return list(zip(service.answer(body(sent)).predictions, sent, strict=True))
    except AssayError:
        half = len(sent) // 2
        return [*_answered(service, sent[:half]), *_answered(service, sent[half:])] if half else []


# ---- time ---------------------------------------------------------------------------------------------------------


def load(times: int = 1) -> None:
    """A fixed load, so many times: numbers sorted, and written and read as JSON."""
    numbers = np.random.default_rng(0).random(12_000)
    for _ in range(times):
        orjson.loads(orjson.dumps(np.sort(numbers).tolist()))


def _ratio(one: Callable[[], object], other: Callable[[], object]) -> float:
    """The smallest of some ratios of CPU seconds, each of a pair that ran one after the other."""
    return min(_seconds(one) / max(_seconds(other), LEAST_SECONDS) for _ in range(PAIRS))


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


# ---- requests -----------------------------------------------------------------------------------------------------


def _malformed(world: World, sent: Row) -> Iterator[tuple[str, bytes]]:
    """What must be refused, whatever the pipeline: in words, and as bytes."""
    whole = orjson.dumps({"rows": [sent]})
    yield from (
        ("no body", b""),
        ("half a body", whole[:-3]),
        ("a list for a body", b"[]"),
        ("no rows", b'{"rows": []}'),
    )
    yield from (
        ("text for rows", b'{"rows": "all"}'),
        ("null for a row", b'{"rows": [null]}'),
        ("nothing in a row", b'{"rows": [{}]}'),
    )
    yield "too many rows", orjson.dumps({"rows": [{}] * (MAX_ROWS + 1)})
    yield "an unknown field", body([{**sent, "no_such_field": 1}])
    for name, dtype in _fields(world):
        yield f"{name} missing", body([{one: value for one, value in sent.items() if one != name}])
        yield f"{name} misspelt", body([{(f"{one}_" if one == name else one): value for one, value in sent.items()}])
        yield f"{name} twice", b'{"rows": [{' + orjson.dumps(name) + b": null, " + orjson.dumps(sent)[1:] + b"]}"
        for value in _of_another_type(dtype):
            yield f"{value!r} for {name}", body([{**sent, name: value}])
        for number in (b"NaN", b"Infinity", b"-1e999") if dtype.is_numeric() else ():
            yield f"{number.decode()} for {name}", body([{**sent, name: "@"}]).replace(b'"@"', number)
        if name in world.pipeline.serving.key:
            yield f"null for {name}, of the key,", body([{**sent, name: None}])


def _of_another_type(dtype: pl.DataType) -> list[Any]:
    """JSON values that a field of this dtype cannot be."""
    if dtype == pl.String:
        return [7, True, ["a"], {"a": 1}]
    if dtype == pl.Boolean:
        return ["true", 1, [True]]
    if dtype in (pl.Date, TIME):
        return [7, "yesterday", "", "0001-01-01T00:00:00+00:00"]
    return ["7", True, [7], *([2.5, 2**63] if dtype.is_integer() else [])]


def _odd(world: World, sent: Row) -> Iterator[tuple[str, Row]]:
    """What is well typed and odd: in words, and as a row."""
    for name, dtype in _fields(world):
        if name not in world.pipeline.serving.key:
            yield f"null for {name}", {**sent, name: None}
        for value in _extremes(dtype):
            yield f"{str(value)[:30]!r} for {name}", {**sent, name: value}


def _extremes(dtype: pl.DataType) -> list[Any]:
    if dtype == pl.String:
        return ["", "nobody has heard of this", "\u0000\u202e🛫", "long " * (LONG // 5)]
    if dtype == TIME:
        return ["1900-01-01T00:00:00+00:00", "2200-12-31T23:59:59.999999+00:00"]
    if dtype == pl.Date:
        return ["1900-01-01", "2200-12-31"]
    if dtype == pl.Boolean:
        return []
    if dtype.is_integer():
        bits = 8 * pl.Series([0], dtype=dtype).to_numpy().itemsize
        return [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0]
    largest = 3.4e38 if dtype == pl.Float32 else 1.79e308
    return [largest, -largest, 5e-324, -0.0]


def _fields(world: World) -> list[tuple[str, pl.DataType]]:
    """The request's fields; of a wide request some, evenly from first to last."""
    fields = list(world.pipeline.serving.request.items())
    return fields[:: -(-len(fields) // FIELDS)]


def _text(world: World) -> list[str]:
    return [name for name, dtype in world.pipeline.serving.request.items() if dtype == pl.String]


def _not_refused(service: Served, wrong: bytes) -> str:
    """What is wrong with how a request that must be refused was read; empty if it was refused, before anybody was asked."""
    try:
        service.asked(wrong)
    except AssayError:
        return ""
    except BROKEN as error:
        return f"ended in {type(error).__name__}: {error}, no refusal"
    return "was read, and nothing refused it"


def _odd_answer(service: Served, odd: bytes) -> tuple[str, bool]:
    """What is wrong with how an odd request was taken (or nothing), and whether it was refused."""
    try:
        with warnings.catch_warnings(action="ignore"):
            found = service.answer(odd)
    except AssayError:
        return "", True
    except BROKEN as error:
        return f"ended in {type(error).__name__}: {error}, no refusal", False
    if len(found.predictions) != 1 or not np.isfinite(found.predictions).all():
        return f"was answered with {found.predictions}", False
    return "", False


# ---- errors -------------------------------------------------------------------------------------------------------


class Untold(Exception):
    """What a planted error is: no honest code expects it."""


class Raising:
    """A model that raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise Untold(name)


class Unsure:
    """A model whose every prediction is NaN."""

    def predict(self, data: Any) -> np.ndarray:
        """NaN a row."""
        return np.full(len(data), np.nan)

    def predict_proba(self, data: Any) -> np.ndarray:
        """NaN a row and class."""
        return np.full((len(data), 2), np.nan)


class Raiser:
    """A value that raises whoever looks at it."""

    def _raise(self, *_: object) -> Any:
        raise Untold

    __float__ = __int__ = __index__ = __bool__ = __str__ = __hash__ = __eq__ = __lt__ = __gt__ = __len__ = __iter__ = (
        _raise
    )
    __add__ = __sub__ = __mul__ = __truediv__ = __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __getitem__ = _raise


def raising(data: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """The frame with values in its columns that raise whoever looks at them."""
    values = [Raiser() for _ in range(data.height)]
    return data.with_columns(pl.Series(name, values, dtype=pl.Object) for name in columns)


def _swallowed(world: World, service: Served, sent: Row, usual: float) -> str:
    """What is wrong with a service whose model raises, or gives NaN; empty if both are refused or the model is not asked."""
    asked = service.asked(body([sent]))
    few = world.judged.get_column("prediction").n_unique() <= 2
    for what, model in (("raises", Raising()), ("gives NaN", Unsure())):
        try:
            found = service.predictor.answer(model, asked).predictions
        except AssayError:
            continue
        except BROKEN as error:
            return f"With a model that {what} a request ended in {type(error).__name__}: {error}, no refusal"
        if not np.isfinite(found).all() or (found != [usual] and not (few and isinstance(model, Unsure))):
            return f"With a model that {what} a request was answered with {found[0]} (usually {usual})"
    return ""


def _untold(world: World) -> str:
    """What is wrong with a model that is asked with columns that raise; empty if it is refused or they are not looked at."""
    pipeline, trained = world.pipeline, world.trained
    data = matrix(pipeline, trained.test.head(5))
    usual = predict(pipeline, trained.model, data)
    try:
        found = predict(pipeline, trained.model, raising(data, pipeline.columns))
    except BROKEN:
        return ""
    if not compare.far(usual, found).any():
        return ""
    return (
        f"Asked with columns whose values raise, the model said {found[0]} (usually {usual[0]}): errors are swallowed"
    )


# ---- training rows ------------------------------------------------------------------------------------------------


Bad = tuple[str, pl.DataFrame, bool]
"""Training rows made bad: in words, as rows, and whether no model can come of them but one that looks at nothing."""
Tried = np.ndarray | str | None
"""What came of a fit on bad rows: predictions for good ones, the name of what ends a training's process, or None: it was refused."""


def _badly_trained(world: World) -> str:
    """What is wrong with the first fit on bad rows that is taken wrongly, in words; empty if there is none."""
    labelled = world.trained.train.filter(pl.col("label").is_not_null()).sort("label", maintain_order=True)
    rows = labelled.gather_every(-(-labelled.height // ROWS))
    pipeline, parameters = world.pipeline, world.trained.tuned.parameters
    usual = _after(pipeline, parameters, rows, rows)
    for bad in _bad_rows(pipeline, rows):
        if wrong := _wrong(bad, usual, _tried(pipeline, parameters, bad, rows)):
            return wrong
    try:
        found = elsewhere.answer(world, functools.partial(_badly_typed, pipeline, parameters, rows))
    except GateFailed:  # its process ended there (K09 says if it cannot run there at all)
        return ""
    wrongs = (_wrong(bad, usual, one) for bad, one in zip(_bad_types(pipeline, rows), found, strict=True))
    return next(filter(None, wrongs), "")


def _badly_typed(pipeline: Pipeline, parameters: dict[str, Any], rows: pl.DataFrame) -> list[Tried]:
    """In the other process: what came of each fit on columns of other types."""
    return [_tried(pipeline, parameters, bad, rows) for bad in _bad_types(pipeline, rows)]


def _tried(pipeline: Pipeline, parameters: dict[str, Any], bad: Bad, rows: pl.DataFrame) -> Tried:
    try:
        return _after(pipeline, parameters, bad[1], rows)
    except Exception:  # refused, as whatever a training raises is
        return None
    except (SystemExit, pl.exceptions.PanicException) as error:
        return type(error).__name__


def _wrong(bad: Bad, usual: np.ndarray, found: Tried) -> str:
    what, _, is_meaningless = bad
    if isinstance(found, str):
        return f"A fit on {what} ended in {found}, which ends the training's process"
    if found is not None and is_meaningless and compare.far(usual, found).any():
        return f"A fit on {what} came to an end, and its model says {found[0]} (usually {usual[0]})"
    return ""


def _after(pipeline: Pipeline, parameters: dict[str, Any], bad: pl.DataFrame, rows: pl.DataFrame) -> np.ndarray:
    """Predictions for rows, by a model fitted on bad ones."""
    with warnings.catch_warnings(action="ignore"):
        model = fit(pipeline, parameters, bad)
        return predict(pipeline, model, matrix(pipeline, rows))


def _bad_rows(pipeline: Pipeline, rows: pl.DataFrame) -> Iterator[Bad]:
    """Training rows with bad values."""
    schema = rows.select(pipeline.columns).schema
    third, place = pl.int_range(pl.len()) % 3 == 0, pl.int_range(pl.len())
    yield "nulls", rows.with_columns(pl.when(~third).then(pl.col(name)).alias(name) for name in schema), False
    yield "extremes", rows.with_columns(_extreme(name, dtype, place) for name, dtype in schema.items()), False
    yield (
        "labels that are no number",
        rows.with_columns(pl.when(third).then(math.nan).otherwise("label").alias("label")),
        False,
    )
    yield "no rows", rows.clear(), True


def _bad_types(pipeline: Pipeline, rows: pl.DataFrame) -> Iterator[Bad]:
    """Training rows whose columns are of other types."""
    yield "columns whose values raise", raising(rows, pipeline.columns), True
    schema = rows.select(pipeline.columns).schema
    yield (
        "numbers as text",
        rows.with_columns(pl.col(name).cast(pl.String) for name, dtype in schema.items() if dtype.is_numeric()),
        False,
    )


def _extreme(name: str, dtype: pl.DataType, place: pl.Expr) -> pl.Expr:
    """Infinities and the largest numbers, empty and unseen text, a third of a column each."""
    column = pl.col(name)
    if dtype.is_float():
        ways = pl.when(place % 3 == 0).then(math.inf).when(place % 3 == 1).then(3e38)
    elif dtype == pl.String:
        ways = pl.when(place % 3 == 0).then(pl.lit("")).when(place % 3 == 1).then(pl.format("unseen {}", place))
    else:
        return column
    return ways.otherwise(column).cast(dtype).alias(name)
