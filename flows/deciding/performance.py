"""Has a model's performance fallen, or is another one better: intervals over whole days, on the same rows.

Both models are measured on the same draws of whole days (``flows.deciding.bootstrap``), which cancels what is hard
about a day for both.

A metric's own level says little about a model: a stormy week is harder for anyone. So "fallen" means that a small
baseline, fitted on recent rows only, beats the champion on the same rows.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from flows.deciding.bootstrap import Array, Draws, Floats, Metric, draws, measured, resampled, tail
from store.errors import InvalidInput

MINIMUM_BLOCKS = 3
MINIMUM_ROWS = 20
MEMBER_LEVEL = 0.99  # several members are looked at, and each may be unlucky
MINIMUM_RECENT = 100  # a baseline of fewer rows has min_samples_leaf leaves that predict a constant
CATEGORIES = 200  # HistGradientBoosting takes up to 255; rarer ones are missing values


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided block-bootstrap interval, in the metric's unit.

    ``rows`` and ``blocks``: what it was measured on. ``level``: the coverage, 0 to 1. ``resamples``: how many were
    used; ``dropped``: how many more had no defined metric (one class only).
    """

    low: float
    estimate: float
    high: float
    rows: int
    blocks: int
    level: float = 0.95
    resamples: int = 0
    dropped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict, floats exact through ``json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Interval":
        """Return the interval that ``to_dict`` wrote; InvalidInput when a field is missing or unknown."""
        try:
            return cls(**raw)
        except TypeError as error:
            raise InvalidInput(
                asked="An interval cannot be read from this dict.",
                exists=f"It has {sorted(raw)}; {error}.",
                remedy="Pass what Interval.to_dict returned.",
            ) from error

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}] on {self.rows:,} rows of {self.blocks} blocks"


@dataclass(frozen=True)
class Verdict:
    """Whether performance has fallen, and the sentence that says why, with its numbers."""

    fallen: bool
    sentence: str


def paired(
    label: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    block: npt.ArrayLike,
    metric: Metric,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return the interval of how much better ``second`` is than ``first``; positive is better, whatever the metric.

    ``label``, ``block`` (the day, or another independent unit): (rows,); ``first``, ``second``: the predictions of the
    same rows in the same order, (rows,) or what the metric takes. Deterministic in ``seed``.

    Raises InvalidInput: lengths differ, missing labels or predictions, under MINIMUM_ROWS rows or MINIMUM_BLOCKS
    blocks, or a metric undefined on these rows or on more than half the resamples.
    """
    sign = 1.0 if metric.better == "higher" else -1.0
    y, (one, two), code = _checked(label, [first, second], block)
    drawn = draws(code, resamples, seed)
    point = sign * (measured(metric, y, two) - measured(metric, y, one))
    spread = sign * (resampled(metric, y, two, code, drawn) - resampled(metric, y, one, code, drawn))
    return _interval(point, spread, metric, y, drawn, level)


def single(
    label: npt.ArrayLike,
    prediction: npt.ArrayLike,
    block: npt.ArrayLike,
    metric: Metric,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return the interval of the metric itself, in its own direction; arguments and errors as for ``paired``."""
    y, (one,), code = _checked(label, [prediction], block)
    drawn = draws(code, resamples, seed)
    return _interval(measured(metric, y, one), resampled(metric, y, one, code, drawn), metric, y, drawn, level)


def attempted(measure: Callable[[], Interval], tell: Callable[[str], None]) -> Interval | None:
    """The interval, or None where the rows cannot give one, and ``tell`` hears why."""
    try:
        return measure()
    except InvalidInput as refusal:
        tell(f"Not measurable: {refusal}")
        return None


def by_member(rows: pl.DataFrame, slices: Sequence[str], metric: Metric) -> dict[str, Interval | None]:
    """``single`` on each member of each slice, named ``slice=member``; None where there is too little to measure it on.

    ``rows``: ``label`` without nulls, ``prediction``, ``event_time`` (its UTC dates are the blocks), and the slices as columns.
    """
    found: dict[str, Interval | None] = {}
    for name in slices:
        for (member,), part in rows.group_by(name, maintain_order=True):
            own = functools.partial(single, part["label"], part["prediction"], part["event_time"].dt.date(), metric)
            found[f"{name}={member}"] = attempted(functools.partial(own, level=MEMBER_LEVEL), lambda why: None)
    return found


def judge(interval: Interval, margin: float) -> Verdict:
    """Return whether performance has fallen: the baseline is better than the champion by surely more than ``margin``.

    ``interval``: ``paired(label, champion, baseline, …)``. ``margin``: at least 0, in the metric's unit.
    """
    if not margin >= 0:
        raise InvalidInput(
            asked=f"A performance margin of {margin} cannot be used.",
            exists="It is how much better the baseline must surely be, in the metric's unit.",
            remedy="Give 0 or more.",
        )
    fallen = interval.low > margin
    says = "surely more than" if fallen else "not surely more than"
    return Verdict(fallen, f"A baseline of recent rows is better than the champion by {interval}: {says} {margin:g}.")


def baseline(
    recent: pl.DataFrame,
    window: pl.DataFrame,
    features: Sequence[str],
    label: str,
    task: Literal["classification", "regression"],
    metric: Metric | None = None,
) -> Floats:
    """Return a small model's predictions (window rows,) f64, fitted on ``recent`` only: P(positive) or the value.

    ``recent``: matured rows from before the window, with ``features`` and a ``label`` without nulls (classification: 0
    and 1, or booleans); ``window``: rows with ``features``. Numbers and booleans are used as they are; text and
    categories by their commonest CATEGORIES, others and unseen ones as missing. Nulls and NaN are allowed. Seeded.
    ``metric``: what it will be judged by; under a mean absolute error it is fitted for that, or it would lose to a constant.

    Raises InvalidInput: missing columns, another type of feature, under MINIMUM_RECENT recent rows, or a label
    that is missing or (classification) neither 0 nor 1.
    """
    _require(recent, [*features, label], MINIMUM_RECENT)
    _require(window, features, 1)
    y = _target(recent[label], task)
    pairs = [_coded(recent[name], window[name]) for name in features]
    # a column that is empty in the recent rows teaches nothing, and HistGradientBoosting raises on it
    coded = [column for column in pairs if not np.isnan(column[0]).all()]
    if y.min() == y.max() or not coded:
        return np.full(window.height, y.mean())  # nothing to learn, or nothing to learn from
    past, now = (np.column_stack([column[side] for column in coded]) for side in (0, 1))
    options: dict[str, Any] = {
        "max_iter": 60,
        "max_leaf_nodes": 15,
        "early_stopping": False,
        "random_state": 0,
        "categorical_features": [column[2] for column in coded],
    }
    if task == "regression" and metric is not None and metric.name == "mean_absolute_error":
        options["loss"] = "absolute_error"
    learner = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    with threadpool_limits(1, user_api="openmp"):  # waiting threads spin: 75 CPU s for 5 on a busy machine
        model = learner(**options).fit(past, y)
        predicted = model.predict(now) if task == "regression" else model.predict_proba(now)[:, 1]
    return np.asarray(predicted, np.float64)


def _checked(
    label: npt.ArrayLike, predictions: list[npt.ArrayLike], block: npt.ArrayLike
) -> tuple[Array, list[Array], Array]:
    """Label, predictions and block codes (0 to blocks - 1), or InvalidInput."""
    arrays = [np.asarray(values) for values in (label, *predictions, block)]
    lengths = [len(array) for array in arrays]
    unknown = sum(_missing(array) for array in arrays)
    blocks, code = np.unique(arrays[-1] if not unknown else np.zeros(lengths[-1]), return_inverse=True)
    if len(set(lengths)) > 1 or unknown or lengths[0] < MINIMUM_ROWS or len(blocks) < MINIMUM_BLOCKS:
        raise InvalidInput(
            asked=f"An interval needs {MINIMUM_ROWS} labelled and predicted rows in {MINIMUM_BLOCKS} blocks (days).",
            exists=f"Label, predictions and block hold {lengths} values in {len(blocks)} blocks; {unknown} missing.",
            remedy="Wait for more matured labels, and give the same rows in the same order to every argument.",
        )
    return arrays[0], arrays[1:-1], code


def _missing(array: Array) -> int:
    if array.dtype.kind in "fmM":
        return int((~np.isfinite(array)).sum())  # NaT is not finite either
    return sum(value is None for value in array) if array.dtype == object else 0


def _interval(point: float, spread: Floats, metric: Metric, label: Array, drawn: Draws, level: float) -> Interval:
    defined = spread[np.isfinite(spread)]
    if not math.isfinite(point) or 2 * len(defined) < len(spread) or not len(defined):
        raise InvalidInput(
            asked=f"The metric {metric.name!r} must be defined on the rows and on most draws of their blocks.",
            exists=f"On all {len(label)} rows it is {point}; on {len(defined)} of {len(spread)} draws it is a number.",
            remedy="Wait for more matured labels of every class, or choose another metric.",
        )
    blocks = drawn.shape[1]
    below = tail(level, blocks)
    low, high = np.quantile(defined, [below, 1 - below])
    return Interval(float(low), point, float(high), len(label), blocks, level, len(defined), len(spread) - len(defined))


def _require(frame: pl.DataFrame, columns: Sequence[str], rows: int) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing or len(columns) == 0 or frame.height < rows:
        raise InvalidInput(
            asked=f"The baseline needs {rows} rows with columns {list(columns)}.",
            exists=f"There are {frame.height}, without {missing}.",
            remedy="Give more recent matured rows, with the features that the champion was given.",
        )


def _target(values: pl.Series, task: str) -> Floats:
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        y = np.full(len(values), math.nan)
    else:
        y = values.cast(pl.Float64).fill_null(math.nan).to_numpy()
    wanted = "0 and 1" if task == "classification" else "finite numbers"
    if not np.isfinite(y).all() or (task == "classification" and not np.isin(y, (0.0, 1.0)).all()):
        raise InvalidInput(
            asked=f"The baseline needs a known label in column {values.name!r} of every recent row.",
            exists=f"It is {values.dtype} with {values.null_count()} nulls; {task} takes {wanted}.",
            remedy="Give matured rows only, and a label that is a number or a boolean.",
        )
    return y


def _coded(recent: pl.Series, window: pl.Series) -> tuple[Floats, Floats, bool]:
    """The recent and the window column as f64 with NaN for missing, and whether they are codes of categories."""
    sides = (recent, window)
    if all(side.dtype.is_numeric() or side.dtype in (pl.Boolean, pl.Null) for side in sides):
        past, now = (side.cast(pl.Float64).fill_null(math.nan).to_numpy() for side in sides)
        return past, now, False
    if not all(side.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null) for side in sides):
        raise InvalidInput(
            asked=f"The baseline cannot use column {recent.name!r}.",
            exists=f"Its type is {recent.dtype} in the recent rows and {window.dtype} in the window.",
            remedy="Give numbers, booleans or categories, of the same kind in both.",
        )
    named = recent.cast(pl.String).rename("category").drop_nulls().value_counts(name="rows")
    common = named.sort("rows", "category", descending=[True, False]).head(CATEGORIES)["category"]
    code = {category: float(index) for index, category in enumerate(common)}
    past, now = (
        side.cast(pl.String)
        .replace_strict(code, default=math.nan, return_dtype=pl.Float64)
        .fill_null(math.nan)
        .to_numpy()
        for side in sides
    )
    return past, now, True
