"""The data that scikit-learn brings along, given ids and times: six tables of 150 to 1,797 rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier

from flows.building.fit import matrix
from flows.pipeline import LOG_LOSS, Search, TimeSplit, Tuned
from tests.power.kind import Case, Kind
from tests.power.tables import table

CLASSIFICATION = {"task": "classification"}
REGRESSION = {"task": "regression"}


@functools.cache
def bundled(name: str, among: tuple[int, ...] = (), dtype: Any = pl.Float64) -> pl.DataFrame:
    """One of scikit-learn's tables: x0, x1, … and ``target``; with ``among``, whether the class is one of these."""
    found = getattr(datasets, f"load_{name}")()
    rows = pl.DataFrame(found.data, schema=[f"x{place}" for place in range(found.data.shape[1])]).cast(dtype)
    target = pl.Series("target", found.target)
    return rows.with_columns(target.is_in(among).cast(pl.Int64) if among else target)


def scaled(model: Any) -> Any:
    """A model on standardised inputs."""
    return make_pipeline(StandardScaler(), model)


def by_id(rows):
    """Every row is a patient of its own: three fifths train, whatever their times."""
    place = pl.col("id") % 5
    part = (
        pl.when(place < 3).then(pl.lit("train")).when(place == 3).then(pl.lit("validation")).otherwise(pl.lit("test"))
    )
    return rows.select(part).to_series()


def searched_in_folds(pipeline, train, validation):
    """A grid search over folds in order of time, within training and validation rows."""
    rows = pl.concat([train, validation]).filter(pl.col("label").is_not_null()).sort("event_time")
    grid = GridSearchCV(
        pipeline.estimator({}),
        {"ridge__alpha": [0.01, 1.0, 100.0]},
        cv=TimeSeriesSplit(4),
        scoring="neg_mean_absolute_error",
    ).fit(matrix(pipeline, rows), rows["label"].to_numpy())
    trials = [
        {"parameters": {"alpha": parameters["ridge__alpha"]}, "value": -float(value)}
        for parameters, value in zip(grid.cv_results_["params"], grid.cv_results_["mean_test_score"])
    ]
    return Tuned({"alpha": grid.best_params_["ridge__alpha"]}, trials)


def _cancer(name: str, estimator: Callable[[int], Any], **more: Any) -> Callable[[int], Case]:
    return lambda seed: table(
        name, bundled("breast_cancer"), seed, estimator=estimator(seed), **(CLASSIFICATION | more)
    )


def _digits(name: str, among: tuple[int, ...], estimator: Callable[[int], Any], **more: Any) -> Callable[[int], Case]:
    return lambda seed: table(
        name, bundled("digits", among, pl.Int64), seed, estimator=estimator(seed), **(CLASSIFICATION | more)
    )


def _diabetes(name: str, estimator: Callable[[int], Any], **more: Any) -> Callable[[int], Case]:
    return lambda seed: table(name, bundled("diabetes"), seed, estimator=estimator(seed), **(REGRESSION | more))


def _logistic(seed: int):
    return lambda parameters: scaled(LogisticRegression(**parameters))


KINDS = (
    Kind(
        "cancer_logistic", "breast cancer: logistic regression on 30 scaled numbers, searched; answer and question in one row",
        _cancer("cancer_logistic", _logistic, search=Search({"C": [0.01, 0.1, 1.0, 10.0]}, trials=3)),
    ),
    Kind(
        "cancer_neighbours", "breast cancer: nearest neighbours, searched; the answer seven hours later",
        _cancer(
            "cancer_neighbours", lambda seed: lambda parameters: scaled(KNeighborsClassifier(**parameters)),
            later=timedelta(hours=7), search=Search({"n_neighbors": [3, 9, 15], "weights": ["uniform", "distance"]}, trials=3),
        ),
    ),
    Kind(
        "cancer_mlp", "breast cancer: a small MLP; split by patient, each its own unit",
        _cancer(
            "cancer_mlp",
            lambda seed: lambda parameters: scaled(MLPClassifier((8,), max_iter=400, tol=1e-3, random_state=seed, **parameters)),
            split=by_id, independent_unit="id",
        ),
    ),
    Kind(
        "cancer_calibrated", "breast cancer: naive Bayes, calibrated in folds, judged by log loss",
        _cancer(
            "cancer_calibrated", lambda seed: lambda parameters: scaled(CalibratedClassifierCV(GaussianNB(**parameters), cv=3)),
            later=timedelta(hours=20), metric=LOG_LOSS, search=Search({"var_smoothing": [1e-9, 1e-3]}, trials=2),
        ),
    ),
    Kind(
        "digits_forest", "digits: is it a three (one in ten); a random forest on 64 whole numbers",
        _digits(
            "digits_forest", (3,),
            lambda seed: lambda parameters: RandomForestClassifier(25, random_state=seed, **parameters), later=timedelta(hours=3),
        ),
        rows=900,
    ),
    Kind(
        "digits_components", "digits: odd or even; principal components and linear discriminants, their number searched",
        _digits(
            "digits_components", (1, 3, 5, 7, 9),
            lambda seed: lambda parameters: make_pipeline(
                PCA(parameters.get("components", 12), random_state=seed), LinearDiscriminantAnalysis()
            ),
            search=Search({"components": [6, 12, 24]}, trials=3),
        ),
        rows=900,
    ),
    Kind(
        "wine_tiny", "wine: logistic regression on 178 rows",
        lambda seed: table("wine_tiny", bundled("wine", (0,)), seed, estimator=_logistic(seed), **CLASSIFICATION),
    ),
    Kind(
        "iris_tiny", "iris: a decision tree on 150 rows",
        lambda seed: table(
            "iris_tiny", bundled("iris", (1,)), seed, later=timedelta(hours=30), **CLASSIFICATION,
            split=TimeSplit(timedelta(days=8), timedelta(days=9), timedelta(days=2)),
            estimator=lambda parameters: DecisionTreeClassifier(max_depth=4, random_state=seed, **parameters),
        ),
    ),
    Kind(
        "diabetes_ridge", "diabetes: ridge, searched by the author's own folds in order of time",
        _diabetes("diabetes_ridge", lambda seed: lambda parameters: scaled(Ridge(**parameters)), tune=searched_in_folds),
    ),
    Kind(
        "diabetes_neighbours", "diabetes: the mean of the nearest neighbours",
        _diabetes(
            "diabetes_neighbours", lambda seed: lambda parameters: scaled(KNeighborsRegressor(**{"n_neighbors": 12} | parameters)),
            search=Search({"n_neighbors": [6, 12, 24]}, trials=2),
        ),
    ),
    Kind(
        "diabetes_mlp", "diabetes: an MLP that stops early on a part of its own training rows; the answer two days later",
        _diabetes(
            "diabetes_mlp",
            lambda seed: lambda parameters: TransformedTargetRegressor(
                scaled(MLPRegressor(hidden_layer_sizes=(8,), early_stopping=True, learning_rate_init=0.01, random_state=seed)),
                transformer=StandardScaler(),
            ),
            later=timedelta(days=2), split=TimeSplit(timedelta(days=9), timedelta(days=9), timedelta(days=2)),
        ),
    ),
    Kind(
        "diabetes_svr", "diabetes: support vectors",
        _diabetes(
            "diabetes_svr", lambda seed: lambda parameters: scaled(SVR(**{"C": 30.0} | parameters)), later=timedelta(hours=5),
            search=Search({"C": [3.0, 30.0, 100.0]}, trials=2),
        ),
    ),
)  # fmt: skip
