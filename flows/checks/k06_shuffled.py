"""K06: what is learned of labels that mean nothing predicts nothing.

The labels are dealt out anew among the questions, twenty times, by fixed permutations. What is fitted on such training rows must be as
good as chance on the evaluation rows: if it is better, the answer came to the rows on another road than by learning: an input made of
the label, a mean of labels with the row's own among them, columns chosen by the labels of all rows. The split cannot show that, for the
rows themselves are apart.

Where one value column of a group under the question's own key carries the label (dealing it out exchanges the labels accordingly), it
is dealt out *at the source*, and ``dataset`` and ``prepare`` run on it; else the labels are dealt out in what the dataset gives, and
``prepare`` runs on those. Where the first permutation changes no input, nothing between source and rows reads the label, and the
others are dealt out in the joined rows. Each label may go to any row, so that what is autocorrelated in time is so no longer, and every
row's label is as good as drawn: chance is exactly a concordance (AUC; for values (1 + Spearman's ρ) / 2) of 0.5.

Judged is the mean over the permutations by its own standard error (so questions that share an answer do not alarm): beyond 5 of them
is less than one in ten thousand by chance (Student's t, 19 degrees). A search of the author's own runs as well, and what it asks
its metric is judged: a trial may lean on the validation rows, as early stopping does, but trials are more than three standard deviations
of one better than chance, on average, only if the labels that judge them were seen before: columns chosen before the folds.

The control: how far beyond chance the same training is where all columns carry the label.

Cost: twenty trainings with default parameters on about 900 rows (six where it fails plainly; all rows, where so few do not teach it a
planted signal); at most 21 runs of the dataset, in
memory: no build of features.

What does not alarm: a lag of earlier labels, which tell nothing of the next one when they are dealt out; a label computed of what is
known and of what comes (a difference to now), for that is not dealt out at the source; questions that share an answer; rare classes, of
which all rows are kept.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from flows.building import split
from flows.building.fit import fit, matrix, predict
from flows.checks import compare, signal
from flows.checks.check import Check, Seen
from flows.checks.ranks import CHANCE, concordance
from flows.checks.training import Trained, parted, train, unsearched
from flows.checks.world import World
from flows.pipeline import ROC_AUC, Group, Pipeline

PERMUTATIONS, PLAINLY = 20, 6
LIMIT, PLAIN_LIMIT, LEANING = 5.0, 12.0, 3.0
LEAST = 1e-3
ROWS, RARE = 900, 60
AGREE = 0.99

Shuffled = Callable[[int], pl.DataFrame]
"""The rows to train on and judge, with the labels of one permutation."""


def look(world: World) -> Seen:
    """Train on labels dealt out anew; evaluation rows and trials must see chance."""
    column = carrier(world)
    shuffled, where = _roads(world, some(world), column)
    control = _planted(world.pipeline, shuffled(0))
    if not control:
        shuffled, where = _roads(world, world.rows.filter(pl.col("label").is_not_null()), column)
        control = _planted(world.pipeline, shuffled(0))
    found = _Scores([], [])
    for number in range(PERMUTATIONS):
        found.add(world.pipeline, shuffled(number), number)
        if number + 1 >= PLAINLY and found.plain:
            break
    numbers = {
        "permutations": len(found.scores),
        "mean": float(np.mean(found.scores)),
        "errors_from_chance": found.away,
        "trials_from_chance": found.leaning,
        "planted": CHANCE + control,
    }
    dealt = f"With labels dealt out {where}"
    if abs(found.away) > LIMIT:
        said = (
            f"{dealt} the evaluation rows are predicted with a concordance of {numbers['mean']:.3f} instead of 0.5, {found.away:+.1f} "
            f"standard errors from chance: the label reaches them on another road than by learning."
        )
        return Seen(said, control, numbers, failed=True)
    if found.leaning > LEANING:
        said = (
            f"{dealt} the search's trials are {found.leaning:.1f} standard deviations better than chance: it has seen the labels that "
            f"judge them. Choose columns inside each fold."
        )
        return Seen(said, control, numbers, failed=True)
    sentence = (
        f"{dealt} the evaluation rows are predicted with a concordance of {numbers['mean']:.3f}, {found.away:+.1f} standard errors "
        f"from chance; with a planted signal it is {numbers['planted']:.3f}."
    )
    return Seen(sentence, control, numbers)


CHECK = Check("K06", "shuffled label", look)


@dataclass
class _Scores:
    """What the permutations gave: each one's concordance on its evaluation rows, and that of every trial that the search asked its
    metric of."""

    scores: list[float]
    trials: list[float]

    def add(self, pipeline: Pipeline, rows: pl.DataFrame, number: int) -> None:
        """Train on a permutation's rows and note what came of it."""
        if pipeline.tune is None:
            self.scores.append(_score(pipeline, unsearched(pipeline, rows, seed=number)))
            return
        heard = list[float]()

        def compute(labels: np.ndarray, predictions: np.ndarray) -> float:
            heard.append(concordance(labels, predictions))
            return pipeline.metric.compute(labels, predictions)

        listening = dataclasses.replace(pipeline, metric=dataclasses.replace(pipeline.metric, compute=compute))
        trained = train(listening, rows, seed=number)
        self.scores.append(_score(pipeline, trained))
        if not heard and pipeline.metric.name == ROC_AUC.name:  # a scorer of its own, on the same scale
            heard = [trial["value"] for trial in trained.tuned.trials if math.isfinite(trial["value"])]
        self.trials += heard

    @property
    def away(self) -> float:
        """How many standard errors the mean score is from chance."""
        error = max(float(np.std(self.scores, ddof=1)) / math.sqrt(len(self.scores)), LEAST)
        return (float(np.mean(self.scores)) - CHANCE) / error

    @property
    def leaning(self) -> float:
        """By how many standard deviations of one trial its trials are beyond chance, on average; 0 where none was heard of."""
        if len(self.trials) < 2:
            return 0.0
        return (float(np.mean(self.trials)) - CHANCE) / max(float(np.std(self.trials, ddof=1)), LEAST)

    @property
    def plain(self) -> bool:
        """Whether a few permutations tell as much as all."""
        return abs(self.away) > PLAIN_LIMIT or self.leaning > LEANING * 2


def _score(pipeline: Pipeline, trained: Trained) -> float:
    test = trained.test.filter(pl.col("label").is_not_null())
    return concordance(test.get_column("label").to_numpy(), predict(pipeline, trained.model, matrix(pipeline, test)))


def some(world: World) -> pl.DataFrame:
    """About ``ROWS`` of the labelled rows from everywhere, of a rare class all; every one where so few cannot be split."""
    rows = world.rows.filter(pl.col("label").is_not_null())
    classes = rows.partition_by("label") if world.pipeline.task == "classification" else [rows]
    share = ROWS / max(1, rows.height)
    kept = pl.concat([one.gather_every(max(1, int(one.height / max(RARE, share * one.height)))) for one in classes])
    chosen = rows.join(kept.select(world.key), on=world.key, how="semi", maintain_order="left")
    try:
        parted(world.pipeline, chosen)
    except Exception:  # a split of the author's own may need more rows
        return rows
    return chosen


# ---- where the labels are dealt out -------------------------------------------------------------------------------


def carrier(world: World) -> tuple[str, str] | None:
    """The group and the value column that carries the label: where its values are exchanged between questions, their labels are,
    and nothing else makes them. None where there is no such column."""
    key = list(world.pipeline.serving.key)
    for name in sorted(world.asked):
        facts, group = world.facts[name], world.catalog.facts[name].group
        if set(group.keys) != set(key) or facts.select(key).is_duplicated().any():
            continue
        for column in [one for one in group.values if one not in world.pipeline.serving.request]:
            if _carries(world, name, column):
                return name, column
    return None


def _carries(world: World, name: str, column: str) -> bool:
    key = list(world.pipeline.serving.key)
    labels = world.questions(world.read()).select(*key, "label").unique(key)
    facts = world.facts[name]
    givers = facts.select(pl.struct(key).gather(pl.Series(_order(facts.get_column(column), 0))).alias("_giver"))
    givers = facts.select(key).with_columns(givers.unnest("_giver").rename({one: f"_{one}" for one in key}))
    dealt = world.questions(world.read(lambda group, rows: _dealt(group, rows, (name, column), 0)))
    dealt = dealt.select(*key, pl.col("label").alias("_now")).unique(key)
    theirs = labels.rename({one: f"_{one}" for one in key} | {"label": "_theirs"})
    compared = labels.join(givers, on=key).join(theirs, on=[f"_{one}" for one in key]).join(dealt, on=key)
    compared = compared.drop_nulls(["label", "_now", "_theirs"])
    if compared.height < labels.get_column("label").count() / 2:
        return False
    agree = compared.filter(pl.col("_now") == pl.col("_theirs")).height
    moved = compared.filter(pl.col("label") != pl.col("_theirs")).height
    return moved > 0 and agree >= AGREE * compared.height


def _dealt(group: Group, rows: pl.DataFrame, column: tuple[str, str], number: int) -> pl.DataFrame:
    """The facts with the values of one column dealt out among those that have one."""
    if group.name != column[0]:
        return rows
    values = rows.get_column(column[1])
    return rows.with_columns(values.gather(pl.Series(_order(values, number))).alias(column[1]))


def _order(values: pl.Series, number: int) -> np.ndarray:
    """Whose value each row gets: a permutation of the rows that have one."""
    order, known = np.arange(values.len()), values.is_not_null().to_numpy().nonzero()[0]
    order[known] = np.random.default_rng(number).permutation(known)
    return order


def _roads(world: World, rows: pl.DataFrame, column: tuple[str, str] | None) -> tuple[Shuffled, str]:
    """How a permutation's rows are made, and where that deals the labels out, in words."""
    pipeline, given = world.pipeline, pipeline_rows(world)

    def at_the_source(number: int) -> pl.DataFrame:
        assert column is not None
        return world.questions(world.read(lambda group, facts: _dealt(group, facts, column, number)))

    def in_the_dataset(number: int) -> pl.DataFrame:
        labels = given.get_column("label")
        return pipeline.prepare(given.with_columns(labels.gather(pl.Series(_order(labels, number))).alias("label")))

    def anew(number: int) -> pl.DataFrame:
        told = questions(number).select(*world.key, "label", *inputs).unique(world.key)
        return rows.drop("label", *inputs).join(told, on=world.key, maintain_order="left").select(rows.columns)

    def in_the_rows(number: int) -> pl.DataFrame:
        labels = rows.get_column("label")
        return rows.with_columns(labels.gather(pl.Series(_order(labels, number))).alias("label"))

    inputs = [name for name in pipeline.inputs if name not in world.key]
    questions = at_the_source if column else in_the_dataset
    where = f"at the source ({'.'.join(column)})" if column else "in what the dataset gives"
    plain = world.questions(world.read())
    changed = compare.moved(plain, questions(0), on=world.key, columns=inputs, exact=inputs)
    return (anew if changed.total else in_the_rows), where


def pipeline_rows(world: World) -> pl.DataFrame:
    """What the dataset gives, before it is prepared."""
    return world.pipeline.dataset(world.read(), world.window)


# ---- the control --------------------------------------------------------------------------------------------------


def _planted(pipeline: Pipeline, rows: pl.DataFrame) -> float:
    """How far beyond chance a training is whose columns carry the label; 0 unless plainly so."""
    found = planted(pipeline, rows) - CHANCE
    return found if found > 0.1 else 0.0


def planted(pipeline: Pipeline, rows: pl.DataFrame) -> float:
    """The concordance on evaluation rows where all columns carry the label, split as the rows are without it."""
    rows = rows.filter(pl.col("label").is_not_null())
    parts = split.parts(pipeline, rows)

    def order(carrying: pl.DataFrame) -> float:
        known, test = (carrying.filter(parts == part) for part in (split.TRAIN, split.TEST))
        model = fit(pipeline, {}, known)
        return concordance(test.get_column("label").to_numpy(), predict(pipeline, model, matrix(pipeline, test)))

    return signal.learned(order, functools.partial(signal.carried, pipeline, rows))
