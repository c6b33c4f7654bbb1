"""K20: every feature earns its keep.

A feature that helps nobody still costs: it is read, derived, joined, looked up and watched for drift. So each column's values are dealt out
anew among held-out rows (those of validation and evaluation), a few times, and the model is asked again: by how much its concordance (the
AUC, or for values (1 + Spearman's ρ) / 2) falls is what the column gives. One whose fall is not above noise (two standard errors of its
repetitions) or at most a thousandth is named as unhelpful; where another column orders the rows as it does (|ρ| ≥ 0.98, or the same
texts), as redundant: they stand in for each other. Named besides is which group takes longest to join.

A column that moves no prediction at all is put to the test: in the training rows it carries the label, and if the model fitted on those
is still the same on every held-out row, it reaches no model whatever it holds. That is a FAIL, which warns and never blocks.

The control: how far the concordance falls when all columns are dealt out together, or by how much it was beyond chance.

Cost: a training (shared with K04), three predictions a column on at most 600 rows (of a wide model the first hundred columns), two
trainings on about 900 rows where a column moves nothing and one for each more (ten at most), and one join a group.

What does not alarm: an unhelpful or redundant column, which is only named, for it may be there for a slice, a season or the next version;
a penalty or a tree that leaves a column lying, as long as it would take it; one that only weighs rows; one that
is nearly constant, and so can tell nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection

import numpy as np
import polars as pl

from flows.building.fit import matrix, predict
from flows.checks import signal
from flows.checks.check import Check, Seen, Severity
from flows.checks.k06_shuffled import some
from flows.checks.k17_proxy import dealt_out, twins
from flows.checks.ranks import CHANCE, concordance
from flows.checks.training import fitted, parted
from flows.checks.world import World
from store.features import join

ROWS, REPEATS, WIDEST, NAMED, EXAMINED = 600, 3, 100, 5, 10
LEAST, SIGMAS, TOLD = 0.001, 2.0, 0.1


def look(world: World) -> Seen:
    """Deal out each column on held-out rows; name those that nobody misses."""
    rows = held_out(world)
    whole = _order(world, rows)
    columns = world.pipeline.columns[:WIDEST]
    falls = {name: _falls(world, rows, whole, [name]) for name in columns}
    control = float(np.abs(_falls(world, rows, whole, world.pipeline.columns)).max())
    unhelpful = [name for name, fall in falls.items() if not helps(fall)]
    redundant = {name: others for name in unhelpful if (others := twins(rows, name, world.pipeline.columns))}
    seconds = _seconds(world)
    best = max(falls, key=lambda name: float(np.mean(falls[name])))
    numbers = {
        "columns": len(columns),
        "unhelpful": len(unhelpful),
        "redundant": len(redundant),
        "model": whole,
        "best_falls": float(np.mean(falls[best])),
        "joins_seconds": sum(seconds.values()),
    }
    told = f"The model orders {rows.height:,} held-out rows with {whole:.3f}; {best} gives most of it ({numbers['best_falls']:.3f})"
    slowest = max(seconds, key=lambda name: seconds[name], default="")
    costs = f"; {slowest} takes longest to join ({seconds[slowest] * 1000:.0f} ms)" if slowest else ""
    if unread := _unread(world, [name for name in unhelpful if not np.any(falls[name])]):
        said = f"{len(unread)} of {len(columns)} columns reach no model, whatever they hold: {_listed(unread)}. Use them or leave them out."
        return Seen(said, control, numbers | {"unread": len(unread)}, failed=True)
    if not unhelpful:
        return Seen(f"{told}, and each of {len(columns)} columns helps{costs}.", control, numbers)
    pairs = "".join(f" {name} says what {others[0]} says." for name, others in list(redundant.items())[:NAMED])
    said = f"{told}; {len(unhelpful)} of {len(columns)} columns give nothing: {_listed(unhelpful)}{costs}.{pairs}"
    return Seen(said, control, numbers)


CHECK = Check("K20", "useful", look, Severity.WARNS)


def held_out(world: World) -> pl.DataFrame:
    """Some labelled rows of validation and evaluation, from everywhere."""
    rows = pl.concat([world.trained.validation, world.trained.test]).filter(pl.col("label").is_not_null())
    return rows.gather_every(max(1, rows.height // ROWS))


def helps(falls: Collection[float]) -> bool:
    """Whether a column's absence costs more than chance does."""
    mean, error = float(np.mean(list(falls))), float(np.std(list(falls), ddof=1)) / len(falls) ** 0.5
    return mean > max(LEAST, SIGMAS * error)


def _order(world: World, rows: pl.DataFrame) -> float:
    found = predict(world.pipeline, world.trained.model, matrix(world.pipeline, rows))
    return concordance(rows.get_column("label").to_numpy(), found)


def _falls(world: World, rows: pl.DataFrame, whole: float, columns: Collection[str]) -> list[float]:
    """By how much the order falls, each time these columns are other rows'; all of it that is beyond chance where the model fails."""
    return [whole - _asked(world, dealt_out(rows, list(columns), seed)) for seed in range(REPEATS)]


def _asked(world: World, rows: pl.DataFrame) -> float:
    try:
        return _order(world, rows)
    except Exception:  # columns that never come together may be refused: then each of them matters
        return CHANCE


def _unread(world: World, columns: list[str]) -> list[str]:
    """The columns that leave the model as it was when they carry the label."""
    if not columns:
        return []
    train, _, test = parted(world.pipeline, some(world))
    asked = matrix(world.pipeline, test)
    before, found = predict(world.pipeline, fitted(world.pipeline, train), asked), list[str]()
    for name in columns[:EXAMINED]:
        carrying = signal.carried_by(train, [name])
        if (
            _tells(carrying, name)
            and (predict(world.pipeline, fitted(world.pipeline, carrying), asked) == before).all()
        ):
            found.append(name)
    return found


def _tells(rows: pl.DataFrame, name: str) -> bool:
    """Whether a column can carry the label at all: one that is nearly constant cannot, and a time is left as it is."""
    column = rows.get_column(name)
    if not (column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean)):
        return False
    places = column.rank("dense").fill_null(0).to_numpy()
    return abs(concordance(rows.get_column("label").to_numpy(), places) - CHANCE) > TOLD


def _seconds(world: World) -> dict[str, float]:
    """How long each use of a group takes to join to a hundred rows."""
    few, found = world.spine.head(100), dict[str, float]()
    for use in world.pipeline.features:
        begun = time.perf_counter()
        join.join(world.scratch.root, few, (use,))
        found[use.prefix + use.group] = time.perf_counter() - begun
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
