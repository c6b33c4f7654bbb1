"""Pipelines unlike the others: weeks of which only the dates are known, payments with what several groups say of them, and one whose
search, fit and report are all the author's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from flows.building.analyse import analyse
from flows.building.catalog import Catalog
from flows.building.fit import fit, matrix, predict
from flows.pipeline import (
    MAE,
    ROC_AUC,
    TIME,
    Analysis,
    Derived,
    Facts,
    Group,
    Pipeline,
    Search,
    Serving,
    TimeSplit,
    Tuned,
    Use,
    Window,
)
from tests.power.drawn import chances
from tests.power.kind import Case, Kind, case
from tests.power.tables import table

START, HOUR, DAY = datetime(2023, 1, 1, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
WEEK = 7 * DAY

# ---- weeks --------------------------------------------------------------------------------------------------------

SALES = Group("week_sales", {"store": pl.String()}, {"units": pl.Int64()}, ttl=30 * DAY)
LATELY = Group("four_weeks", {"store": pl.String()}, {"mean_4w": pl.Float64(), "weeks_4w": pl.Int64()}, ttl=2 * WEEK)
WEEKS = 110


def lately(read, ticks):
    """Mean and count of the weeks known by a tick that began in the five weeks before it."""
    rows = read("week_sales", Window(ticks[0] - 5 * WEEK, ticks[-1]))
    of_tick = [
        rows.filter(pl.col("event_time") >= tick - 5 * WEEK, pl.col("known_time") <= tick)
        .group_by("store")
        .agg(mean_4w=pl.col("units").mean(), weeks_4w=pl.len().cast(pl.Int64))
        .with_columns(event_time=pl.lit(tick, TIME))
        for tick in ticks
    ]
    return pl.concat(of_tick)


def next_week(read, window):
    """What a store sells in the week after the one that has ended."""
    rows = read("week_sales", window).drop("known_time")
    ahead = rows.select("store", week=pl.col("event_time") - WEEK, label=pl.col("units").cast(pl.Float64))
    asked = rows.select("store", week="event_time")
    found = asked.join(ahead, on=["store", "week"], how="left", maintain_order="left")
    return found.with_columns(label_time=pl.col("week") + 2 * WEEK)


def when_it_ends(rows):
    """Asked at the midnight on which a week ends."""
    return rows.with_columns(event_time=pl.col("week") + WEEK, month=pl.col("week").dt.month().cast(pl.Int64))


STORES = Pipeline(
    name="weeks_ridge", version="1.0.0", description="Units sold in the next week.", owner="power", task="regression",
    dataset=next_week, prepare=when_it_ends, inputs=("month",), slices=("store",), metric=MAE, floor=1e9,
    features=(Use("week_sales", ("units",)), Use("four_weeks", ("mean_4w", "weeks_4w"))),
    estimator=lambda parameters: make_pipeline(SimpleImputer(), StandardScaler(), Ridge(**parameters)),
    search=Search({"alpha": [0.1, 1.0, 10.0]}, trials=2), split=TimeSplit(20 * WEEK, 20 * WEEK, 2 * WEEK),
    serving=Serving(
        {"store": pl.String(), "week": TIME}, {"store": pl.String(), "week": TIME, "units": pl.Int64()}, key=("store", "week")
    ),
)  # fmt: skip
OF_WEEKS = Catalog(
    {"week_sales": Facts(SALES)},
    {"four_weeks": Derived(LATELY, ("week_sales",), lately, WEEK, 5 * WEEK)},
    dict.fromkeys(("week_sales", "four_weeks"), "0" * 64),
)


def weeks_ridge(seed: int) -> Case:
    """Four stores, week by week, told when the week is over."""
    random, rows = np.random.default_rng(seed), list[tuple[Any, ...]]()
    for store in ("amber", "birch", "cedar", "dune"):
        level = random.uniform(50, 150) + np.cumsum(random.normal(0, 6, WEEKS))
        season = 20 * np.sin(np.arange(WEEKS) / 52 * 2 * np.pi)
        for number, units in enumerate(np.maximum(0, level + season).astype(int).tolist()):
            rows.append((store, START + number * WEEK, START + (number + 1) * WEEK, units))
    return case(STORES, OF_WEEKS, {"week_sales": _frame(SALES, rows)}, START, START + (WEEKS + 1) * WEEK)


# ---- payments -----------------------------------------------------------------------------------------------------

CARDS = Group("cards", {"card": pl.Int64()}, {"limit": pl.Float64(), "gold": pl.Boolean()})
TERMINALS = Group("terminals", {"terminal": pl.String()}, {"risk": pl.Float64()}, ttl=WEEK, delay=HOUR)
PAYMENTS = Group(
    "payments", {"payment": pl.Int64()}, {"card": pl.Int64(), "terminal": pl.String(), "amount": pl.Float64()}
)
DISPUTES = Group("disputes", {"payment": pl.Int64()}, {"fraud": pl.Boolean()})
USAGE = Group("usage", {"card": pl.Int64()}, {"spent_7d": pl.Float64(), "count_7d": pl.Int64()}, ttl=2 * DAY)
CLAIM, DAYS, MANY = 3 * DAY, 45, 1800


def usage(read, ticks):
    """What a card has paid in the week before a tick."""
    rows = read("payments", Window(ticks[0] - WEEK, ticks[-1]))
    of_tick = [
        rows.filter(pl.col("event_time") >= tick - WEEK, pl.col("event_time") < tick, pl.col("known_time") <= tick)
        .group_by("card")
        .agg(spent_7d=pl.col("amount").sum(), count_7d=pl.len().cast(pl.Int64))
        .with_columns(event_time=pl.lit(tick, TIME))
        for tick in ticks
    ]
    return pl.concat(of_tick)


def disputed(read, window):
    """Payments, and whether they were disputed, and rightly, within three days: most never are."""
    rows = read("payments", window).rename({"event_time": "at"}).drop("known_time")
    told = read("disputes", window).select("payment", "fraud", told="event_time")
    found = rows.join(told, on="payment", how="left", maintain_order="left")
    fraud = (pl.col("fraud") & (pl.col("told") <= pl.col("at") + CLAIM)).fill_null(value=False)
    return found.with_columns(label=fraud.cast(pl.Float64), label_time=pl.col("at") + CLAIM).drop("fraud", "told")


def when_paid(rows):
    """Asked with the payment."""
    hour = pl.col("at").dt.hour().cast(pl.Int64)
    return rows.with_columns(event_time="at", log_amount=pl.col("amount").log1p(), hour=hour)


FRAUD = Pipeline(
    name="payments_fraud", version="1.0.0", description="Whether a payment is charged back within three days.", owner="power",
    task="classification", dataset=disputed, prepare=when_paid, inputs=("log_amount", "hour"), metric=ROC_AUC, floor=0.5,
    features=(Use("cards", ("limit", "gold")), Use("terminals", ("risk",)), Use("usage", ("spent_7d", "count_7d"))),
    estimator=lambda parameters: HistGradientBoostingClassifier(
        max_iter=30, max_leaf_nodes=5, early_stopping=False, random_state=0, **parameters
    ),
    search=Search({"learning_rate": [0.05, 0.1], "l2_regularization": [0.0, 1.0]}, trials=2), split=TimeSplit(8 * DAY, 8 * DAY, CLAIM),
    serving=Serving(
        {"payment": pl.Int64(), "card": pl.Int64(), "terminal": pl.String(), "amount": pl.Float64(), "at": TIME},
        {"payment": pl.Int64(), "fraud": pl.Boolean()}, key=("payment",),
    ),
)  # fmt: skip
OF_PAYMENTS = Catalog(
    {group.name: Facts(group) for group in (CARDS, TERMINALS, PAYMENTS, DISPUTES)},
    {"usage": Derived(USAGE, ("payments",), usage, DAY, WEEK)},
    dict.fromkeys(("cards", "terminals", "payments", "disputes", "usage"), "0" * 64),
)


def payments_fraud(seed: int) -> Case:
    """Sixty cards at twelve terminals, whose risk is assessed every other day."""
    random = np.random.default_rng(seed)
    cards = [(one, START, START, float(random.uniform(500, 5000)), bool(random.random() < 0.3)) for one in range(60)]
    levels = random.normal(0, 1, (12, 1)) + np.cumsum(random.normal(0, 0.3, (12, DAYS // 2 + 1)), axis=1)
    terminals, payments, disputes = list[tuple[Any, ...]](), list[tuple[Any, ...]](), list[tuple[Any, ...]]()
    for place, step in np.ndindex(levels.shape):
        when = START + 2 * int(step) * DAY + int(random.integers(20)) * HOUR
        terminals.append((f"t{place}", when, when + HOUR, float(levels[place, step])))
    for number, second in enumerate(np.sort(random.choice(DAYS * 86_400, MANY, replace=False)).tolist()):
        when, place, amount = START + timedelta(seconds=second), int(random.integers(12)), float(random.gamma(2, 60))
        payments.append((number, when, when, int(random.integers(60)), f"t{place}", amount))
        if random.random() < 1 / (1 + np.exp(2.2 - 1.3 * levels[place, second // 172_800] - amount / 200)):
            told = when + float(random.uniform(2, 100)) * HOUR
            disputes.append((number, told, told, bool(random.random() < 0.95)))
    groups = ((CARDS, cards), (TERMINALS, terminals), (PAYMENTS, payments), (DISPUTES, disputes))
    return case(
        FRAUD, OF_PAYMENTS, {group.name: _frame(group, rows) for group, rows in groups}, START, START + DAYS * DAY
    )


def _frame(group: Group, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {**group.keys, "event_time": TIME, "known_time": TIME, **group.values}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("event_time")


# ---- all the author's own -----------------------------------------------------------------------------------------


def tuned_by_hand(pipeline, train, validation):
    """Three learning rates, by their mean over two folds in order of time."""
    rows = pl.concat([train, validation]).filter(pl.col("label").is_not_null()).sort("event_time")
    trials = []
    for rate in (0.03, 0.1, 0.3):
        values = []
        for share in (0.6, 0.8):
            earlier, later = (
                rows.head(int(share * rows.height)),
                rows[int(share * rows.height) :].head(rows.height // 5),
            )
            model = fit(pipeline, {"learning_rate": rate}, earlier)
            values.append(
                pipeline.metric.compute(later["label"].to_numpy(), predict(pipeline, model, matrix(pipeline, later)))
            )
        trials.append({"parameters": {"learning_rate": rate}, "value": float(np.mean(values))})
    best = (max if pipeline.metric.better == "higher" else min)(trials, key=lambda trial: trial["value"])
    return Tuned(best["parameters"], trials)


def stopped_early(model, data, labels):
    """The number of rounds is told by the last fifth of the training rows."""
    cut = int(0.8 * len(labels))
    errors = {}
    for rounds in (10, 20, 40):
        model.set_params(max_iter=rounds).fit(data[:cut], labels[:cut])
        errors[rounds] = float(np.abs(model.predict(data[cut:]) - labels[cut:]).mean())
    return model.set_params(max_iter=min(errors, key=lambda rounds: errors[rounds])).fit(data, labels)


def with_an_interval(pipeline, rows) -> Analysis:
    """The usual report, a bootstrapped bound, the share within one, and the errors by decile."""
    report, random = analyse(pipeline, rows), np.random.default_rng(0)
    judged = rows.filter(pl.col("label").is_not_null())
    errors = (judged["prediction"] - judged["label"]).abs().to_numpy()
    means = [float(random.choice(errors, errors.size).mean()) for _ in range(50)]
    more = {"within_one": float((errors <= 1).mean()), "mae_low": float(np.quantile(means, 0.05))}
    places = np.arange(1, 10) / 10
    curve = pl.DataFrame({"curve": ["error"] * 9, "x": places, "y": np.quantile(errors, places)})
    return Analysis(report.metrics | more, report.slices, pl.concat([report.curves, curve]))


def own_everything(seed: int) -> Case:
    """Search, fit and report by hand."""
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 1, (900, 4))
    frame = pl.DataFrame(numbers, schema=["load", "heat", "wind", "tariff"]).with_columns(
        region=pl.Series(random.integers(0, 3, 900)),
        target=pl.Series(2 * numbers[:, 0] + 2 * np.abs(numbers[:, 1]) + random.normal(0, 1.5, 900)),
    )
    return table(
        "own_everything", frame, seed, later=timedelta(hours=20), task="regression", slices=("region",),
        inputs=("load", "heat", "wind", "tariff"), tune=tuned_by_hand, fit=stopped_early, analyse=with_an_interval,
        estimator=lambda parameters: HistGradientBoostingRegressor(
            max_leaf_nodes=7, early_stopping=False, random_state=seed, **parameters
        ),
    )  # fmt: skip


def fraud_reduced(seed: int) -> Case:
    """One in forty is positive; texts are one-hot, and reduced to eight components."""
    random, rows = np.random.default_rng(seed), 1800
    kind, place = random.integers(0, 6, rows), random.integers(0, 20, rows)
    fraud = chances(-4.2 + 1.2 * (kind == 1) + 2.2 * (place < 3), random)
    almost = (random.random(rows) < 0.002).astype(np.float64)
    frame = pl.DataFrame(
        {"kind": [f"k{one}" for one in kind], "place": [f"p{one}" for one in place], "almost": almost, "target": fraud}
    )
    return table(
        "fraud_reduced", frame, seed, later=timedelta(hours=10), task="classification",
        estimator=lambda parameters: make_pipeline(
            make_column_transformer(
                (make_pipeline(OneHotEncoder(handle_unknown="ignore"), TruncatedSVD(8, random_state=0)), ["kind", "place"]),
                remainder="passthrough",
            ),
            LogisticRegression(class_weight="balanced", **parameters),
        ),
    )  # fmt: skip


KINDS = (
    Kind("weeks_ridge", "weekly sales of which only dates are known: a lag and a derived mean; ridge", weeks_ridge, rows=700),
    Kind("payments_fraud", "payments with what three groups of other ttl say; boosted trees", payments_fraud),
    Kind("own_everything", "search in folds, early stopping and report by the author's own hand; boosted trees", own_everything, rows=700),
    Kind("fraud_reduced", "one in forty positive, an almost constant column, components of one-hot texts; balanced weights", fraud_reduced),
)  # fmt: skip
