"""The contract: what a user writes, as a value made of components, each replaceable.

A pipeline's folder holds ``pipeline = Pipeline(...)`` and imports nothing of assay but this module. Every component has a
sound default (``None`` means the one in ``flows.building``), and because a component is a value, a fault is a function from
component to component and ``dataclasses.replace`` plants it.

The road of a row, in training and in serving alike::

    dataset(read, window) -> rows as an application would send them, with label and label_time
    prepare(rows)         -> event_time (when the question is asked) and inputs computed from the row itself
    features              -> joined point-in-time at event_time (offline), looked up by key (online)
    estimator(parameters) -> scikit-learn; it sees a Polars frame of `inputs` and feature columns

All times are UTC, ``Datetime('us', 'UTC')``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from sklearn import metrics as _sklearn

from store import clock
from store.errors import InvalidInput
from store.features.group import TIME, Group
from store.features.join import Use

__all__ = [
    "CONTRACT", "LOG_LOSS", "MAE", "METRICS", "ROC_AUC", "TIME", "Aggregate", "Analysis", "Derived", "Example", "Facts", "Group", "Metric",
    "Pipeline", "Promote", "Read", "Search", "Serving", "TimeSplit", "Trigger", "Tuned", "Use", "Value", "Window", "Worked",
]  # fmt: skip

CONTRACT = 1
"""The contract's version. A package records the one it was built for; an unknown one is refused by name."""


@dataclass(frozen=True)
class Window:
    """A stretch of time, ``start <= t < end``, UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", clock.utc(self.start))
        object.__setattr__(self, "end", clock.utc(self.end))
        if self.end < self.start:
            raise InvalidInput(
                f"A window cannot end ({self.end}) before it starts ({self.start}).",
                "It would hold nothing.",
                "Let the end be after the start.",
            )

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} … {self.end:%Y-%m-%d %H:%M} UTC"

    def to_dict(self) -> dict[str, str]:
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, str]) -> Window:
        return cls(datetime.fromisoformat(stored["start"]), datetime.fromisoformat(stored["end"]))


Read = Callable[[str, Window], pl.DataFrame]
"""Rows of a group of facts with ``start <= event_time < end``: its keys, event_time, known_time and values."""


# ---- what is declared in flows/features/ -------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """Raw facts from a source, kept as a feature group.

    ``read(window)`` gives the archive's rows: keys, ``event_time``, values and, where the source has one, ``known_time``
    (else the group's ``delay`` tells it). ``collected(predictions, outcomes)`` makes the same rows of what services were asked and
    told by the pipelines named in ``traffic``; each of its arguments has the request's or outcome's fields and
    ``received_at``, and either may be empty. Files dropped into ``inbox/<group>/`` are known when ``ingest`` takes them.
    """

    group: Group
    read: Callable[[Window], pl.DataFrame] | None = None
    traffic: tuple[str, ...] = ()
    collected: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame] | None = None


@dataclass(frozen=True)
class Aggregate:
    """What a derived value is, said so plainly that a loop over single rows can compute it again (K13 does).

    ``rows(read, window)`` gives what may count within a tick's lookback, a row each: the group's keys, ``event_time`` (from when on
    it counts), ``value`` (null: it does not count) and, where it comes in later than it counts, ``known_time``. At tick T
    those with ``T - over < event_time <= T`` and ``known_time <= T`` count. Of no row at all, count and sum are 0, the others null.
    """

    rows: Callable[[Read, Window], pl.DataFrame]
    how: Literal["count", "sum", "mean", "min", "max"]
    over: timedelta


@dataclass(frozen=True)
class Derived:
    """A feature group computed from facts on a fixed grid: one row an entity and tick.

    ``derive(read, ticks)`` gives keys, ``event_time`` (a tick) and values, from nothing that was not known at the tick, and
    from nothing older than ``lookback``. ``cadence`` is the grid: history is derived on it and ``collect`` publishes on it,
    so training never sees fresher facts than serving will. ``aggregates``: which of the values are what, for a check by a loop.
    """

    group: Group
    inputs: tuple[str, ...]
    derive: Callable[[Read, Sequence[datetime]], pl.DataFrame]
    cadence: timedelta
    lookback: timedelta
    aggregates: Mapping[str, Aggregate] = field(default_factory=dict)


# ---- what is declared in a pipeline's folder ----------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A number that judges predictions. ``compute(labels, predictions)`` takes two arrays of one length."""

    name: str
    better: Literal["higher", "lower"]
    compute: Callable[[np.ndarray, np.ndarray], float]

    def reaches(self, value: float, floor: float) -> bool:
        """Whether ``value`` is at least as good as ``floor``. NaN never is."""
        return value >= floor if self.better == "higher" else value <= floor


def _auc(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(_sklearn.roc_auc_score(labels, predictions)) if len(np.unique(labels)) == 2 else float("nan")


def _log_loss(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(_sklearn.log_loss(labels, predictions, labels=[0, 1]))


def _mae(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(_sklearn.mean_absolute_error(labels, predictions)) if len(labels) else float("nan")


ROC_AUC = Metric("roc_auc", "higher", _auc)
LOG_LOSS = Metric("log_loss", "lower", _log_loss)
MAE = Metric("mean_absolute_error", "lower", _mae)
METRICS = {metric.name: metric for metric in (ROC_AUC, LOG_LOSS, MAE)}


@dataclass(frozen=True)
class TimeSplit:
    """train … | gap | validation | gap | test, by ``event_time``, newest last.

    ``gap`` is at least the time a label takes to mature; rows whose label was not known when the next part starts are
    left out besides. ``validation`` may tune and stop early; nothing may look at ``test``.
    """

    validation: timedelta = timedelta(days=14)
    test: timedelta = timedelta(days=14)
    gap: timedelta = timedelta(days=1)


@dataclass(frozen=True)
class Search:
    """Parameter space and budget: ``trials`` combinations of ``space``, the defaults always among them."""

    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    trials: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Tuned:
    """What a search chose, and every trial it made: ``{"parameters": …, "value": …}``, in order."""

    parameters: dict[str, Any]
    trials: list[dict[str, Any]]


@dataclass(frozen=True)
class Analysis:
    """What a report says of the evaluation rows.

    ``metrics``: name to number, over all rows. ``slices``: columns slice:str, member:str, rows:i64, value:f64 (of the
    pipeline's metric). ``curves``: columns curve:str, x:f64, y:f64.
    """

    metrics: dict[str, float]
    slices: pl.DataFrame
    curves: pl.DataFrame


@dataclass(frozen=True)
class Value:
    """What a prediction was worth once the outcome is known.

    ``compute(frame)`` has the columns prediction and label (Float64) and gives one Float64 a row, in ``unit``.
    """

    compute: Callable[[pl.DataFrame], pl.Series]
    unit: str


@dataclass(frozen=True)
class Trigger:
    """When a pipeline is due for retraining: judged every ``window``, confirmed by ``windows`` in a row, then quiet for
    ``cool_down``. ``margin`` is how much better the baseline must be, of the metric; ``cadence`` and ``new_rows`` are optional."""

    window: timedelta = timedelta(days=7)
    windows: int = 2
    cool_down: timedelta = timedelta(days=14)
    margin: float = 0.01
    cadence: timedelta | None = None
    new_rows: int | None = None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Trigger:
        """The trigger a manifest declares."""
        stored = manifest["trigger"]
        return cls(
            window=timedelta(seconds=stored["window_seconds"]),
            windows=stored["windows"],
            cool_down=timedelta(seconds=stored["cool_down_seconds"]),
            margin=stored["margin"],
            cadence=timedelta(seconds=stored["cadence_seconds"]) if stored["cadence_seconds"] else None,
            new_rows=stored["new_rows"],
        )


@dataclass(frozen=True)
class Promote:
    """When a challenger replaces the champion: the interval's lower bound is above ``margin``, no member of ``slices`` is
    worse by more than ``tolerance``, on at least ``minimum_rows`` rows. All in the metric's own unit."""

    margin: float = 0.0
    slices: tuple[str, ...] = ()
    tolerance: float = 0.02
    minimum_rows: int = 500

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Promote:
        """The policy a manifest declares."""
        stored = manifest["promote"]
        return cls(stored["margin"], tuple(stored["slices"]), stored["tolerance"], stored["minimum_rows"])


@dataclass(frozen=True)
class Example:
    """An application's expectation of the service: what it sends, and what it must get back.

    ``request``: one row of the request's fields. The answer must have a prediction between ``low`` and ``high``.
    """

    application: str
    request: Mapping[str, Any]
    low: float
    high: float


@dataclass(frozen=True)
class Worked:
    """A row worked out by hand: ``row`` is what an application sends, ``columns`` what ``prepare`` must make of it."""

    row: Mapping[str, Any]
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Serving:
    """Request and outcome fields with their dtypes, and what each application relies on.

    ``key`` names the request fields that identify a row, so that an outcome may name them instead of a prediction id.
    """

    request: Mapping[str, pl.DataType]
    outcome: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: what it predicts, from what, how, how good it must be, and who relies on it.

    ``dataset`` rows: the request's fields, ``label`` (Float64; null: counted, but left out of fit and evaluation) and
    ``label_time`` (when the label can be known). ``prepare`` adds ``event_time`` and the computed ``inputs``, the row columns
    that the model sees beside the joined ``features``. ``floor`` is the least acceptable value of ``metric`` on the test rows,
    ``slice_floor`` (default: the floor itself) on those of any member of ``slices``, where it must not surely be missed.
    ``monitor_not`` lists model columns whose change is no news (calendar). ``trusted``: third-party types a stored model may hold.
    ``legitimate``: a model column that alone tells the label, and the reason why it may (K17 asks). ``worked``: rows worked out by hand.
    """

    name: str
    version: str
    description: str
    owner: str
    task: Literal["classification", "regression"]
    dataset: Callable[[Read, Window], pl.DataFrame]
    prepare: Callable[[pl.DataFrame], pl.DataFrame]
    inputs: tuple[str, ...]
    features: tuple[Use, ...]
    estimator: Callable[[dict[str, Any]], Any]
    metric: Metric
    floor: float
    serving: Serving
    split: TimeSplit | Callable[[pl.DataFrame], pl.Series] = TimeSplit()
    search: Search = Search()
    tune: Callable[..., Tuned] | None = None
    fit: Callable[..., Any] | None = None
    predict: Callable[[Any, pl.DataFrame], np.ndarray] | None = None
    analyse: Callable[..., Analysis] | None = None
    slices: tuple[str, ...] = ()
    slice_floor: float | None = None
    value: Value | None = None
    trigger: Trigger = Trigger()
    promote: Promote = Promote()
    monitor_not: tuple[str, ...] = ()
    independent_unit: str | None = None
    trusted: tuple[str, ...] = ()
    legitimate: Mapping[str, str] = field(default_factory=dict)
    worked: tuple[Worked, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The model's columns, in order: inputs, then features under their prefixes."""
        return (*self.inputs, *(use.prefix + feature for use in self.features for feature in use.features))

    @property
    def monitored(self) -> tuple[str, ...]:
        """The columns that drift is judged on."""
        return tuple(column for column in self.columns if column not in self.monitor_not)

    def manifest(self) -> dict[str, Any]:
        """Everything declared that is data, as JSON: what monitor, service and console need to know without the code."""
        return {
            "contract": CONTRACT,
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "owner": self.owner,
            "task": self.task,
            "inputs": list(self.inputs),
            "columns": list(self.columns),
            "monitored": list(self.monitored),
            "features": [
                {"group": use.group, "features": list(use.features), "keys": dict(use.keys), "prefix": use.prefix}
                for use in self.features
            ],
            "metric": self.metric.name,
            "better": self.metric.better,
            "floor": self.floor,
            "slices": list(self.slices),
            "slice_floor": self.floor if self.slice_floor is None else self.slice_floor,
            "request": {name: str(dtype) for name, dtype in self.serving.request.items()},
            "outcome": {name: str(dtype) for name, dtype in self.serving.outcome.items()},
            "key": list(self.serving.key),
            "examples": [
                {"application": e.application, "request": _plain(e.request), "low": e.low, "high": e.high}
                for e in self.serving.examples
            ],
            "trigger": {
                "window_seconds": self.trigger.window.total_seconds(),
                "windows": self.trigger.windows,
                "cool_down_seconds": self.trigger.cool_down.total_seconds(),
                "margin": self.trigger.margin,
                "cadence_seconds": self.trigger.cadence.total_seconds() if self.trigger.cadence else None,
                "new_rows": self.trigger.new_rows,
            },
            "promote": {
                "margin": self.promote.margin,
                "slices": list(self.promote.slices),
                "tolerance": self.promote.tolerance,
                "minimum_rows": self.promote.minimum_rows,
            },
            "value_unit": self.value.unit if self.value else "",
            "independent_unit": self.independent_unit,
            "trusted": list(self.trusted),
            "legitimate": dict(self.legitimate),
        }


def _plain(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in request.items()}
