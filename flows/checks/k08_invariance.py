"""K08: an answer depends on its own row, not on the rows beside it or their order.

A service asks for one row, a batch for a million, in any order. So some rows are asked backwards, in small batches and
one by one, and must get what they got among all: from ``prepare`` its inputs and ``event_time``, from the model its
prediction (to 1e-9 of the largest one, to 1e-5 where the model computes in single precision). And each derivation
is asked for late ticks one by one, as production will, and together, as history is derived; rows and values must be
equal, floats to 1e-9 of the column's largest value.

The control: predictions that are another row's when the rows are asked backwards (a model that says the same of
everybody moves nothing).

Cost: predictions for some hundred rows, a few dozen calls of ``prepare``, four derivations a group, in memory; a
training (shared with K04).

What does not alarm: fitting, which may depend on the order; the order in which facts are read, which the store keeps;
a prediction that jumps with the last bit of its own row's numbers, such as that of two neighbours equally near (asked
alone with numbers changed by 1e-12, it jumps as well; shown as ``unstable``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from flows.building import publish
from flows.building.fit import matrix, predict
from flows.checks import compare
from flows.checks.check import Check, Seen
from flows.checks.world import World
from flows.pipeline import Derived
from store.features.group import EVENT_TIME

CLOSE, JITTER = 1e-9, 1e-12
ROWS, ONES, BATCH, TICKS, WIDEST, EXAMINED = 240, 24, 17, 6, 30, 40
Asked = Callable[[pl.DataFrame], pl.DataFrame]


def look(world: World) -> Seen:
    """Ask ``prepare``, every derivation and the model for the same things in other company."""
    inputs, prepared = _inputs(world)
    if inputs:
        return _failed("prepare gives other inputs to the same row", inputs, prepared)
    for one in world.catalog.derived.values():
        if cells := _derived(world, one):
            said = f"{one.group.name} derives otherwise for the same tick when ticks are asked together"
            return _failed(said, cells, prepared)
    predictions, unstable, control = _predictions(world)
    if predictions:
        return _failed("The model predicts otherwise for the same row", predictions, prepared, control)
    numbers = {"rows": prepared, "moved": 0, "unstable": unstable, "others": control}
    sentence = (
        f"Backwards, in batches of {BATCH} and one by one, {prepared:,} rows got the same inputs and predictions, and "
        f"{len(world.catalog.derived)} derived groups the same values a tick; {control:,} predictions depend on the row."
    )
    return Seen(sentence, control, numbers)


CHECK = Check("K08", "invariance", look)


def _ways(rows: pl.DataFrame) -> Iterator[list[pl.DataFrame]]:
    """The rows in other company: backwards, in small batches, and some of them one by one."""
    yield [rows.reverse()]
    yield [rows.slice(start, BATCH) for start in range(0, rows.height, BATCH)]
    yield [rows.slice(place, 1) for place in range(0, rows.height, max(1, rows.height // ONES))]


def _some(rows: pl.DataFrame) -> pl.DataFrame:
    """A few hundred rows from everywhere, the smallest and the largest of each number among them."""
    places = np.linspace(0, rows.height - 1, min(ROWS, rows.height)).astype(int).tolist()
    for column in [one for one in rows.iter_columns() if one.dtype.is_numeric() and one.count()][:WIDEST]:
        places += [column.arg_min(), column.arg_max()]
    return rows[sorted(set(places))]


def _inputs(world: World) -> tuple[int, int]:
    """Inputs and times of a row that differ when it is prepared in other company than all rows; how many rows."""
    pipeline, key = world.pipeline, list(world.pipeline.serving.key)
    columns = ["event_time", *pipeline.inputs]
    rows = pipeline.dataset(world.read(), world.window)
    whole = pipeline.prepare(rows).select(*dict.fromkeys((*key, *columns)))
    some = _some(rows)
    for parts in _ways(some):
        asked = pl.concat(parts)
        other = pl.concat([pipeline.prepare(part).select(whole.columns) for part in parts], how="vertical_relaxed")
        other = other.with_columns(pl.col(name).cast(dtype) for name, dtype in _empty(other, whole).items())
        moved = compare.moved(asked.select(key).join(whole, on=key), other, on=key, columns=columns, close=CLOSE)
        if apart := moved.total + abs(asked.height - other.height) + moved.lost:
            return apart, some.height
    return 0, some.height


def _empty(rows: pl.DataFrame, whole: pl.DataFrame) -> dict[str, pl.DataType]:
    """Columns without any value, and the dtype they have among all rows: nothing has no type."""
    return {name: whole.schema[name] for name, dtype in rows.schema.items() if dtype == pl.Null}


def _predictions(world: World) -> tuple[int, int, int]:
    """Predictions that differ in other company; those that jump with the last bit of their row; those that are
    another row's backwards."""
    pipeline, model = world.pipeline, world.trained.model
    data = matrix(pipeline, _some(world.rows)).with_row_index("_row")
    rows = data.drop("_row")
    base = predict(pipeline, model, rows)
    restless, apart = compare.far(base, predict(pipeline, model, rows)), np.zeros(rows.height, dtype=bool)
    for parts in _ways(data):
        found = np.concatenate([predict(pipeline, model, part.drop("_row")) for part in parts])
        places = pl.concat(parts).get_column("_row").to_numpy()
        apart[places] |= compare.far(base[places], found, base)
    places = np.flatnonzero(apart | restless)
    unstable = sum(not restless[place] and _jumps(world, rows[int(place)]) for place in places[:EXAMINED])
    moved = 0 if unstable == min(places.size, EXAMINED) else places.size - unstable
    return int(moved), int(places.size - moved), int(compare.far(base, base[::-1]).sum())


def _jumps(world: World, row: pl.DataFrame) -> bool:
    """Whether a row's prediction jumps, asked alone, when its floats change in the last places."""
    floats = [name for name, dtype in row.schema.items() if dtype.is_float()]
    near = [row] + [
        row.with_columns((pl.col(name) * factor).cast(row.schema[name]).alias(name) for name in floats)
        for factor in (1 - JITTER, 1 + JITTER)
    ]
    found = np.concatenate([predict(world.pipeline, world.trained.model, one) for one in near])
    return bool(compare.far(found[[0, 0]], found[1:]).any())


def _derived(world: World, one: Derived) -> int:
    """Cells that differ between ticks derived together and one by one."""
    ticks = publish.ticks(one.cadence, world.published, world.window.end)[-TICKS:]
    read, on = world.read(), [*one.group.keys, EVENT_TIME]
    if not ticks:
        return 0
    together, cells = one.derive(read, ticks), 0
    for tick in ticks[:: max(1, len(ticks) // 2)]:
        alone, of_all = one.derive(read, [tick]), together.filter(pl.col(EVENT_TIME) == tick)
        moved = compare.moved(of_all, alone, on=on, columns=list(one.group.values), close=CLOSE)
        cells += moved.total + moved.lost + alone.join(of_all, on=on, how="anti").height
    return cells


def _failed(said: str, apart: int, rows: int, control: int = 0) -> Seen:
    sentence = f"{said}: {apart:,} differ. Take what is needed of other rows from training, or from a derived group."
    return Seen(sentence, control, {"apart": apart, "rows": rows}, failed=True)
