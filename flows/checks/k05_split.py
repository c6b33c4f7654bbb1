"""K05: what the model is fitted on ends before what judges it begins.

The pipeline's split is asked for its parts, and then: there are evaluation rows enough for the interval of the floor
(20 with a label, on 3 days, of both classes); no training label was still open when the evaluation rows begin; no
declared ``independent_unit`` is in training or validation *and* in evaluation; and no more evaluation rows have a twin
in training (all model columns and the label alike) than training rows have among themselves.

All of that trusts ``label_time``, so it is put to the test: what happened and became known after a key's own
``label_time`` is dealt out anew (another row's values, half an hour later), for all keys at once and once more after
single instants, and no label that was known by then may change. A question cannot be asked after its answer either.

The control: labels that change when what happened at T or later is dealt out.

Cost: five to eight runs of the dataset, in memory; the joined rows (shared) for the twins; no training.

What does not alarm: a unit that recurs without being declared independent; an open label where the split is the
author's own and by declared units that do not recur, for then time is not what separates them; validation rows whose
labels are open when evaluation begins (shown); a fact that happened by ``label_time`` and became known later, as
ingestion lags; one label that depends on another key's facts, which a single instant tells from its own; a row whose
label is null.
"""

from __future__ import annotations

import math
from datetime import datetime

import polars as pl

from flows.building import assemble, split
from flows.checks import rewrite
from flows.checks.check import Check, Seen
from flows.checks.training import parted
from flows.checks.world import Change, World
from flows.deciding.performance import MINIMUM_BLOCKS, MINIMUM_ROWS
from flows.pipeline import Group, TimeSplit
from store.features.group import EVENT_TIME, KNOWN_TIME

PLACES, CONFIRMED = (0.5, 0.8), 3
AFTER_ITS_ANSWER, TWINS, SIGMAS = 0.01, 0.05, 5


def look(world: World) -> Seen:
    """Judge the parts, then ``label_time``, by which they are judged."""
    rows, parts = _parts(world)
    labelled = rows.filter(pl.col("label").is_not_null())
    train, validation, test = (labelled.filter(pl.col("part") == part) for part in parts)
    numbers: dict[str, float] = {"train": train.height, "validation": validation.height, "test": test.height}
    numbers["days"] = test.get_column("event_time").dt.date().n_unique()
    wrong = (
        _too_few(world, test)
        or _asked_after_its_answer(labelled)
        or _units(world, pl.concat([train, validation]), test)
        or _open(world, numbers, train, validation, test)
        or _too_early(world, numbers, rows)
        or _twins(world, numbers)
    )
    if wrong:
        said, found = wrong
        return Seen(said, numbers=numbers | found, failed=True)
    control = labels_moved(world, rows, "event_time", at=True)
    apart = (
        f"share no {world.pipeline.independent_unit} with"
        if _by_units(world)
        else "begin after all labels were known of"
    )
    sentence = (
        f"{test.height:,} evaluation rows on {numbers['days']} days {apart} {train.height:,} training rows; what happened "
        f"after label_time moved no label, what happened since T {control:,}."
    )
    return Seen(sentence, control, numbers | {"labels_moved": control})


CHECK = Check("K05", "split", look)
Wrong = tuple[str, dict[str, float]] | None


def _parts(world: World) -> tuple[pl.DataFrame, tuple[str, str, str]]:
    """Every question with its part; those of the thinned rows, where the split is by features."""
    spine = assemble.spine(world.pipeline, world.read(), world.window)
    try:
        parts = split.parts(world.pipeline, spine)
    except Exception:  # it may go by a feature, which only the joined rows have
        spine, parts = world.rows, split.parts(world.pipeline, world.rows)
    return spine.with_columns(parts), (split.TRAIN, split.VALIDATION, split.TEST)


def _too_few(world: World, test: pl.DataFrame) -> Wrong:
    days, classes = test.get_column("event_time").dt.date().n_unique(), test.get_column("label").n_unique()
    one_class = world.pipeline.task == "classification" and classes < 2
    if test.height >= MINIMUM_ROWS and days >= MINIMUM_BLOCKS and not one_class:
        return None
    said = (
        f"{test.height} evaluation rows with a label, on {days} days, of {classes} different labels, judge nothing: an "
        f"interval needs {MINIMUM_ROWS} on {MINIMUM_BLOCKS} days{', and both classes' if one_class else ''}."
    )
    return said, {"labels": classes}


def _asked_after_its_answer(rows: pl.DataFrame) -> Wrong:
    late = rows.filter(pl.col("label_time") < pl.col("event_time")).height
    if late <= AFTER_ITS_ANSWER * rows.height:
        return None
    said = (
        f"{late:,} of {rows.height:,} questions are asked after their label is known: event_time is after label_time."
    )
    return said, {"asked_late": late}


def _units(world: World, fitted: pl.DataFrame, test: pl.DataFrame) -> Wrong:
    """Declared units on both sides."""
    unit = world.pipeline.independent_unit
    if unit is None:
        return None
    recurring = fitted.select(unit).drop_nulls().unique().join(test.select(unit).unique(), on=unit, how="semi").height
    if not recurring:
        return None
    said = (
        f"{recurring:,} of {test[unit].n_unique():,} {unit} in evaluation are in training or validation too, and "
        f"{unit} is declared the independent unit: split by it, or declare none."
    )
    return said, {"units_shared": recurring}


def _by_units(world: World) -> bool:
    """Whether the split is the author's own and by declared units."""
    return world.pipeline.independent_unit is not None and not isinstance(world.pipeline.split, TimeSplit)


def _open(
    world: World, numbers: dict[str, float], train: pl.DataFrame, validation: pl.DataFrame, test: pl.DataFrame
) -> Wrong:
    """Training labels that were not known when evaluation begins."""
    start = test.get_column("event_time").min()
    still, waiting = (part.filter(pl.col("label_time") > start).height for part in (train, validation))
    numbers["open_validation"] = waiting
    if not still or _by_units(world):
        return None
    said = (
        f"{still:,} of {train.height:,} training labels were not known when evaluation begins ({start!s}): "
        f"split by time with a gap, or declare the independent_unit that separates them."
    )
    return said, {"open": still}


def _too_early(world: World, numbers: dict[str, float], rows: pl.DataFrame) -> Wrong:
    """Labels that change with what happened after they were known."""
    instants = _instants(world, rows)
    for instant in instants:
        known = rows.filter(pl.col("label_time") < instant)
        if moved := _moved(world, known, _since(world, instant)).height:
            said = (
                f"What happened from {instant:%Y-%m-%d %H:%M:%S.%f} UTC on changed {moved:,} of {known.height:,} labels that "
                f"were known before it by their label_time: it is too early, or the label looks beyond it."
            )
            return said, {"labels_too_early": moved}
    numbers["instants"] = len(instants)
    return None


def _instants(world: World, rows: pl.DataFrame) -> list[datetime]:
    """Just after some of the labels that change with their own key's later facts; and two instants whatever happens."""
    moved = _moved(world, rows, _after(world, rows, "label_time", at=False)).get_column("label_time").sort()
    places = range(0, moved.len(), max(1, -(-moved.len() // CONFIRMED)))
    times = rows.get_column("label_time").sort()
    anyway = [times[int(place * (times.len() - 1))] for place in PLACES]
    return [instant + rewrite.MICROSECOND for instant in (*(moved[place] for place in places), *anyway)]


def labels_moved(world: World, rows: pl.DataFrame, limit: str, *, at: bool) -> int:
    """How many labels change when what happened after each question's own instant in the column ``limit`` (or ``at``
    it as well) is dealt out; where no fact names its question, what happened since the middle of the questions (or at
    some instants, of questions before them)."""
    found = _moved(world, rows, _after(world, rows, limit, at=at)).height
    if found or any(world.own(world.catalog.facts[name].group) for name in world.asked):
        return found
    times = rows.get_column(limit).sort()
    if at:
        middle = times[rows.height // 2]
        return _moved(world, rows.filter(pl.col(limit) >= middle), _since(world, middle)).height
    instants = [times[int(place * (rows.height - 1))] + rewrite.MICROSECOND for place in PLACES]
    return sum(_moved(world, rows.filter(pl.col(limit) < one), _since(world, one)).height for one in instants)


def _after(world: World, rows: pl.DataFrame, limit: str, *, at: bool) -> Change:
    """What happened and became known after each question's own instant dealt out, among the facts that name it."""
    key = list(world.pipeline.serving.key)
    limits = rows.select(*key, pl.col(limit).alias("_limit")).unique(key)
    beyond = pl.min_horizontal(EVENT_TIME, KNOWN_TIME)
    later = beyond >= pl.col("_limit") if at else beyond > pl.col("_limit")

    def change(group: Group, facts: pl.DataFrame) -> pl.DataFrame:
        if not world.own(group):
            return facts
        timed = facts.select(*dict.fromkeys((*key, EVENT_TIME, KNOWN_TIME)))
        timed = timed.join(limits, on=key, how="left", maintain_order="left")
        chosen = timed.select(later.fill_null(value=False)).to_series()
        return rewrite.dealt_out(group, facts, chosen, spared=key, moved=world.window.end)

    return change


def _since(world: World, instant: datetime) -> Change:
    """Everything that happened and became known from an instant on dealt out."""

    def change(group: Group, facts: pl.DataFrame) -> pl.DataFrame:
        chosen = facts.select(rewrite.happened_from(instant)).to_series()
        moved = world.window.end if world.own(group) else None
        return rewrite.dealt_out(group, facts, chosen, spared=world.pipeline.serving.key, moved=moved)

    return change


def _moved(world: World, rows: pl.DataFrame, change: Change) -> pl.DataFrame:
    """The rows whose label is another one in the other world; who is not there is no matter here."""
    key = list(world.pipeline.serving.key)
    other = world.questions(world.read(change)).select(*key, pl.col("label").alias("_other")).unique(key)
    both = rows.join(other, on=key, how="inner")
    return both.filter(pl.col("label").ne_missing(pl.col("_other")))


def _twins(world: World, numbers: dict[str, float]) -> Wrong:
    """Evaluation rows that have a twin in training, against training rows that have one there."""
    train, _, test = parted(world.pipeline, world.rows)
    columns = ["label", *world.pipeline.columns]
    mine, theirs = (part.filter(pl.col("label").is_not_null()).select(columns).hash_rows() for part in (train, test))
    usual = int(mine.is_duplicated().sum()) / mine.len()
    found = int(theirs.is_in(mine.implode()).sum()) / theirs.len()
    numbers |= {"twins": found, "twins_in_training": usual}
    allowed = usual + TWINS + SIGMAS * math.sqrt(usual * (1 - usual) / theirs.len())
    if found <= allowed:
        return None
    said = (
        f"{found:.1%} of the evaluation rows have a twin in training, alike in every model column and the label; of the "
        f"training rows {usual:.1%} have one. Keep copies of a row in one part."
    )
    return said, {}
