"""A short analysis of a pipeline's features that ends in a verdict by rule: the same rows always get the same one.

Rows whose label is known are cut two weeks before the newest: small models learn from the older ones and are judged
on the newest, which none of them has seen. Differences are on the same rows, with a 95% interval over whole days;
"surely" means its lower end. The margin is the pipeline's own (``trigger.margin``, in its metric's unit). The first
rule that holds decides:

1. under MINIMUM_OLDER older or MINIMUM_JUDGED newest rows, or too few days or classes to measure: **more data**
2. no small model is surely better than a constant by more than the margin: **more data** (other features, above all)
3. there is no champion: **new model**
4. a small tree of all older rows is surely better than the champion by more than the margin. Then the same tree is
   fitted on rows of the champion's age only. Is it not surely better, the champion's age is the reason: **retrain**.
   Is it, the model is the reason: **tune the architecture**, or **new model** if it is behind by over NEW_MODEL margins
5. the learning curve still rises: all older rows surely beat half of them, by the margin or more: **more data**
6. otherwise: **leave it**

What a feature tells is its *strength*: the mean label of its value's bin, learnt on every other row, against the label
on the rest: 2·AUC − 1 for classes, the rank correlation for numbers; 0 is nothing, 1 everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from flows.deciding.performance import Interval, paired
from flows.pipeline import MAE, Metric
from store.errors import InvalidInput

LEAVE, RETRAIN, TUNE, NEW, MORE = "leave it", "retrain", "tune the architecture", "new model", "more data"
NEWEST, NEW_MODEL = timedelta(days=14), 3.0
MINIMUM_OLDER, MINIMUM_JUDGED = 1_000, 300
OLDER, JUDGED, SAMPLE = 100_000, 20_000, 20_000
"""At most as many rows are learnt from, judged, and described (or shown to the linear model); sampled, seeded."""
BINS, MEMBERS, PRIOR, MEMBER_ROWS, MONTHS, MONTH_ROWS = 16, 50, 20.0, 100, 6, 200
LEAK, SILENT, UNSTABLE, MOVED = 0.9, 0.02, 0.1, 0.2
TEXT = (pl.String, pl.Categorical, pl.Enum)
ALL, INF = slice(None), float("inf")
_MODELS = {"model": pl.String, "fitted": pl.Int64, "judged": pl.Int64, "value": pl.Float64}
Task = Literal["classification", "regression"]
Rows = np.ndarray | slice


@dataclass(frozen=True)
class Evidence:
    """What the rules look at. Intervals say how much better, in the metric's unit; None: could not be measured.

    ``signal``: the better small model against a constant. ``fresh``, ``aged``: the tree of all older rows, and that of
    rows of the champion's age, against the champion on rows it has not seen. ``curve``: all older rows against half.
    """

    older: int
    judged: int
    champion: bool
    signal: Interval | None = None
    fresh: Interval | None = None
    aged: Interval | None = None
    curve: Interval | None = None

    @property
    def enough(self) -> bool:
        return self.older >= MINIMUM_OLDER and self.judged >= MINIMUM_JUDGED


@dataclass(frozen=True)
class Found:
    """The verdict, its sentence, and what they stand on.

    ``features``, strongest first: feature, dtype, note str; missing f64 (0 to 1); distinct i64; strength f64, likewise
    in the ``older`` and ``newer`` half and a column a month (``2013-03``); moved f64 (the halves' distance, 0 to 1).
    ``models``: model str; fitted (null: the champion) and judged i64, rows; value f64. ``start``, ``end``: UTC.
    """

    verdict: str
    sentence: str
    evidence: Evidence
    features: pl.DataFrame
    models: pl.DataFrame
    start: datetime
    end: datetime


def explore(
    rows: pl.DataFrame, columns: Sequence[str], *, task: Task, metric: Metric, margin: float,
    champion_end: datetime | None = None,
) -> Found:  # fmt: skip
    """Analyse a pipeline's rows and say what should happen to it. Deterministic.

    ``rows``: event_time and label_time Datetime[us, UTC], label f64 (nulls are left out), prediction f64 (the
    champion's, or null), and the model's ``columns`` (numbers, booleans, text). ``champion_end``: the newest row the
    champion was fitted or tuned on; None without a champion. InvalidInput: no labelled row, or a column missing.
    """
    wanted = ["event_time", "label_time", "label", "prediction", *columns]
    if (missing := [name for name in wanted if name not in rows.columns]) or not rows["label"].count():
        exists = f"Of {rows.height:,} rows none has a label, or columns are missing: {missing}."
        raise InvalidInput("There is nothing to explore.", exists, "Ingest or collect data of that time.")
    rows = rows.drop_nulls("label").sort("event_time", maintain_order=True)
    cut = rows["event_time"][-1] - NEWEST
    older = _sampled(rows.filter(pl.col("label_time") <= cut), OLDER)
    judged = _sampled(rows.filter(pl.col("event_time") > cut), JUDGED)
    evidence = Evidence(older.height, judged.height, champion_end is not None)
    models = _Models(judged, columns, task, metric)
    if evidence.enough and older["label"].n_unique() > 1:
        with threadpool_limits(1):  # on a busy machine, threads that wait for one another cost ten times their work
            evidence = measured(older, models, champion_end)
    features, times = described(_sampled(rows, SAMPLE), columns, task), rows["event_time"]
    table = pl.DataFrame(models.lines, schema=_MODELS, orient="row")
    return Found(*decide(evidence, margin, metric.name), evidence, features, table, times[0], times[-1])


def decide(evidence: Evidence, margin: float, metric: str) -> tuple[str, str]:
    """The rules of this module's docstring: a verdict, and the sentence that says why, with its numbers."""
    signal, fresh, aged, curve = evidence.signal, evidence.fresh, evidence.aged, evidence.curve
    if not evidence.enough or signal is None:
        few = f"{evidence.older:,} older rows and {evidence.judged:,} of the newest two weeks"
        return MORE, f"Too little to tell: {few}; {MINIMUM_OLDER:,} and {MINIMUM_JUDGED:,} that vary are needed."
    gain = f"a small model beats a constant by {_told(signal)} {metric}"
    if not signal.low > margin:
        return MORE, f"The features say too little: {gain}, not surely by {margin:g}."
    if not evidence.champion:
        return NEW, f"There is no champion, and the features predict: {gain}."
    if fresh is not None and fresh.low > margin:
        beaten = f"A small tree of recent rows beats the champion by {_told(fresh)} {metric}"
        if aged is None or not aged.low > margin:
            young = f"one of the champion's age by {_told(aged)}" if aged else "what that learnt from is too far back"
            return RETRAIN, f"{beaten}, {young}: its age is the reason."
        verdict = NEW if aged.estimate > NEW_MODEL * margin else TUNE
        return verdict, f"{beaten}, and one of the champion's age does by {_told(aged)}: not its age is the reason."
    if curve is not None and curve.low > 0 and curve.estimate >= margin:
        return MORE, f"The learning curve still rises: twice the rows give {_told(curve)} {metric}."
    against = f"{_told(fresh)} {metric}" if fresh else "not measurable, on too few rows that it has not seen"
    return LEAVE, f"The learning curve is flat, and a small tree of recent rows against the champion is {against}."


def measured(older: pl.DataFrame, models: _Models, champion_end: datetime | None) -> Evidence:
    """Fit the small models, judge them on the newest rows, and compare them."""
    judged = models.judged
    models.fit("tree of a quarter of the older rows", _sampled(older, older.height // 4))
    half = models.fit("tree of half of the older rows", _sampled(older, older.height // 2))
    whole = models.fit("tree of all older rows", older)
    straight = models.fit("linear", _sampled(older, SAMPLE), linear=True)
    level = older["label"].median() if models.metric is MAE else older["label"].mean()
    constant = models.add("constant", np.full(judged.height, level, np.float64), older.height)
    gains = [gain for one in (whole, straight) if (gain := models.better(constant, one)) is not None]
    fresh = aged = None
    if champion_end is not None:
        unseen = ((judged["event_time"] > champion_end) & judged["prediction"].is_not_null()).to_numpy()
        then = older.filter(pl.col("label_time") <= champion_end)
        if unseen.sum() >= MINIMUM_JUDGED:
            champion = models.add("champion", judged["prediction"].fill_null(0.0).to_numpy(), None, unseen)
            fresh = models.better(champion, whole, unseen)
            if then.height >= MINIMUM_OLDER:
                aged = models.better(champion, models.fit("tree of the champion's age", then, unseen), unseen)
    signal, curve = max(gains, key=lambda gain: gain.low, default=None), models.better(half, whole)
    return Evidence(older.height, judged.height, champion_end is not None, signal, fresh, aged, curve)


class _Models:
    """The models judged so far, on the same newest rows (or, against the champion, on those it has not seen)."""

    def __init__(self, judged: pl.DataFrame, columns: Sequence[str], task: Task, metric: Metric) -> None:
        self.judged, self.columns, self.task, self.metric = judged, columns, task, metric
        self.label, self.day = judged["label"].to_numpy(), judged["event_time"].dt.date().to_numpy()
        self.lines = list[tuple[str, int | None, int, float]]()

    def add(self, name: str, found: np.ndarray, fitted: int | None, rows: Rows = ALL) -> np.ndarray:
        """Note the metric of a model's predictions, and return them."""
        self.lines.append((name, fitted, len(found[rows]), self.metric.compute(self.label[rows], found[rows])))
        return found

    def fit(self, name: str, older: pl.DataFrame, rows: Rows = ALL, *, linear: bool = False) -> np.ndarray:
        """Fit a small model (a tree), and predict the newest rows, f64: the probability of class 1, or the value."""
        label, known = older["label"].to_numpy(), [name for name in self.columns if _known(older[name]).len()]
        text = [name for name in known if older.schema[name] in TEXT]
        if not known or label.min() == label.max():
            return self.add(name, np.full(self.judged.height, label.mean()), older.height, rows)
        finite = pl.exclude(text).cast(pl.Float64).replace([INF, -INF], None)
        cast = pl.col(text).cast(pl.String).fill_null("")
        past, now = (side.select(known).with_columns(cast, finite) for side in (older, self.judged))
        model = _small(text, self.task, self.metric, linear).fit(past, label)
        if self.task == "classification":
            return self.add(name, model.predict_proba(now)[:, 1], older.height, rows)
        centre = np.median(label - model.predict(past)) if self.metric is MAE else 0.0  # least squares aim at the mean
        return self.add(name, model.predict(now) + centre, older.height, rows)

    def better(self, first: np.ndarray, second: np.ndarray, rows: Rows = ALL) -> Interval | None:
        """How much better the second is than the first; None where these rows cannot tell."""
        try:
            return paired(self.label[rows], first[rows], second[rows], self.day[rows], self.metric, resamples=400)
        except InvalidInput:
            return None


def _small(text: list[str], task: Task, metric: Metric, linear: bool) -> Any:
    if linear:
        members = OneHotEncoder(max_categories=MEMBERS, handle_unknown="ignore", sparse_output=False)
        numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
        straight = Ridge() if task == "regression" else LogisticRegression(tol=1e-3, max_iter=1000)
        return make_pipeline(make_column_transformer((members, text), remainder=numbers), straight)
    codes = OrdinalEncoder(max_categories=MEMBERS, handle_unknown="use_encoded_value", unknown_value=np.nan)
    options: dict[str, Any] = {"max_iter": 60, "max_leaf_nodes": 15, "early_stopping": False, "random_state": 0}
    options["categorical_features"] = list(range(len(text)))
    trees = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    options |= {"loss": "absolute_error"} if metric is MAE and task == "regression" else {}
    return make_pipeline(make_column_transformer((codes, text), remainder="passthrough"), trees(**options))


def described(rows: pl.DataFrame, columns: Sequence[str], task: Task) -> pl.DataFrame:
    """A line a feature, strongest first: see ``Found.features``. ``rows`` stand in order of event_time."""
    label, month = rows["label"].to_numpy(), rows["event_time"].dt.strftime("%Y-%m").to_numpy()
    newer, held_out = np.arange(rows.height) >= rows.height // 2, np.arange(rows.height) % 2 == 1
    names, sizes = np.unique(month[held_out], return_counts=True)
    spans = {"older": ~newer, "newer": newer} | {one: month == one for one in names[sizes >= MONTH_ROWS][-MONTHS:]}
    found = []
    for name in columns:
        column, bins = rows[name], binned(rows[name])
        expected = _expected(bins, label, ~held_out)
        line: dict[str, Any] = {"feature": name, "dtype": str(column.dtype)}
        line |= {"missing": 1 - _known(column).len() / rows.height, "distinct": _known(column).n_unique()}
        line |= {"strength": strength(expected[held_out], label[held_out], task), "moved": _moved(bins, newer)}
        for span, inside in spans.items():
            line[span] = strength(expected[held_out & inside], label[held_out & inside], task)
        found.append(line | {"note": note(line)})
    return pl.DataFrame(found).sort("strength", "feature", descending=[True, False])


def note(line: dict[str, Any]) -> str:
    """What a person should look at in a feature's line, in words; empty when nothing."""
    if line["distinct"] <= 1:
        return "constant" if line["distinct"] else "always missing"
    rules = {
        "tells nearly everything: does it know the label?": line["strength"] > LEAK,
        "tells nothing alone": abs(line["strength"]) < SILENT,
        f"unstable: {line['older']:.2f}, later {line['newer']:.2f}": abs(line["newer"] - line["older"]) > UNSTABLE,
        f"moved: {line['moved']:.0%} of the rows": line["moved"] > MOVED,
    }
    return "; ".join(said for said, holds in rules.items() if holds)


def binned(column: pl.Series) -> np.ndarray:
    """Bins i64 (rows,): BINS quantiles of numbers, a bin a member of text, one for rare ones; missing has its own."""
    if column.dtype in TEXT:
        codes = column.cast(pl.String).rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        return np.where(np.bincount(codes)[codes] < MEMBER_ROWS, codes.max() + 1, codes)
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = np.isfinite(values)
    edges = np.unique(np.quantile(values[known], np.arange(1, BINS) / BINS)) if known.any() else np.empty(0)
    return np.where(known, np.searchsorted(edges, values), BINS)


def strength(expected: np.ndarray, label: np.ndarray, task: Task) -> float:
    """2·AUC − 1 (Mann and Whitney), or Spearman's rank correlation; 0 where either does not vary."""
    if not len(label) or np.ptp(expected) == 0 or np.ptp(label) == 0:
        return 0.0
    rank = pl.Series(expected).rank().to_numpy()
    if task == "regression":
        return float(np.corrcoef(rank, pl.Series(label).rank().to_numpy())[0, 1])
    ups, downs = label.sum(), len(label) - label.sum()
    return float(2 * (rank[label == 1].sum() - ups * (ups + 1) / 2) / (ups * downs) - 1)


def _expected(bins: np.ndarray, label: np.ndarray, learn: np.ndarray) -> np.ndarray:
    """Each row's mean label of its bin, learnt on some rows and drawn towards the mean of all by PRIOR rows."""
    size = int(bins.max()) + 1
    sums = np.bincount(bins[learn], weights=label[learn], minlength=size) + PRIOR * label[learn].mean()
    means: np.ndarray = sums / (np.bincount(bins[learn], minlength=size) + PRIOR)
    return means[bins]


def _moved(bins: np.ndarray, newer: np.ndarray) -> float:
    """The share of rows that would have to change bin to make the older half look like the newer, 0 to 1."""
    size = int(bins.max()) + 1
    now, past = (np.bincount(bins[side], minlength=size) / max(1, side.sum()) for side in (newer, ~newer))
    return float(np.abs(now - past).sum() / 2)


def _known(column: pl.Series) -> pl.Series:
    return column.filter(column.is_finite()) if column.dtype.is_float() else column.drop_nulls()


def _sampled(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most so many rows, seeded, in their order."""
    return rows if rows.height <= most else rows[np.sort(np.random.default_rng(0).permutation(rows.height)[:most])]


def _told(interval: Interval) -> str:
    return f"{interval.estimate:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
