"""What `assay train` is compared with: the same search, fit and score by bare scikit-learn, on an assembled matrix.

    python -m tests.bench.bare MATRIX

MATRIX is a parquet file: the model's columns, ``label``, ``part``. Prints the area under the curve of the test rows.
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import ParameterSampler

from flows.pipelines.flight_delay import estimator, pipeline


def main() -> None:
    rows = pl.read_parquet(sys.argv[1])
    train, validation, test = ((part.select(pipeline.columns), part["label"].to_numpy()) for part in parts(rows))
    search = pipeline.search
    drawn = ParameterSampler(dict(search.space), search.trials, random_state=np.random.RandomState(search.seed))
    best = max([{}, *drawn], key=lambda parameters: score(estimator(parameters).fit(*train), *validation))
    print(score(estimator(best).fit(*train), *test))


def parts(rows: pl.DataFrame) -> list[pl.DataFrame]:
    return [rows.filter(pl.col("part") == part) for part in ("train", "validation", "test")]


def score(model: object, data: pl.DataFrame, labels: np.ndarray) -> float:
    return float(roc_auc_score(labels, model.predict_proba(data)[:, 1]))


if __name__ == "__main__":
    main()
