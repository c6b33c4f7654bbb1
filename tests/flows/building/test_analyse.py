"""The report's numbers, computed by hand."""

from __future__ import annotations

import dataclasses
import math

import polars as pl
import pytest

from flows.building.analyse import analyse
from flows.pipeline import ROC_AUC, Analysis
from tests.flows.building import PIPELINE

LATE = dataclasses.replace(PIPELINE, task="classification", metric=ROC_AUC, slices=("shop", "day"))
ROWS = pl.DataFrame(
    {
        "shop": ["east", "west", "east", "west", "east", None],
        "day": [1, 1, 2, 2, 2, 3],
        "label": [1.0, 0.0, 0.0, 1.0, None, 0.0],
        "prediction": [0.9, 0.2, 0.6, 0.4, 0.1, 0.2],
    }
)


def members(found: Analysis) -> dict[tuple[str, str], tuple[int, float]]:
    return {(slice_, member): (rows, value) for slice_, member, rows, value in found.slices.rows()}


def test_a_classifications_metrics_are_the_hand_computed_ones() -> None:
    """Over the five labelled rows: 1/.9, 0/.2, 0/.6, 1/.4, 0/.2."""
    found = analyse(LATE, ROWS).metrics
    assert found == pytest.approx(
        {
            "roc_auc": 5 / 6,  # of six pairs one, .4 against .6, is in the wrong order
            "rows": 5,
            "positive_share": 0.4,
            "mean_prediction": 0.46,
            "brier_score": (0.01 + 0.04 + 0.36 + 0.36 + 0.04) / 5,
            "average_precision": (1 / 1) * 0.5 + (2 / 3) * 0.5,
        }
    )


def test_a_regressions_metrics_are_the_hand_computed_ones() -> None:
    """Errors -1, 3, 0, 2: predicted minus true."""
    rows = pl.DataFrame({"shop": ["east"] * 4, "label": [1.0, 2.0, 3.0, 4.0], "prediction": [0.0, 5.0, 3.0, 6.0]})
    assert analyse(PIPELINE, rows).metrics == pytest.approx(
        {
            "mean_absolute_error": 1.5,
            "rows": 4,
            "mean_error": 1.0,
            "root_mean_squared_error": math.sqrt(14 / 4),
            "median_absolute_error": 1.5,
        }
    )


def test_metrics_are_at_full_precision() -> None:
    """A third is a third, not .3333."""
    rows = pl.DataFrame({"shop": ["east"] * 3, "label": [0.0, 0.0, 1.0], "prediction": [0.0, 0.0, 0.0]})
    assert analyse(PIPELINE, rows).metrics["mean_absolute_error"] == 1 / 3


def test_slices_add_up_and_are_judged_by_the_contracts_metric() -> None:
    """Each labelled row is in one member of every slice; nobody in particular is a member too."""
    found = members(analyse(LATE, ROWS))
    for name in LATE.slices:
        assert sum(rows for (slice_, _), (rows, _) in found.items() if slice_ == name) == 5
    assert found["shop", "east"] == (2, 1.0)
    assert found["shop", "west"] == (2, 1.0)
    assert found["day", "2"] == (2, 0.0)
    assert found["shop", "None"][0] == 1


def test_a_member_with_one_class_only_has_no_auc() -> None:
    """NaN, not a number that means something else."""
    rows, value = members(analyse(LATE, ROWS))["day", "3"]
    assert rows == 1
    assert math.isnan(value)


def test_one_class_in_all_rows_leaves_the_metric_undefined() -> None:
    """Then no ranking metric is reported beside it either."""
    found = analyse(LATE, ROWS.filter(label=0.0)).metrics
    assert math.isnan(found["roc_auc"])
    assert "average_precision" not in found


def test_slices_are_in_order_whatever_the_rows_order() -> None:
    """Two runs can be compared line by line."""
    forth, back = analyse(LATE, ROWS).slices, analyse(LATE, ROWS.reverse()).slices
    assert forth.drop("value").equals(back.drop("value"))
    assert forth.schema == {"slice": pl.String, "member": pl.String, "rows": pl.Int64, "value": pl.Float64}


def test_without_slices_the_table_is_empty_and_has_its_columns() -> None:
    """A report of a pipeline that declares none."""
    found = analyse(dataclasses.replace(LATE, slices=()), ROWS).slices
    assert found.columns == ["slice", "member", "rows", "value"]
    assert found.is_empty()


def test_calibration_is_mean_label_against_mean_prediction_in_ten_equal_bins() -> None:
    """Twenty rows, two a bin, from the lowest prediction to the highest."""
    rows = pl.DataFrame({"label": [0.0, 1.0] * 10, "prediction": [step / 20 for step in range(20)]}).reverse()
    curve = analyse(dataclasses.replace(LATE, slices=()), rows).curves
    assert curve.columns == ["curve", "x", "y"]
    assert curve["curve"].unique().to_list() == ["calibration"]
    assert curve["x"].to_list() == pytest.approx([0.025 + 0.1 * bin_ for bin_ in range(10)])
    assert curve["y"].to_list() == [0.5] * 10


def test_fewer_rows_than_bins_are_a_point_each() -> None:
    """Three rows: three points, none without rows."""
    rows = pl.DataFrame({"label": [0.0, 1.0, 1.0], "prediction": [0.2, 0.1, 0.3]})
    assert analyse(dataclasses.replace(LATE, slices=()), rows).curves["x"].to_list() == pytest.approx([0.1, 0.2, 0.3])
