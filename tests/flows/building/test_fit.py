"""Fitting and asking: which rows, which columns, and which answers are accepted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.building.fit import fit, matrix, predict
from flows.pipeline import Pipeline
from store.errors import InvalidInput
from tests.flows.building import PIPELINE

ROWS = pl.DataFrame(
    {
        "label": [10.0, None, 30.0, 40.0],
        "shop_sold_1d": [5, 6, 7, 9],
        "extra": ["a", "b", "c", "d"],
        "size": [1.0, 2.0, 3.0, 4.0],
    }
)


class Noted:
    """An estimator that notes what it is given."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters

    def fit(self, data: pl.DataFrame, labels: np.ndarray) -> Noted:
        self.data, self.labels = data, labels
        return self

    def predict(self, data: pl.DataFrame) -> np.ndarray:
        return data["size"].to_numpy() * 10

    def predict_proba(self, data: pl.DataFrame) -> np.ndarray:
        return np.column_stack([np.full(data.height, 0.75), np.full(data.height, 0.25)])


NOTED = dataclasses.replace(PIPELINE, estimator=Noted)


def answering(answer: Any) -> Pipeline:
    return dataclasses.replace(NOTED, predict=lambda model, data: answer)


def test_rows_without_a_label_are_left_out_of_fit() -> None:
    """Three of four rows have one; the estimator sees those, as a Polars frame and an array of floats."""
    model = fit(NOTED, {"depth": 3}, ROWS)
    assert model.parameters == {"depth": 3}
    assert model.data["size"].to_list() == [1.0, 3.0, 4.0]
    assert model.labels.tolist() == [10.0, 30.0, 40.0]
    assert model.labels.dtype == np.float64


def test_the_model_sees_its_columns_in_the_contracts_order() -> None:
    """Inputs, then features, and nothing else, whatever the rows hold and in whatever order."""
    assert fit(NOTED, {}, ROWS).data.columns == ["size", "shop_sold_1d"] == list(PIPELINE.columns)
    assert matrix(PIPELINE, ROWS.select(reversed(ROWS.columns))).columns == list(PIPELINE.columns)


def test_missing_columns_are_named() -> None:
    """A frame that was never joined says so."""
    with pytest.raises(InvalidInput, match=r"lack \['shop_sold_1d'\]. bakery needs \['size', 'shop_sold_1d'\]"):
        matrix(PIPELINE, ROWS.drop("shop_sold_1d"))


def test_a_contracts_own_fit_gets_estimator_columns_and_labels() -> None:
    """What it returns is the model."""
    own = dataclasses.replace(NOTED, fit=lambda model, data, labels: (model.parameters, data.columns, labels.tolist()))
    assert fit(own, {"a": 1}, ROWS) == ({"a": 1}, ["size", "shop_sold_1d"], [10.0, 30.0, 40.0])


def test_regression_predicts_the_value_and_classification_the_probability_of_class_1() -> None:
    """One Float64 a row."""
    model, data = Noted({}), matrix(PIPELINE, ROWS)
    assert predict(NOTED, model, data).tolist() == [10.0, 20.0, 30.0, 40.0]
    assert predict(dataclasses.replace(NOTED, task="classification"), model, data).tolist() == [0.25] * 4
    found = predict(answering([1, 2, 3, 4]), model, data)
    assert (found.tolist(), found.dtype) == ([1.0, 2.0, 3.0, 4.0], np.float64)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_is_refused(wrong: float) -> None:
    """How many is said."""
    with pytest.raises(InvalidInput, match=r"for 4 rows. 2 of them are not finite"):
        predict(answering([0.0, wrong, 1.0, wrong]), Noted({}), matrix(PIPELINE, ROWS))


@pytest.mark.parametrize("wrong", [0.5, [0.5] * 3, [[0.5]] * 4, [[0.5, 0.5]] * 4, []])
def test_predictions_of_another_shape_are_refused(wrong: Any) -> None:
    """One number for all, one too few, a column, two columns, none: the shape is named."""
    shape = str(np.asarray(wrong).shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(InvalidInput, match=f"predictions of shape {shape} for 4 rows"):
        predict(answering(wrong), Noted({}), matrix(PIPELINE, ROWS))
