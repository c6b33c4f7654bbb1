"""One feature then and now: the champion's reference against what was served in a week, in the reference's own bins.

The reference is the calibration (shares of rows in bins, kept with the model's report), so nothing is joined again; the served rows
are counted into the same bins, and both are laid over one even grid, so that they are drawn with the same smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from console import views
from flows.deciding import distance, drift
from store.layout import Root
from store.traffic import predictions

Floats = npt.NDArray[np.float64]
GRID, MEMBERS, TAIL = 36, 12, 0.004
NUMERIC = pl.Schema({"low": pl.Float64(), "high": pl.Float64(), "when": pl.String(), "share": pl.Float64()})
CATEGORICAL = pl.Schema({"member": pl.String(), "when": pl.String(), "share": pl.Float64()})
THEN, NOW = "then", "now"


@dataclass(frozen=True)
class Distribution:
    """``frame``: of NUMERIC or CATEGORICAL, shares of the filled rows. ``then`` and ``now`` in a number: the median, or the share of the
    member that moved most (``moved``); missing shares are of all rows."""

    feature: str
    kind: str
    frame: pl.DataFrame
    rows: int
    then: float
    now: float
    moved: str
    null_then: float
    null_now: float


def read(root: Root, pipeline: str, environment: str, feature: str, end: str) -> Distribution | None:
    """The feature in the week that ended at ``end`` (ISO); None when it cannot be told: no such week, rows or calibration."""
    week = next((one for one in views.weeks(root, pipeline, environment) if one.body.window_end == end), None)
    stored = None if week is None else views.calibration(root, pipeline, environment, week)
    if week is None or stored is None:
        return None
    known = {one.name: one for one in drift.Calibration.from_dict(stored).features}
    served = _served(root, pipeline, environment, feature, week.start, week.end)
    return None if feature not in known or served is None else compare(known[feature], served)


def compare(then: drift.Feature, served: pl.Series) -> Distribution:
    """Reference against served rows of one feature."""
    counted = distance.counts(served, then.shape, np.zeros(len(served), np.int64))[0]
    before, after = np.array(then.shares), counted / counted.sum()
    one = _numeric if then.shape.kind == "numeric" else _categorical
    frame, was, is_now, moved = one(then.shape, _filled(before), _filled(after))
    return Distribution(
        then.name, then.shape.kind, frame, len(served), was, is_now, moved, float(before[-1]), float(after[-1])
    )


def _served(
    root: Root, pipeline: str, environment: str, feature: str, start: datetime, end: datetime
) -> pl.Series | None:
    rows = predictions.read(root, environment, pipeline, start=start, end=end)
    column = predictions.SERVED + feature
    return rows[column].alias(feature) if column in rows.columns and rows.height else None


def _filled(shares: Floats) -> Floats:
    """Shares of the rows that have a value, the null bin left out."""
    total = shares[:-1].sum()
    return shares[:-1] / total if total else shares[:-1]


def _numeric(shape: distance.Shape, before: Floats, after: Floats) -> tuple[pl.DataFrame, float, float, str]:
    edges = np.array(shape.bins, np.float64)
    ends = [_quantile(edges, side, level) for side in (before, after) for level in (TAIL, 1 - TAIL)]
    low, high = min(ends), max(ends)
    grid = np.linspace(low, high if high > low else low + 1, GRID + 1)
    width = grid[1] - grid[0]
    rows = []
    for when, side in ((THEN, before), (NOW, after)):
        below = np.array([_below(edges, side, point) for point in [*grid[:-1], grid[-1] + width * 1e-9]])
        below[0], below[-1] = 0.0, 1.0
        rows += [
            (float(a), float(a + width), when, float(share)) for a, share in zip(grid[:-1], np.diff(below), strict=True)
        ]
    frame = pl.DataFrame(rows, schema=NUMERIC, orient="row")
    return frame, _quantile(edges, before, 0.5), _quantile(edges, after, 0.5), ""


def _below(edges: Floats, shares: Floats, point: float) -> float:
    """The share of rows under ``point``; what lies between two edges is spread evenly."""
    at = int(np.searchsorted(edges, point, "left"))
    inside = 0.0 if at in (0, len(edges)) else (point - edges[at - 1]) / (edges[at] - edges[at - 1]) * shares[2 * at]
    return float(shares[: 2 * at].sum() + inside)


def _quantile(edges: Floats, shares: Floats, level: float) -> float:
    """The value under which that share of rows lies, between the outermost edges."""
    total = shares.cumsum()
    at = int(np.searchsorted(total, level))
    left, right = (at - 1) // 2, at // 2
    if at % 2 or left < 0 or right >= len(edges):
        return float(edges[min(max(left, 0), len(edges) - 1)])
    inside = (level - (total[at] - shares[at])) / shares[at] if shares[at] else 0.0
    return float(edges[left] + inside * (edges[right] - edges[left]))


def _categorical(shape: distance.Shape, before: Floats, after: Floats) -> tuple[pl.DataFrame, float, float, str]:
    names = [*map(str, shape.bins), "(never seen)"]
    order = np.argsort(-np.maximum(before, after), kind="stable")[:MEMBERS]
    moved = int(np.argmax(np.abs(after - before)))
    rows = [(names[at], when, float(side[at])) for at in order for when, side in ((THEN, before), (NOW, after))]
    return pl.DataFrame(rows, schema=CATEGORICAL, orient="row"), float(before[moved]), float(after[moved]), names[moved]
