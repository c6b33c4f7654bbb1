"""K12: who asks the service is told what the batch says of the same entity and time.

Some of the dataset's rows are asked in three ways. *In batch*, as training and scoring do: ``prepare`` on the dataset's rows, joined as of
``event_time``, given to the model of this process. *As a service does*, by the very parts production is made of (``checks.road``): the
request an application would send, as bytes, checked, prepared without label, looked up online, given to the model read back from its bytes;
all rows in one request and some alone. *In a fresh process*, the same bytes, by a pipeline that nothing was asked of before. The store
stands still: it is materialised at an instant, and only questions before the next fact takes effect are asked. The time of asking, every
column the model sees and the prediction must be equal (floats to a relative 1e-9, 1e-5 in single precision).

Some rows are asked once more with a field null, a name nobody has heard of, another number: what one way refuses, the other must refuse.

The control: predictions that are not those of the row before: the answer to another question would be seen.

Cost: no feature build and no training but the world's own; a copy of its store, up to twelve materialisations of the features' groups, some
hundred requests, some dozens in the other process.

What does not alarm: types that hold the same value; null for NaN, which JSON cannot say; infinities, which nobody can send (such rows are
not asked); a prediction that depends on its company, which is K08's (it may be what the row gets in batch alone); features that change
between T and the answer, since everything stands still.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from flows.building import assemble
from flows.building.fit import matrix, predict
from flows.checks import compare, elsewhere
from flows.checks.check import Check, Seen
from flows.checks.served import Served, body, effective, requests, served
from flows.checks.world import World
from flows.serving.schema import Row
from store.errors import AssayError, InvalidInput

ROWS, MOMENTS, ALONE, CHANGES = 60, 12, 6, 30
STRANGER = "nobody has heard of this"


@dataclass(frozen=True)
class Question:
    """``sent``: what the application sends. ``data``: one row of the model's columns in batch, None if there is none; ``prediction``: what
    it gets there, or ``why`` it is refused. ``is_real``: a row of the dataset as it is."""

    sent: Row
    event_time: datetime
    is_real: bool
    data: pl.DataFrame | None = None
    prediction: float = math.nan
    why: str = ""


@dataclass(frozen=True)
class Moment:
    """The store's instant, and what can be asked before the next fact takes effect."""

    now: datetime
    questions: list[Question]

    @property
    def answered(self) -> list[Question]:
        """The rows of the dataset that the batch has a prediction for."""
        return [question for question in self.questions if question.is_real and not question.why]


def look(world: World) -> Seen:
    """Ask the service, here and in a fresh process, what the batch has answered."""
    asked = moments(world)
    real = [question for moment in asked for question in moment.answered]
    numbers = {"questions": sum(len(moment.questions) for moment in asked), "rows": len(real), "moments": len(asked)}
    if not real:
        return Seen("No row of the dataset can be asked: the batch refuses all.", numbers=numbers, failed=True)
    service, _store = served(world)
    wrong = list[str]()
    for moment in asked:
        service.stand(moment.now)
        wrong += _wrong(world, service, moment)
        if wrong:
            break
    if wrong:
        said = (
            f"{len(wrong)} answers of the service are not the batch's. {wrong[0]}. Let training and serving go one way."
        )
        return Seen(said, numbers={**numbers, "apart": len(wrong)}, failed=True)
    last = next(moment for moment in reversed(asked) if moment.answered)
    apart = _fresh(world, service, [question.sent for question in last.answered])
    numbers["fresh"] = len(last.answered)
    if apart:
        said = f"A fresh process gives other predictions for {apart:,} of {len(last.answered):,} rows: let none remember what was asked."
        return Seen(said, numbers={**numbers, "apart": apart}, failed=True)
    predictions = np.array([question.prediction for question in real])
    control = int(compare.far(predictions, np.roll(predictions, 1)).sum())
    refused = sum(bool(question.why) for moment in asked for question in moment.questions)
    sentence = (
        f"At {len(asked)} moments {len(real):,} rows of the dataset and {numbers['questions'] - len(real):,} with a field changed were "
        f"served as in batch ({refused} refused by both), and alike in a fresh process; {control:,} predictions depend on the row."
    )
    return Seen(sentence, control, {**numbers, "refused": refused, "others": control})


CHECK = Check("K12", "parity", look)


# ---- in batch -----------------------------------------------------------------------------------------------------


def moments(world: World) -> list[Moment]:
    """Rows of the dataset and changed ones, with what the batch says of them, by the instants at which they can be asked."""
    raw = _raw(world)
    still, changes = _still(world, raw), _changes(world, raw)
    found = [Moment(now, list(_real(world, rows))) for now, rows in still]
    turns = [(number % len(still), number // len(still)) for number in range(len(changes) if still else 0)]
    rows = [still[place][1][turn % still[place][1].height] for place, turn in turns]
    changed = [row.with_columns(change) for row, change in zip(rows, changes, strict=True)]
    for number, question in _changed(world, pl.concat(changed)) if changed else ():
        found[turns[number][0]].questions.append(question)
    return found


def questions(world: World) -> list[Question]:
    """All of them."""
    return [question for moment in moments(world) for question in moment.questions]


def _raw(world: World) -> pl.DataFrame:
    """The dataset's own rows that ``rows`` came of, those that can be sent, with ``_asked`` (event_time) and ``_place`` (in ``rows``)."""
    pipeline, key = world.pipeline, list(world.pipeline.serving.key)
    whole = pipeline.dataset(world.read(), world.window)
    asked = world.rows.select(*key, pl.col("event_time").alias("_asked")).with_row_index("_place")
    rows = whole.join(asked, on=key, how="inner", maintain_order="right")
    if lacking := sorted(set(pipeline.serving.request) - set(rows.columns)):
        raise InvalidInput(
            f"The dataset of {pipeline.name} gives no {', '.join(lacking)}.",
            "The request declares them.",
            "Give in training what applications send.",
        )
    endless = [pl.col(name).is_infinite() for name in pipeline.serving.request if rows.schema[name].is_float()]
    return rows.filter(~pl.any_horizontal(pl.lit(value=False), *endless).fill_null(value=False))


def askable(world: World) -> list[tuple[datetime, pl.DataFrame]]:
    """Instants, in order, and rows of the dataset (``_raw``) asked at or after them before the next fact takes effect."""
    return _still(world, _raw(world))


def _still(world: World, raw: pl.DataFrame) -> list[tuple[datetime, pl.DataFrame]]:
    facts = effective(world).search_sorted(raw.get_column("_asked"), side="right")
    placed = raw.with_columns(pl.Series("_still", facts)).sort("_asked", maintain_order=True)
    parts = [part.drop("_still") for _, part in placed.group_by("_still", maintain_order=True)]
    if not parts:
        return []
    usual = sorted(part.height for part in parts)[len(parts) // 2]
    wanted = min(MOMENTS, len(parts), max(3, math.ceil(ROWS / usual)))
    places = sorted({int(place) for place in np.linspace(0, len(parts) - 1, wanted)})
    chosen = [parts[place].gather_every(max(1, parts[place].height * wanted // ROWS)) for place in places]
    return [(part.get_column("_asked").item(0), part) for part in chosen]


def _changes(world: World, raw: pl.DataFrame) -> list[pl.Expr]:
    """A row's fields made otherwise, one at a time: null, a name nobody has heard of, another number; of a wide request some."""
    found = list[pl.Expr]()
    for name, dtype in world.pipeline.serving.request.items():
        mine = raw.schema[name]
        if name not in world.pipeline.serving.key:
            found.append(pl.lit(None, mine).alias(name))
        if dtype == pl.String and mine == pl.String:
            found.append(pl.lit(STRANGER).alias(name))
        elif dtype.is_numeric():
            found.append((pl.col(name) * 3 + 1).cast(mine, strict=False).alias(name))
    return found[:: -(-len(found) // CHANGES)] if found else []


def _real(world: World, rows: pl.DataFrame) -> Iterator[Question]:
    """The dataset's rows, as they were trained and tested with."""
    data = matrix(world.pipeline, world.rows[rows.get_column("_place")])
    for sent, time, place, found in zip(
        requests(world, rows), rows["_asked"], range(rows.height), _predicted(world, data)
    ):
        yield Question(sent, time, True, data[place], found.value, found.why)


def _changed(world: World, rows: pl.DataFrame) -> Iterator[tuple[int, Question]]:
    """Changed rows by their place, as the batch prepares, joins and asks them; not those that are another moment's by their change."""
    sent, times = requests(world, rows), rows.get_column("_asked").to_list()
    prepared, whys = _prepared(world, rows)
    for place, why in whys.items():
        yield place, Question(sent[place], times[place], False, why=why)
    if prepared.is_empty():
        return
    joined = assemble.joined(world.scratch.root, world.pipeline, prepared)
    data = matrix(world.pipeline, joined)
    for row, place, found in zip(range(data.height), joined["_number"], _predicted(world, data)):
        question = Question(sent[place], times[place], False, data[row], found.value, found.why)
        yield place, question


def _prepared(world: World, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, str]]:
    """The rows prepared one by one, with ``_number``, their place, that are asked when they were; and why others are refused."""
    found, whys = list[pl.DataFrame](), dict[int, str]()
    for place, time in enumerate(rows.get_column("_asked")):
        try:
            one = world.pipeline.prepare(rows[place].drop("_asked", "_place"))
            asked = one.get_column("event_time").item()
        except Exception as error:  # a refusal is an answer as well
            whys[place] = _why(error)
            continue
        if asked is None:
            whys[place] = "it has no event_time"
        elif asked == time:
            found.append(one.with_columns(_number=pl.lit(place)))
    return (pl.concat(found, how="vertical_relaxed") if found else pl.DataFrame()), whys


@dataclass(frozen=True)
class Predicted:
    """A prediction, or why there is none."""

    value: float
    why: str = ""


def _predicted(world: World, data: pl.DataFrame) -> list[Predicted]:
    """A prediction a row, of all at once, or, where that is refused, by halves."""
    try:
        return [Predicted(value) for value in predict(world.pipeline, world.trained.model, data).tolist()]
    except Exception as error:  # a refusal is an answer as well
        if data.height == 1:
            return [Predicted(math.nan, _why(error))]
        half = data.height // 2
        return [*_predicted(world, data[:half]), *_predicted(world, data[half:])]


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


# ---- served -------------------------------------------------------------------------------------------------------


def _wrong(world: World, service: Served, moment: Moment) -> Iterator[str]:
    """What the service says otherwise, in words: of all rows of the dataset in one request, of some alone, of every changed one."""
    together = moment.answered
    if together:
        yield from _compared(world, service, together)
    for question in [*together[:ALONE], *(one for one in moment.questions if one not in together)]:
        yield from _compared(world, service, [question])


def _compared(world: World, service: Served, questions: Sequence[Question]) -> Iterator[str]:
    """What is wrong with the answers to one request."""
    first, sent = questions[0], [question.sent for question in questions]
    try:
        asked = service.asked(body(sent))
        found = service.answer(body(sent))
    except AssayError as error:
        if not first.why:
            yield f"{_named(first)} was refused ({_why(error)}), and in batch gets {first.prediction:.6g}"
        return
    if first.why:
        yield f"{_named(first)} was given {found.predictions[0]:.6g}, and batch refuses it ({first.why})"
        return
    prepared = world.pipeline.prepare(pl.DataFrame(asked.rows, schema=dict(world.pipeline.serving.request)))
    answers = zip(questions, found.predictions, found.served, prepared.get_column("event_time"), strict=True)
    for question, prediction, columns, time in answers:
        if what := _otherwise(world, question, prediction, columns, time):
            yield f"{_named(question)} {what}"


def _otherwise(world: World, question: Question, prediction: float, columns: Row, time: datetime) -> str:
    """What the service saw or said otherwise, in words."""
    assert question.data is not None
    if time != question.event_time:
        return f"was taken as asked at {time}, in batch at {question.event_time}"
    for column in question.data.iter_columns():
        mine, theirs = _plain(column), columns.get(column.name)
        if not _same(mine, theirs, column.dtype):
            return f"was looked at with {column.name} {theirs!r}, in batch with {mine!r}"
    usual = world.judged.get_column("prediction").to_numpy()
    if not compare.far(np.array([question.prediction]), np.array([prediction]), usual).any():
        return ""
    alone = predict(world.pipeline, world.trained.model, question.data)
    if not compare.far(alone, np.array([prediction]), usual).any():
        return ""
    return f"was given {prediction!r}, in batch {question.prediction!r}, of the same columns"


def _named(question: Question) -> str:
    return "The question " + ", ".join(f"{name}={value!r}" for name, value in list(question.sent.items())[:3])


def _plain(column: pl.Series) -> Any:
    if isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
        return column.cast(pl.String).item()
    return (column.to_physical() if column.dtype.is_temporal() else column).cast(pl.Float64).fill_nan(None).item()


def _same(mine: Any, theirs: Any, dtype: pl.DataType) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float):
        return math.isclose(mine, theirs, rel_tol=compare.SINGLE if dtype == pl.Float32 else compare.PREDICTED)
    return bool(mine == theirs) or (mine is None and theirs != theirs)


def _fresh(world: World, service: Served, sent: list[Row]) -> int:
    """Predictions that differ in a fresh process."""
    usual = world.judged.get_column("prediction").to_numpy()
    here = service.answer(body(sent)).predictions
    unused = dataclasses.replace(service, pipeline=world.unused)
    there = elsewhere.answer(world, functools.partial(_there, unused, sent))
    return int(compare.far(np.array(here), np.array(there), usual).sum())


def _there(service: Served, sent: list[Row]) -> list[float]:
    with threadpool_limits(1):
        return Served(service.pipeline, service.road, service.root, service.stored).answer(body(sent)).predictions
