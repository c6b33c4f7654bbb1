"""K04: the evaluation rows decide nothing that is fitted or chosen.

Four times the held-out (test) rows are made what they were not. *At the source*: what happened and became known
since the first of them is rewritten and the features are built again; every training and validation row must be there
with the same content (floats to a relative 1e-12), or something before the split has seen them all, such as a mean
taken in ``prepare``. *Before the split*: ``dataset`` and ``prepare``, of a pipeline that nothing was asked of before,
are given other test rows, with other answers; then it must prepare, search and fit the training rows as if it had not
seen them, or it has kept something, such as a scaler fitted by the way. *In the joined rows* their features are
poisoned, and *in the joined rows* their labels; each time the pipeline is split, searched and fitted anew, with the
same seeds, and everything must be equal to the bit: training and validation rows, chosen parameters, every trial's
value, everything learned that can be reached below the model, and predictions for fixed probe rows, so that a wrapper
hides nothing.

The control: cells of the evaluation matrix that the poison changed; shown besides, how many of the model's
predictions on them moved.

Cost: one build of the features, one run of the dataset in memory and four trainings, the search cut to one trial beside
the defaults (shown as ``trials``; two candidates show who chooses as well as twenty). It stops at the first difference.

What does not alarm: a pipeline that differs between two trainings on the *same* rows (wall times a search notes down
are left out; what else differs makes the check VACUOUS: it cannot tell); a refit on all rows, which is a declared
later step; validation rows, which may tune and stop early. The source is left alone where training rows are not all
older than the test rows (a split that is not by time): there K02 and K08 see what has looked at all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from flows.building.fit import matrix, predict
from flows.checks import compare, poison, rewrite
from flows.checks.check import Check, Seen
from flows.checks.learned import differences, learned
from flows.checks.training import Trained, parted, train
from flows.checks.world import World
from flows.pipeline import Pipeline

PROBES = 200
Poison = Callable[[Pipeline, pl.DataFrame, pl.Series], pl.DataFrame]
"""Rows with some of them made others."""


def look(world: World) -> Seen:
    """Poison the test rows at the source, before the split, in their features and in their labels; nothing fitted or chosen
    may move."""
    clean, control = world.trained, 0  # before anything else is asked of the pipeline, which may keep what it sees
    source = _at_the_source(world)
    if source is not None and (source.total or source.lost):
        return _source_failed(source)
    numbers = {
        "test_rows": clean.test.height,
        "trials": len(clean.tuned.trials),
        "rows_rebuilt": source.compared if source else 0,
    }
    if kept := _kept_before(world):
        return kept
    for what, way in (("features", poison.features), ("labels", poison.labels)):
        rows, cells, moved = _poisoned(world, clean, way)
        control += cells
        numbers |= {f"{what}_cells": cells, f"{what}_predictions": moved}
        found = told_apart(world.pipeline, clean, train(world.pipeline, rows))
        if any(found.values()) and (seen := _judged(world, f"Poisoned {what} of the test rows", found, control)):
            return seen
    sentence = (
        f"With {numbers['features_cells']:,} cells of {clean.test.height:,} test rows poisoned and their labels "
        f"turned, {len(clean.tuned.trials)} trials, {len(learned(clean.model)):,} learned values and "
        f"{_probes(clean).height:,} probe predictions stayed the same."
    )
    return Seen(sentence, control, numbers)


CHECK = Check("K04", "held-out poison", look)


def told_apart(pipeline: Pipeline, one: Trained, other: Trained) -> dict[str, list[str]]:
    """What differs between two trainings, by kind: ``rows``, ``parameters``, ``trials``, ``learned``,
    ``predictions``; empty where nothing does."""
    probes = matrix(pipeline, _probes(one))
    mine, theirs = predict(pipeline, one.model, probes), predict(pipeline, other.model, probes)
    return {
        "rows": _rows_apart(pipeline, one, other),
        "parameters": differences(learned(one.tuned.parameters), learned(other.tuned.parameters)),
        "trials": differences(learned(one.tuned.trials), learned(other.tuned.trials)),
        "learned": differences(learned(one.model), learned(other.model)),
        "predictions": [str(row) for row in np.flatnonzero(mine != theirs)],
    }


def _rows_apart(pipeline: Pipeline, one: Trained, other: Trained) -> list[str]:
    """Rows of training and validation that differ in number or content."""
    columns = list(dict.fromkeys((*pipeline.serving.key, "event_time", "label", *pipeline.columns)))
    apart = []
    for part, mine, theirs in (("train", one.train, other.train), ("validation", one.validation, other.validation)):
        mine, theirs = mine.select(columns), theirs.select(columns)
        if mine.height != theirs.height:
            apart += [part] * abs(mine.height - theirs.height)
        elif not mine.equals(theirs):
            apart += [part] * mine.join(theirs, on=columns, how="anti", nulls_equal=True).height
    return apart


def _probes(trained: Trained) -> pl.DataFrame:
    return pl.concat([part.head(PROBES) for part in (trained.train, trained.validation, trained.test)])


def time_parts(world: World) -> bool:
    """Whether everything that is fitted was asked and answered before the first test row."""
    train_rows, validation, test = parted(world.pipeline, world.rows)
    start, earlier = test.get_column("event_time").min(), pl.concat([train_rows, validation])
    return bool(earlier.select((pl.max_horizontal("event_time", "label_time") < start).all()).item())


def _at_the_source(world: World) -> compare.Moved | None:
    """Training and validation rows in the world where everything since the first test row went otherwise; None if
    they are not all older."""
    train_rows, validation, test = parted(world.pipeline, world.rows)
    start, earlier = test.get_column("event_time").min(), pl.concat([train_rows, validation])
    if not isinstance(start, datetime) or not time_parts(world):
        return None
    return compare.moved(earlier, world.otherwise(start), on=world.key, columns=["label", *world.pipeline.columns])


# ---- before the split ---------------------------------------------------------------------------------------------


def _kept_before(world: World) -> Seen | None:
    """What a pipeline has kept of other test rows that its ``dataset`` and ``prepare`` were given; None if it is nothing."""
    for poisons in ((_other_inputs, _other_labels), (_other_labels,)):
        pipeline = world.unused
        try:
            prepared = _prepared_otherwise(world, pipeline, poisons)
        except Exception:  # a pipeline may refuse such values; it is asked again with other labels alone
            continue
        rows = compare.moved(_earlier(world), prepared, on=world.key, columns=["label", *pipeline.inputs])
        what = "Other test rows in dataset and prepare"
        if rows.total:
            said = f"{what} changed {rows.total:,} cells of {rows.rows:,} training and validation rows, most in {rows.worst}."
            return Seen(said, failed=True, numbers={"cells_kept": rows.total})
        found = told_apart(pipeline, world.trained, train(pipeline, world.rows))
        return _judged(world, what, found, 0) if any(found.values()) else None
    return None


def _prepared_otherwise(world: World, pipeline: Pipeline, poisons: Sequence[Poison]) -> pl.DataFrame:
    """The questions, prepared, with the test rows made others: at the source where all else is older, and as the dataset gives them."""
    key, read = list(pipeline.serving.key), world.read()
    start = world.trained.test.get_column("event_time").min()
    if isinstance(start, datetime) and time_parts(world):
        future = rewrite.happened_from(start)
        read = world.read(lambda group, rows: rewrite.otherwise(group, rows, future, spared=key, added=False))
    rows = pipeline.dataset(read, world.window)
    known = _earlier(world).select(key).unique().with_columns(pl.lit(value=False).alias("_held"))
    held = rows.select(key).join(known, on=key, how="left", maintain_order="left").get_column("_held").is_null()
    for poisoned in poisons:
        rows = poisoned(pipeline, rows, held)
    return pipeline.prepare(rows)


def _settled(world: World) -> Pipeline:
    """The pipeline with nothing asked of it but these very facts."""
    pipeline = world.unused
    pipeline.prepare(pipeline.dataset(world.read(), world.window))
    return pipeline


def _earlier(world: World) -> pl.DataFrame:
    return pl.concat([world.trained.train, world.trained.validation])


def _other_inputs(pipeline: Pipeline, rows: pl.DataFrame, held: pl.Series) -> pl.DataFrame:
    names = [name for name in poison.plantable(pipeline) if name in rows.columns]
    return poison.features(pipeline, rows, held, names)


def _other_labels(pipeline: Pipeline, rows: pl.DataFrame, held: pl.Series) -> pl.DataFrame:
    return poison.labels(pipeline, rows, held) if "label" in rows.columns else rows


# ---- after the split ----------------------------------------------------------------------------------------------


def _poisoned(world: World, clean: Trained, way: Poison) -> tuple[pl.DataFrame, int, int]:
    """All rows with the test rows poisoned; how many cells that changed, and how many of the model's predictions on
    them."""
    held = clean.test.select(*world.key, pl.lit(value=True).alias("_held"))
    marked = world.rows.select(world.key).join(held, on=world.key, how="left", maintain_order="left")
    mask = marked.get_column("_held").fill_null(value=False)
    rows = way(world.pipeline, world.rows, mask)
    test = rows.filter(mask)
    columns = ["label", *world.pipeline.columns]
    cells = compare.moved(clean.test, test, on=world.key, columns=columns, exact=columns).total
    return rows, cells, _predictions_moved(world.pipeline, clean, test)


def _predictions_moved(pipeline: Pipeline, clean: Trained, test: pl.DataFrame) -> int:
    before = predict(pipeline, clean.model, matrix(pipeline, clean.test))
    try:
        return int((before != predict(pipeline, clean.model, matrix(pipeline, test))).sum())
    except Exception:  # a model that refuses the poison would have noticed it
        return test.height


def _source_failed(moved: compare.Moved) -> Seen:
    numbers = {"cells": moved.total, "rows_moved": moved.rows, "rows_lost": moved.lost, "rows_rebuilt": moved.compared}
    said = (
        f"Rewriting what happened since the test rows began changed {moved.total:,} cells of {moved.rows:,} "
        f"training and validation rows, most in {moved.worst or 'none'}; {moved.lost:,} vanished."
    )
    return Seen(said, failed=True, numbers=numbers)


def _judged(world: World, what: str, found: dict[str, list[str]], control: int) -> Seen | None:
    """A difference counts only if two trainings on the same rows do not make it as well; None if none is left."""
    unrest = told_apart(world.pipeline, world.trained, train(_settled(world), world.rows))
    if restless := [kind for kind, paths in unrest.items() if paths and kind != "learned"]:
        said = f"Two trainings on the same rows differ in {' and '.join(restless)}: set every seed, then ask again."
        return Seen(said)
    left = {kind: [path for path in paths if path not in unrest[kind]] for kind, paths in found.items()}
    if not any(left.values()):
        return None
    said = ", ".join(f"{len(paths):,} {kind} ({paths[0]})" for kind, paths in left.items() if paths)
    numbers = {f"{kind}_moved": float(len(paths)) for kind, paths in left.items()}
    return Seen(f"{what} moved {said}.", control, numbers, failed=True)
