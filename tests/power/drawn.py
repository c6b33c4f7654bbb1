"""Tables drawn from a seed: text, many categories, rare positives, weights, wide ones, counts, prices, households, flags and dates."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.model_selection import KFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

from flows.building.analyse import analyse
from flows.pipeline import LOG_LOSS, Analysis, Metric, Search
from tests.power.kind import Case, Kind
from tests.power.tables import table

WORDS = (
    "delay",
    "storm",
    "clear",
    "gate",
    "crew",
    "wind",
    "snow",
    "late",
    "early",
    "fine",
    "calm",
    "queue",
    "boarding",
    "fog",
    "sun",
)
TRUSTED = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
)
FOLDS = ("sklearn.model_selection._split.KFold",)
LIGHT = {
    "n_estimators": 40,
    "num_leaves": 7,
    "min_child_samples": 10,
    "n_jobs": 1,
    "verbosity": -1,
    "deterministic": True,
}


def chances(scores: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Zeros and ones, the likelier the higher the score."""
    return (random.random(scores.size) < 1 / (1 + np.exp(-scores))).astype(np.int64)


def _notes(random: np.random.Generator, bad: np.ndarray, words: int = 7) -> list[str]:
    """Notes whose first words are commoner where ``bad``."""
    tilt = np.linspace(1.0, -1.0, len(WORDS))
    weights = [np.exp(sign * tilt) / np.exp(sign * tilt).sum() for sign in (-0.5, 0.5)]
    return [" ".join(random.choice(WORDS, words, p=weights[one])) for one in bad]


def notes_text(seed: int) -> Case:
    """Nothing but a note."""
    random = np.random.default_rng(seed)
    late = random.integers(0, 2, 700)
    return table(
        "notes_text", pl.DataFrame({"note": _notes(random, late), "target": late}), seed, later=timedelta(hours=5),
        task="classification", search=Search({"C": [0.1, 1.0, 10.0]}, trials=2),
        estimator=lambda parameters: make_pipeline(
            make_column_transformer((TfidfVectorizer(), "note")), LogisticRegression(**parameters)
        ),
    )  # fmt: skip


def reviews_mixed(seed: int) -> Case:
    """A note, a shop and a number."""
    random = np.random.default_rng(seed)
    rows, shops = 700, np.array(["amber", "birch", "cedar", "dune"])
    place, stars = random.integers(0, 4, rows), random.poisson(3, rows)
    bad = chances((place - 1.5) + 0.5 * (stars - 3), random)
    frame = pl.DataFrame(
        {"note": _notes(random, bad), "shop": shops[place], "stars": stars.astype(np.int64), "target": bad}
    )
    return table(
        "reviews_mixed", frame, seed, task="classification", slices=("shop",),
        estimator=lambda parameters: make_pipeline(
            make_column_transformer(
                (CountVectorizer(), "note"), (OneHotEncoder(handle_unknown="ignore"), ["shop"]), ("passthrough", ["stars"])
            ),
            MultinomialNB(**parameters),
        ),
    )  # fmt: skip


def categories_many(seed: int) -> Case:
    """A city of eighty and a device of six, their target means learned in folds."""
    random = np.random.default_rng(seed)
    rows = 1200
    city, device, age = random.integers(0, 80, rows), random.integers(0, 6, rows), random.normal(0, 1, rows)
    effect, folds = random.normal(0, 1.2, 80), KFold(5, shuffle=True, random_state=seed)
    bought = chances(effect[city] + 0.4 * (device - 2.5) + 0.6 * age, random)
    frame = pl.DataFrame(
        {"city": [f"city {one}" for one in city], "device": [f"d{one}" for one in device], "age": age, "target": bought}
    )
    return table(
        "categories_many", frame, seed, later=timedelta(hours=11), task="classification", slices=("device",), trusted=FOLDS,
        metric=LOG_LOSS, search=Search({"C": [0.1, 1.0]}, trials=2),
        estimator=lambda parameters: make_pipeline(
            make_column_transformer(
                (TargetEncoder(target_type="binary", cv=folds), ["city", "device"]), (StandardScaler(), ["age"])
            ),
            LogisticRegression(**parameters),
        ),
    )  # fmt: skip


def balanced(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
    """Both classes weigh the same."""
    share = labels.mean()
    return model.fit(data, labels, sample_weight=np.where(labels == 1, 0.5 / share, 0.5 / (1 - share)))


def rare_weighted(seed: int) -> Case:
    """One in thirty is positive, and weighs as much as all the others."""
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 1, (2000, 5))
    fraud = chances(1.3 * numbers[:, 0] + numbers[:, 1] * numbers[:, 2] - 4.6, random)
    frame = pl.DataFrame(numbers, schema=[f"n{place}" for place in range(5)]).with_columns(target=pl.Series(fraud))
    return table(
        "rare_weighted", frame, seed, later=timedelta(hours=9), task="classification", fit=balanced,
        estimator=lambda parameters: HistGradientBoostingClassifier(
            **{"max_iter": 40, "max_leaf_nodes": 7, "early_stopping": False, "random_state": seed} | parameters
        ),
    )  # fmt: skip


def wide_selected(seed: int) -> Case:
    """A hundred and twenty numbers, of which six matter."""
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 1, (500, 120))
    positive = chances(numbers[:, :6].sum(axis=1), random)
    frame = pl.DataFrame(numbers, schema=[f"w{place}" for place in range(120)]).with_columns(target=pl.Series(positive))
    return table(
        "wide_selected", frame, seed, later=timedelta(hours=4), task="classification",
        search=Search({"k": [5, 10, 40]}, trials=2),
        estimator=lambda parameters: make_pipeline(
            StandardScaler(), SelectKBest(f_classif, k=parameters.get("k", 10)), LogisticRegression()
        ),
    )  # fmt: skip


def wide_sparse(seed: int) -> Case:
    """A hundred numbers, more than there are training rows: most weights end at zero."""
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 1, (270, 100))
    frame = pl.DataFrame(numbers, schema=[f"w{place}" for place in range(100)])
    amount = 10 + numbers[:, :5] @ np.array([3.0, -2.0, 2.0, 1.0, 1.0]) + random.normal(0, 1, 270)
    return table(
        "wide_sparse", frame.with_columns(target=pl.Series(amount)), seed, task="regression",
        search=Search({"alpha": [0.05, 0.2, 1.0]}, trials=2),
        estimator=lambda parameters: make_pipeline(StandardScaler(), ElasticNet(**{"alpha": 0.2} | parameters)),
    )  # fmt: skip


def lightgbm_classes(seed: int) -> Case:
    """LightGBM on numbers with holes and a category."""
    random = np.random.default_rng(seed)
    rows = 1000
    numbers, plan = random.normal(0, 1, (rows, 3)), random.integers(0, 4, rows)
    left = chances(numbers[:, 0] * numbers[:, 1] + 0.8 * numbers[:, 2] + (plan == 2), random)
    frame = pl.DataFrame(numbers, schema=["use", "trend", "age"]).with_columns(
        pl.when(pl.Series(random.random(rows) > 0.1)).then("use"),
        plan=pl.Series(np.array(["free", "basic", "plus", "team"])[plan]),
        target=pl.Series(left),
    )
    encoded = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return table(
        "lightgbm_classes", frame, seed, later=timedelta(hours=6), task="classification", trusted=TRUSTED, slices=("plan",),
        search=Search({"learning_rate": [0.05, 0.1], "num_leaves": [4, 7]}, trials=3),
        estimator=lambda parameters: make_pipeline(
            make_column_transformer((encoded, ["plan"]), remainder="passthrough"),
            LGBMClassifier(**LIGHT | {"random_state": seed} | parameters),
        ),
    )  # fmt: skip


def recent_weigh_more(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
    """A row weighs by how reliable its meter is."""
    return model.fit(data, labels, sample_weight=data["reliability"].to_numpy())


def lightgbm_weighted(seed: int) -> Case:
    """LightGBM for a number, with a weight a row."""
    random = np.random.default_rng(seed)
    rows = 900
    frame = pl.DataFrame(random.normal(0, 1, (rows, 4)), schema=["load", "heat", "wind", "tariff"])
    reliability = random.uniform(0.2, 1.0, rows)
    hot = (frame["heat"] > 0.5).cast(pl.Float64)
    used = 20 + 4 * frame["load"] + 3 * hot + frame["wind"] * frame["heat"]
    frame = frame.with_columns(
        reliability=pl.Series(reliability), target=used + random.normal(0, 1, rows) / reliability
    )
    return table(
        "lightgbm_weighted", frame, seed, task="regression", trusted=TRUSTED, fit=recent_weigh_more,
        estimator=lambda parameters: LGBMRegressor(**LIGHT | {"objective": "l1", "random_state": seed} | parameters),
    )  # fmt: skip


DEVIANCE = Metric(
    "poisson_deviance", "lower", lambda labels, found: float(mean_poisson_deviance(labels, np.maximum(found, 1e-9)))
)


def with_share_of_zeros(pipeline, rows) -> Analysis:
    """The usual report, and how often nothing happened."""
    report = analyse(pipeline, rows)
    labels = rows["label"].drop_nulls()
    return Analysis(report.metrics | {"share_of_zeros": float((labels == 0).mean())}, report.slices, report.curves)


def counts_poisson(seed: int) -> Case:
    """Counts, with a metric and a report of the author's own."""
    random = np.random.default_rng(seed)
    rows = 900
    hour, staff = random.integers(0, 24, rows), random.integers(1, 6, rows)
    calls = random.poisson(np.exp(0.3 + np.sin(hour / 24 * 2 * np.pi) + 0.15 * staff))
    frame = pl.DataFrame({"hour": hour, "staff": staff, "target": calls.astype(np.int64)})
    return table(
        "counts_poisson", frame, seed, later=timedelta(hours=1), task="regression", metric=DEVIANCE, slices=("staff",),
        analyse=with_share_of_zeros, search=Search({"alpha": [0.0001, 0.1, 1.0]}, trials=2),
        estimator=lambda parameters: make_pipeline(
            make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["hour"]), remainder="passthrough"),
            PoissonRegressor(**{"alpha": 0.001, "max_iter": 500} | parameters),
        ),
    )  # fmt: skip


def on_logarithms(model: Any, data: pl.DataFrame, labels: np.ndarray) -> Any:
    """Prices are skewed: their logarithms are learned."""
    return model.fit(data, np.log1p(labels))


def as_prices(model: Any, data: pl.DataFrame) -> np.ndarray:
    """Logarithms made prices again."""
    return np.expm1(model.predict(data))


def prices_log(seed: int) -> Case:
    """Skewed prices: fit and predict are the author's own, and an area is often unknown."""
    random = np.random.default_rng(seed)
    rows = 900
    area, age, city = random.gamma(6, 15, rows), random.integers(0, 80, rows), random.integers(0, 5, rows)
    price = np.exp(8 + 0.008 * area - 0.006 * age + 0.2 * city + random.normal(0, 0.2, rows))
    frame = pl.DataFrame({"area": area, "age": age, "city": [f"c{one}" for one in city], "target": price})
    frame = frame.with_columns(pl.when(pl.Series(random.random(rows) > 0.15)).then("area"))
    return table(
        "prices_log", frame, seed, later=timedelta(hours=15), task="regression", fit=on_logarithms, predict=as_prices,
        slices=("city",), search=Search({"learning_rate": [0.05, 0.1, 0.2]}, trials=2),
        estimator=lambda parameters: make_pipeline(
            make_column_transformer(
                (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
                (SimpleImputer(strategy="median", add_indicator=True), ["area"]), remainder="passthrough",
            ),
            HistGradientBoostingRegressor(**{"max_iter": 40, "max_leaf_nodes": 7, "random_state": seed} | parameters),
        ),
    )  # fmt: skip


def by_household(rows):
    """All questions of a household are on one side."""
    place = pl.col("household") % 5
    part = (
        pl.when(place < 3).then(pl.lit("train")).when(place == 3).then(pl.lit("validation")).otherwise(pl.lit("test"))
    )
    return rows.select(part).to_series()


def households(seed: int) -> Case:
    """Households that ask several times, and are kept apart."""
    random = np.random.default_rng(seed)
    rows = 900
    household = random.integers(0, 300, rows)
    thrift, size = random.normal(0, 1, 300), random.integers(1, 6, 300)
    spent = random.normal(0, 1, rows) + thrift[household]
    saved = chances(1.2 * spent + 0.5 * (size[household] - 3), random)
    frame = pl.DataFrame({"household": household, "size": size[household], "spent": spent, "target": saved})
    return table(
        "households", frame, seed, task="classification", inputs=("size", "spent"), split=by_household,
        independent_unit="household", later=timedelta(hours=8), search=Search({"min_samples_leaf": [3, 10]}, trials=2),
        estimator=lambda parameters: ExtraTreesClassifier(25, random_state=seed, **{"min_samples_leaf": 5} | parameters),
    )  # fmt: skip


def with_days(rows):
    """The age of a contract in days when the question is asked."""
    days = (pl.col("at").dt.date() - pl.col("since")).dt.total_days()
    return rows.with_columns(event_time="at", days=days.cast(pl.Int64))


def flags_voting(seed: int) -> Case:
    """Truths and a date; two models vote."""
    random = np.random.default_rng(seed)
    rows = 800
    flags, age = random.random((rows, 4)) < 0.4, random.integers(10, 700, rows)
    renewed = chances(flags @ np.array([1.5, -1.0, 0.8, 0.0]) + age / 300 - 1.5, random)
    since = [date(2024, 1, 1) - timedelta(days=int(one)) for one in age]
    frame = pl.DataFrame(flags, schema=["paperless", "trial", "paid", "student"]).with_columns(
        since=pl.Series(since), target=pl.Series(renewed)
    )
    return table(
        "flags_voting", frame, seed, task="classification", prepare=with_days, slices=("paperless",),
        inputs=("paperless", "trial", "paid", "student", "days"),
        estimator=lambda parameters: VotingClassifier(
            [
                ("line", make_pipeline(StandardScaler(), LogisticRegression())),
                ("tree", DecisionTreeClassifier(max_depth=4, min_samples_leaf=10, random_state=seed)),
            ],
            voting="soft",
        ),
    )  # fmt: skip


KINDS = (
    Kind("notes_text", "text alone: term weights and logistic regression, searched", notes_text),
    Kind("reviews_mixed", "text, a category and a number: word counts and naive Bayes; slices", reviews_mixed),
    Kind(
        "categories_many",
        "eighty cities: target means learned in folds, logistic regression, log loss",
        categories_many,
    ),
    Kind("rare_weighted", "one in thirty positive: boosted trees with weights by class", rare_weighted, rows=2000),
    Kind("wide_selected", "120 numbers on 500 rows: selection inside the model, its size searched", wide_selected),
    Kind("wide_sparse", "100 numbers on 270 rows, more than the training has: elastic net", wide_sparse),
    Kind("lightgbm_classes", "LightGBM: numbers with holes and a category, searched", lightgbm_classes),
    Kind("lightgbm_weighted", "LightGBM for a number, with a weight a row", lightgbm_weighted),
    Kind("counts_poisson", "counts: Poisson regression, the author's own metric and report", counts_poisson),
    Kind(
        "prices_log", "skewed prices: boosted trees on logarithms, the author's own fit and predict; holes", prices_log
    ),
    Kind("households", "households that recur: split by the declared unit, extra trees", households),
    Kind("flags_voting", "truths and a date: two models vote", flags_voting),
)
