"""How far a sample of one feature lies from its reference, from counts in bins that the reference fixes.

One pass a window, whatever the size; each kind of feature is seen from a few sides, because each side is blind to
something (and ``drift`` judges every side by its own unrest):

- **rank** (numeric): twice the Wasserstein distance *in the reference's rank space*, that is the mean of
  ``2 |F_current - F_reference|`` over reference ranks: 0 to 1. It sees the bulk, needs no scale, is exact for point
  masses (0 mm of rain), and one outlier among n rows is worth 1/n, where binning over the combined range let it hide a
  2-sigma shift. Sampling noise falls as ``0.6 / sqrt(rows)`` whatever the number of bins; PSI's grows with the bins,
  and is infinite at an empty one. Blind to how far *beyond* everything known the values went.
- **value** (numeric): the Wasserstein distance of the values themselves in robust standard deviations of the
  reference, counted to REACH deviations beyond its range and no further. It tells a June from the warmest March week.
- **share** (categorical, boolean): total variation, half the sum of ``|share differences|``, with all that is outside
  the known categories in one bin: 0 to 1. A constant column is an ordinary case: 0 until something else appears.
- **null** (all): the absolute difference of null shares, NaN being null: 0 to 1. Apart from the others, so that a gap
  in a restless feature is not taken for its restlessness. The others are of the non-null rows, times the smaller
  non-null share (so the last ten filled rows cannot shout).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from store.errors import InvalidInput

Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]

QUANTILES = 50  # edges of a numeric feature; each edge is a bin of its own too, which keeps point masses exact
BEYOND = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)  # edges outside the reference's range, in deviations
REACH = BEYOND[-1]
HUGE = 1e150  # beyond it a value is as good as infinite: its square is, and it sets no edge
CATEGORIES = 200  # the commonest are known by name, all others share the "other" bin with what was never seen


@dataclass(frozen=True)
class Shape:
    """The bins of one reference column.

    ``bins``: numeric, ascending edges; categorical, the known categories, commonest first. ``scale``: the robust
    standard deviation of the values, in their unit (1 for categories).
    """

    kind: Literal["numeric", "categorical"]
    bins: tuple[float, ...] | tuple[str, ...]
    scale: float = 1.0

    @property
    def width(self) -> int:
        """How many bins ``counts`` makes: below, at, between, …, above, null; or the categories, other, null."""
        return (2 * len(self.bins) + 2) if self.kind == "numeric" else len(self.bins) + 2

    @property
    def sides(self) -> tuple[str, ...]:
        """The distances that ``distances`` and ``noise`` return, in their order."""
        return ("rank", "value", "null") if self.kind == "numeric" else ("share", "null")


def shape(values: pl.Series) -> Shape:
    """Return the bins for a reference column; InvalidInput for a type that has neither order nor categories.

    Numeric types, or String, Categorical, Enum, Boolean ("true", "false") and Null (nothing is known of it).
    """
    if values.dtype.is_numeric():
        numbers = _numbers(values)
        return _numeric(numbers[np.abs(numbers) < HUGE])
    if values.dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null):
        named = values.cast(pl.String).drop_nulls().rename("category").value_counts(name="rows")
        common = named.sort("rows", "category", descending=[True, False]).head(CATEGORIES)
        return Shape("categorical", tuple(common["category"].to_list()))
    raise InvalidInput(
        asked=f"Column {values.name!r} cannot be watched for drift.",
        exists=f"Its type is {values.dtype}; numbers, booleans and categories can.",
        remedy="Watch a number or a category derived from it, or leave it out of the pipeline's monitor.",
    )


def counts(values: pl.Series, shape: Shape, bucket: Steps) -> Floats:
    """Return the rows of each bucket in each bin: f64 (buckets, ``shape.width``), the null bin last.

    ``bucket``: i64, each row's bucket, 0 to buckets - 1. Raises InvalidInput when numbers have become text.
    """
    null = shape.width - 1
    if shape.kind == "numeric":
        edges, numbers = np.array(shape.bins, np.float64), _numbers(values)
        place = np.searchsorted(edges, numbers, "left") + np.searchsorted(edges, numbers, "right")
        place[np.isnan(numbers)] = null
    else:
        named = values.cast(pl.String)
        code = {category: index for index, category in enumerate(shape.bins)}
        known = named.replace_strict(code, default=len(code), return_dtype=pl.Int64)
        place = np.where(named.is_null().to_numpy(), null, known.fill_null(null).to_numpy())
    steps = int(bucket.max()) + 1
    table = np.bincount(bucket * shape.width + place, minlength=steps * shape.width)
    return table.reshape(steps, shape.width).astype(np.float64)


def distances(shape: Shape, current: Floats, reference: Floats) -> Floats:
    """Return f64 (n, sides): how far n samples lie from their references; never negative, never NaN.

    ``current`` and ``reference``: what ``counts`` returned, or shares in the same order, (n, width) or (1, width); no
    row may sum to 0. Not symmetric: ranks are the reference's.
    """
    now, then = (side / side.sum(axis=1, keepdims=True) for side in (current, reference))
    filled = np.minimum(1 - now[:, -1], 1 - then[:, -1])
    now_values, then_values = _normalised(now[:, :-1]), _normalised(then[:, :-1])
    if shape.kind == "categorical":
        apart = [0.5 * np.abs(now_values - then_values).sum(axis=1)]
    else:
        gap = np.abs(np.cumsum(now_values - then_values, axis=1))[:, :-1]
        apart = [(gap * np.diff(where, axis=1)).sum(axis=1) for where in (_ranks(then_values), _places(shape))]
    return np.column_stack([*(side * filled for side in apart), np.abs(now[:, -1] - then[:, -1])])


def noise(shape: Shape, shares: Floats) -> Floats:
    """Return f64 (sides,): distances that one sample in a thousand exceeds by chance alone, times sqrt(its rows).

    ``shares``: the reference's, (width,). Three times the mean of ``|F - G|`` under independent rows (within a tenth of
    the simulated .999 quantile, a Brownian bridge's area); for categories the mean plus three standard deviations.
    """
    values, null = _normalised(shares[None, :-1]), shares[-1]
    spread = np.sqrt(values * (1 - values))
    if shape.kind == "categorical":
        apart = [0.4 * spread.sum() + 1.5]
    else:
        below = np.clip(np.cumsum(values, axis=1)[:, :-1], 0, 1)
        bridge = 3 * math.sqrt(2 / math.pi) * np.sqrt(below * (1 - below))
        apart = [(bridge * np.diff(where, axis=1)).sum() for where in (_ranks(values), _places(shape))]
    return np.array([*apart, 3 * math.sqrt(max(0.0, null * (1 - null)))])


def _numeric(known: Floats) -> Shape:
    if not len(known):
        return Shape("numeric", (), 1.0)
    # inverted_cdf picks values that occur, so a point mass lies at an edge and not beside it
    cuts = np.quantile(known, np.linspace(0, 1, QUANTILES + 1), method="inverted_cdf")
    low, high = np.quantile(known, [0.05, 0.95])
    guesses = ((high - low) / 3.29, known.std(), abs(cuts[0]), 1.0)  # the first that is not 0: bulk, tail, constant
    scale = next(float(guess) for guess in guesses if guess > 1 / HUGE)
    outside = scale * np.array(BEYOND)
    edges = np.unique(np.concatenate([cuts[0] - outside, cuts, cuts[-1] + outside]))
    return Shape("numeric", tuple(edges.tolist()), scale)


def _numbers(values: pl.Series) -> Floats:
    """Float64 with NaN for null; a column that has become text is a broken schema and no drift."""
    if not (values.dtype.is_numeric() or values.dtype in (pl.Null, pl.Boolean)):
        raise InvalidInput(
            asked=f"Column {values.name!r} was numeric in the reference and is not any more.",
            exists=f"Its type is {values.dtype}.",
            remedy="Repair the type at its source, or calibrate on a reference that has it.",
        )
    return values.cast(pl.Float64).fill_null(math.nan).to_numpy()


def _normalised(shares: Floats) -> Floats:
    total = shares.sum(axis=1, keepdims=True)
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)


def _ranks(shares: Floats) -> Floats:
    """Where each bin lies among the reference's ranks, 0 to 2: its middle; twice, for a largest distance of 1."""
    return 2 * (np.cumsum(shares, axis=1) - shares / 2)


def _places(shape: Shape) -> Floats:
    """Where each bin lies in deviations, (1, width - 1): its edge, the middle of two, or the outermost edge."""
    edges = np.array(shape.bins, np.float64) / shape.scale
    if not len(edges):
        return np.zeros((1, 1))
    between = np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])
    return np.insert(between, np.arange(1, len(between)), edges)[None]
