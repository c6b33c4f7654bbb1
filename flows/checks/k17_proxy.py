"""K17: no single column tells the label.

A column that is written when the outcome is known, such as the claim's payout or the date of discharge, predicts it wonderfully; where its
``known_time`` says the time of the event, no check of time can tell. What tells is how good it is, and alone. So each model column is
judged alone on the evaluation rows (its values in order, and the mean label of its values or of twenty quantiles, learned on the others),
by its concordance: the AUC, or for values (1 + Spearman's ρ) / 2. One whose values and labels go one to one is the label under another
name. One of 0.95 or more (of values 0.99, or less where many are alike), there and on the training rows, is a proxy, unless

- the other columns order the rows as well: a training in which this one and its twins (|ρ| ≥ 0.98) are dealt out among the rows reaches
  as much, within twice its standard error, and no five times as many pairs of rows wrongly;
- the last answer known by then (of the same entity or of all) orders them as well: what lasts is told by its past.

Either is let through where its author declares it with a reason:
``Pipeline(legitimate={"column": "why it is known at T"})``, which is shown.

Shown besides: the strongest column's share of what the model is better than chance.

The control: the label itself as a column, judged in the same way, as far beyond chance.

Cost: a training (shared with K04), and one for each column of 0.95 or more.

What does not alarm: one of several columns that tell the same (petals that are long are wide); a level that lasts; a column that makes most
of the model's lift and is weaker than 0.95, which is only shown; a free text, whose values do not recur.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from flows.building.fit import fit, matrix, predict
from flows.checks.check import Check, Seen
from flows.checks.ranks import CHANCE, concordance
from flows.checks.rewrite import MICROSECOND
from flows.checks.training import parted
from flows.checks.world import World
from flows.pipeline import Pipeline
from store.features.group import EVENT_TIME, KNOWN_TIME

PROXY, TWIN, AS_WELL, FAR = 0.95, 0.98, 0.01, 5
VALUES = (1 + TWIN) / 2
"""Of values: a good predictor has a ρ of 0.9, which is a concordance of 0.95 already; a proxy is a twin of the label."""
BINS, FEW = 20, 40
VALUE, LAST = "_value", "_last"


def look(world: World) -> Seen:
    """Judge each column alone; then who is as good as the label, without it."""
    pipeline = world.pipeline
    if unknown := sorted(set(pipeline.legitimate) - set(pipeline.columns)):
        said = f"{pipeline.name} declares {unknown[0]} legitimate, and the model has no such column: it has {list(pipeline.columns)}."
        return Seen(said, numbers={"unknown": len(unknown)}, failed=True)
    known, test = parts(world)
    found = {name: alone(known, test, name) for name in pipeline.columns}
    strongest = max(found, key=lambda name: found[name])
    limit = PROXY if pipeline.task == "classification" else _of_values(test.get_column("label"))
    suspects = [name for name, value in found.items() if value >= limit]
    declared = [name for name in suspects if name in pipeline.legitimate]
    control = alone(*_with_the_label(known, test), "_label") - CHANCE
    numbers: dict[str, float] = {
        "columns": len(found),
        "strongest": found[strongest],
        "suspects": len(suspects),
        "declared": len(declared),
    }
    for name in suspects:
        if name not in declared and _one_to_one(pl.concat([known, test]), name):
            said = f"{name} is the label under another name: each value of it goes with one label, and each label with one value."
            return Seen(f"{said} {_way_out(name)}", control, numbers, failed=True)
    lasting = _lasting(world, known, test) if len(suspects) > len(declared) else CHANCE
    for name in suspects:
        if name in declared or found[name] <= lasting + AS_WELL:
            continue
        rest = without(pipeline, known, test, name)
        if rest + 2 * _error(rest, test) < limit or 1 - rest > FAR * (1 - found[name]):
            return Seen(_said(world, name, found[name], rest), control, numbers | {"without_it": rest}, failed=True)
    model = _model(world, test)
    share = min(1.0, (found[strongest] - CHANCE) / (model - CHANCE)) if model > CHANCE else 1.0
    reasons = "".join(f" {name} is declared legitimate: {pipeline.legitimate[name]}." for name in declared)
    sentence = (
        f"Of {len(found)} columns {strongest} alone orders the evaluation rows best, with a concordance of {found[strongest]:.3f}; "
        f"the model's is {model:.3f}, the label's own {CHANCE + control:.3f}.{reasons}"
    )
    return Seen(sentence, control, numbers | {"model": model, "share_of_lift": share})


CHECK = Check("K17", "proxy", look)


def _of_values(labels: pl.Series) -> float:
    """What a twin of these labels reaches: less where many of them are alike (Kendall 1945), but never less than of classes."""
    counts = labels.value_counts().get_column("count").cast(pl.Float64)
    ties = float((counts**3 - counts).sum()) / max(1.0, float(labels.len()) ** 3 - labels.len())
    return max(PROXY, (1 + TWIN * math.sqrt(max(0.0, 1 - ties))) / 2)


def parts(world: World) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The labelled rows of training and validation, and of evaluation."""
    train, validation, test = parted(world.pipeline, world.rows.filter(pl.col("label").is_not_null()))
    return pl.concat([train, validation]), test


def _with_the_label(known: pl.DataFrame, test: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    label = pl.col("label").alias("_label")
    return known.with_columns(label), test.with_columns(label)


def alone(known: pl.DataFrame, test: pl.DataFrame, name: str) -> float:
    """How well one column orders the evaluation rows and, if that is less, the others; by its values, or by what they meant."""
    return min(_ordered(known, test, name), _ordered(known, known, name))


def _one_to_one(rows: pl.DataFrame, name: str) -> bool:
    """Whether values and labels tell each other; of many labels, in their order."""
    pairs = rows.select("label", pl.col(name).alias(VALUE)).drop_nulls().unique().sort("label")
    values = pairs.get_column(VALUE)
    if pairs.height < 2 or not pairs.get_column("label").is_unique().all() or not values.is_unique().all():
        return False
    return pairs.height == 2 or values.is_sorted() or values.is_sorted(descending=True)


def _ordered(known: pl.DataFrame, judged: pl.DataFrame, name: str) -> float:
    labels, column = judged.get_column("label").to_numpy(), judged.get_column(name)
    ways = [concordance(labels, _meant(known, judged, name))]
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        values = column.to_physical().cast(pl.Float64).fill_nan(None)
        ways.append(abs(concordance(labels, values.fill_null(values.mean() or 0.0).to_numpy()) - CHANCE) + CHANCE)  # type: ignore[arg-type]
    return max(ways)


def _meant(known: pl.DataFrame, judged: pl.DataFrame, name: str) -> np.ndarray:
    """The mean label of each row's value among the known rows, or of its quantile where values are many; the mean where it is new."""
    before, now = (rows.get_column(name).alias(VALUE) for rows in (known, judged))
    if before.n_unique() > FEW and (before.dtype.is_numeric() or before.dtype.is_temporal()):
        before, now = (one.to_physical().cast(pl.Float64).fill_nan(None) for one in (before, now))
        edges = np.unique(np.quantile(before.drop_nulls().to_numpy(), np.linspace(0, 1, BINS + 1)[1:-1]))
        before, now = (_binned(one, edges) for one in (before, now))
    means = known.select("label").with_columns(before).group_by(VALUE).agg(pl.col("label").mean())
    meant = now.to_frame().join(means, on=VALUE, how="left", maintain_order="left", nulls_equal=True)
    return meant.get_column("label").fill_null(known.get_column("label").mean()).to_numpy()  # type: ignore[arg-type]


def _binned(column: pl.Series, edges: np.ndarray) -> pl.Series:
    places = np.searchsorted(edges, column.fill_null(np.inf).to_numpy(), side="right")
    return pl.Series(VALUE, np.where(column.is_null().to_numpy(), -1, places))


def _model(world: World, test: pl.DataFrame) -> float:
    return concordance(
        test.get_column("label").to_numpy(), predict(world.pipeline, world.trained.model, matrix(world.pipeline, test))
    )


def without(pipeline: Pipeline, known: pl.DataFrame, test: pl.DataFrame, name: str) -> float:
    """The concordance of a training in which a column and its twins are other rows'."""
    others = [name, *twins(known, name, pipeline.columns)]
    known, test = (dealt_out(rows, others) for rows in (known, test))
    model = fit(pipeline, {}, known)
    return concordance(test.get_column("label").to_numpy(), predict(pipeline, model, matrix(pipeline, test)))


def _error(value: float, rows: pl.DataFrame) -> float:
    """A standard error of a concordance, on the safe side: as if there were no more pairs than rows of the rarer class."""
    labels = rows.get_column("label")
    counts = labels.value_counts().get_column("count")
    few = int(counts.min()) if counts.len() == 2 else labels.len() / 2  # type: ignore[arg-type]
    return math.sqrt(value * (1 - value) / max(1.0, few))


def dealt_out(rows: pl.DataFrame, columns: Sequence[str], seed: int = 0) -> pl.DataFrame:
    """The rows with other rows' values in these columns, all of one other row."""
    order = pl.Series(np.random.default_rng(seed).permutation(rows.height))
    return rows.with_columns(rows.get_column(name).gather(order) for name in columns)


def twins(rows: pl.DataFrame, name: str, columns: Sequence[str]) -> list[str]:
    """Other columns that order the rows as this one does, or the other way round."""
    mine, found = rows.get_column(name), list[str]()
    if not mine.dtype.is_numeric():
        return [one for one in columns if one != name and rows.get_column(one).equals(mine.alias(one))]
    for one in columns:
        theirs = rows.get_column(one)
        if one != name and theirs.dtype.is_numeric():
            both = pl.DataFrame({"mine": mine, "theirs": theirs}).cast(pl.Float64).fill_nan(None).drop_nulls()
            related = both.select(pl.corr("mine", "theirs", method="spearman")).item()
            if related is not None and abs(related) >= TWIN:
                found.append(one)
    return found


def _lasting(world: World, known: pl.DataFrame, test: pl.DataFrame) -> float:
    """How well the last answer known by the time of each question orders the rows: of its entity, or of all."""
    timeless = [name for name in world.pipeline.serving.key if not test.schema[name].is_temporal()]
    return max(_last_answer(world, known, test, entity) for entity in ([], timeless))


def _last_answer(world: World, known: pl.DataFrame, test: pl.DataFrame, entity: list[str]) -> float:
    answers = world.spine.filter(pl.col("label").is_not_null())
    with_its_question = pl.col("label_time") <= pl.col("event_time")  # known at once: to others, not to itself
    known_at = pl.when(with_its_question).then(pl.col("event_time") + MICROSECOND).otherwise("label_time")
    answers = answers.select(*entity, known_at.alias("label_time"), pl.col("label").alias(LAST)).sort("label_time")

    def told(rows: pl.DataFrame) -> pl.DataFrame:
        asked = rows.sort("event_time")
        return asked.join_asof(
            answers, left_on="event_time", right_on="label_time", by=entity or None, check_sortedness=False
        )

    return alone(told(known), told(test), LAST)


def _said(world: World, name: str, value: float, rest: float) -> str:
    where = next((use.group for use in world.pipeline.features if name in use.outputs), "")
    facts = world.facts.get(where)
    at_once = facts is not None and facts.select((pl.col(KNOWN_TIME) == pl.col(EVENT_TIME)).all()).item()
    honest = f" All of {where} is said to be known the moment it happens." if at_once else ""
    return (
        f"{name} alone orders the evaluation rows with a concordance of {value:.3f}, and without it they are ordered with {rest:.3f}: it "
        f"is as good as the label.{honest} {_way_out(name)}"
    )


def _way_out(name: str) -> str:
    return (
        "Leave it out, correct its known_time, or declare it with the reason why it is known when asked: "
        f"legitimate={{{name!r}: ...}}."
    )
