"""The rules of the data analysis, each reached by a small case of its own, and what it says of a feature."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.deciding.performance import Interval
from flows.pipeline import MAE, ROC_AUC
from flows.reporting import explore
from flows.reporting.explore import LEAVE, MORE, NEW, RETRAIN, TUNE, Evidence, Found
from store.errors import InvalidInput

DAY = timedelta(days=1)
START = datetime(2013, 1, 1, tzinfo=UTC)
SURE, UNSURE, LARGE = (
    Interval(0.02, 0.025, 0.03, 900, 14),
    Interval(-0.01, 0.01, 0.03, 900, 14),
    Interval(0.1, 0.12, 0.2, 900, 14),
)


def world(
    days: int = 56, a_day: int = 120, *, turn: int | None = None, noise: float = 1.0, seed: int = 0
) -> pl.DataFrame:
    """Rows whose label follows x, and from the day ``turn`` on follows its opposite. ``prediction`` is null."""
    rng, rows = np.random.default_rng(seed), days * a_day
    when = [START + DAY * (at / a_day) for at in range(rows)]
    x, day = rng.normal(size=rows), np.arange(rows) // a_day
    sign = np.where(day >= (days if turn is None else turn), -1.0, 1.0)
    label = (sign * x + noise * rng.normal(size=rows) > 0).astype(np.float64)
    frame = pl.DataFrame({"event_time": when, "x": x, "noise": rng.normal(size=rows), "label": label})
    time = pl.col("event_time").cast(pl.Datetime("us", "UTC"))
    kind = pl.Series("kind", rng.choice(["a", "b"], rows))
    return frame.with_columns(
        time, (time + timedelta(hours=2)).alias("label_time"), kind, pl.lit(None, pl.Float64).alias("prediction")
    )


def found(rows: pl.DataFrame, **options: Any) -> Found:
    settings: dict[str, Any] = {"task": "classification", "metric": ROC_AUC, "margin": 0.01} | options
    return explore.explore(rows, ["x", "noise", "kind"], **settings)


def predicted(rows: pl.DataFrame, values: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(values.alias("prediction"))


def evidence(**known: Any) -> Evidence:
    return Evidence(**({"older": 5_000, "judged": 900, "champion": True, "signal": LARGE} | known))


def test_features_that_predict_ask_for_a_first_model() -> None:
    result = found(world())
    assert result.verdict == NEW
    assert "no champion" in result.sentence


def test_a_champion_that_nothing_beats_is_left_alone() -> None:
    result = found(predicted(world(), pl.col("x")), champion_end=START + 40 * DAY)
    assert result.verdict == LEAVE
    assert "champion" in result.models["model"].to_list()


def test_a_champion_from_before_the_world_turned_is_retrained() -> None:
    result = found(predicted(world(days=84, turn=30), pl.col("x")), champion_end=START + 29 * DAY)
    assert result.verdict == RETRAIN
    assert "its age is the reason" in result.sentence


def test_a_champion_that_a_tree_of_its_own_age_beats_by_far_asks_for_a_new_model() -> None:
    result = found(predicted(world(), pl.col("noise")), champion_end=START + 40 * DAY)
    assert result.verdict == NEW
    assert "not its age" in result.sentence


def test_a_champion_that_a_tree_of_its_own_age_beats_by_little_is_tuned() -> None:
    result = found(
        predicted(world(noise=0.3), pl.col("x") + 0.3 * pl.col("noise")), champion_end=START + 40 * DAY, margin=0.012
    )
    assert result.verdict == TUNE


def test_features_that_say_nothing_ask_for_more_data() -> None:
    rows = world().with_columns(pl.col("label").shuffle(seed=1))
    assert found(rows).verdict == MORE


def test_few_rows_ask_for_more_data_and_fit_nothing() -> None:
    result = found(world(days=20, a_day=20))
    assert (result.verdict, result.models.height) == (MORE, 0)
    assert "1,000" in result.sentence


def test_a_rising_learning_curve_asks_for_more_data() -> None:
    assert explore.decide(evidence(fresh=UNSURE, curve=SURE), 0.01, "roc_auc")[0] == MORE


def test_a_curve_that_rises_by_less_than_the_margin_is_flat() -> None:
    assert explore.decide(evidence(fresh=UNSURE, curve=SURE), 0.03, "roc_auc")[0] == LEAVE


def test_a_beaten_champion_is_retrained_before_more_data_is_asked_for() -> None:
    assert explore.decide(evidence(fresh=SURE, aged=UNSURE, curve=SURE), 0.01, "roc_auc")[0] == RETRAIN


def test_a_champion_whose_own_rows_are_out_of_reach_is_retrained_first() -> None:
    verdict, sentence = explore.decide(evidence(fresh=SURE), 0.01, "roc_auc")
    assert verdict == RETRAIN
    assert "too far back" in sentence


def test_a_champion_that_has_seen_the_newest_rows_is_not_judged_on_them() -> None:
    result = found(predicted(world(), pl.col("noise")), champion_end=START + 56 * DAY)
    assert result.evidence.fresh is None
    assert "champion" not in result.models["model"].to_list()


def test_one_class_of_labels_is_too_little_to_tell() -> None:
    assert found(world().with_columns(pl.lit(1.0).alias("label"))).verdict == MORE


def test_the_same_rows_get_the_same_findings() -> None:
    first, again = found(world()), found(world())
    assert first.sentence == again.sentence
    assert first.features.equals(again.features)
    assert first.models.equals(again.models)


def test_no_row_of_the_newest_weeks_and_no_later_label_is_learnt_from() -> None:
    rows = world().with_columns((pl.col("event_time") + 10 * DAY).alias("label_time"))
    result = found(rows)
    assert result.evidence.older == rows.filter(pl.col("label_time") <= rows["event_time"][-1] - 14 * DAY).height


def test_numbers_are_judged_by_their_own_metric() -> None:
    rows = world(days=42, a_day=60).with_columns((10 * pl.col("x") + pl.col("noise")).alias("label"))
    result = found(rows, task="regression", metric=MAE, margin=0.1)
    assert result.verdict == NEW
    tree, constant = (
        result.models.filter(pl.col("model").str.starts_with(name))["value"][0] for name in ("tree of all", "constant")
    )
    assert tree < constant


def test_a_feature_is_as_strong_as_what_it_tells_of_the_label() -> None:
    features = explore.described(world(a_day=600), ["noise", "x"], "classification")
    assert features["feature"].to_list() == ["x", "noise"]
    assert features["strength"][0] > 0.5
    assert features["note"].to_list() == ["", "tells nothing alone"]


def test_strength_is_told_for_every_month_that_has_rows_enough() -> None:
    assert {"2013-01", "2013-02"} <= set(found(world()).features.columns)


def test_a_feature_that_turned_is_noted_as_unstable() -> None:
    rows = world(turn=28).drop("prediction")
    line = explore.described(rows, ["x"], "classification").to_dicts()[0]
    assert "unstable" in line["note"] or "tells nothing" in line["note"]
    assert line["older"] * line["newer"] < 0


def test_a_feature_whose_values_move_is_noted() -> None:
    rows = world().with_columns((pl.col("noise") + pl.int_range(pl.len()) / pl.len() * 3).alias("noise"))
    line = explore.described(rows, ["noise"], "classification").to_dicts()[0]
    assert "moved" in line["note"]


def test_a_feature_that_knows_the_label_is_noted() -> None:
    rows = world().with_columns(pl.col("label").alias("x"))
    assert "does it know the label" in explore.described(rows, ["x"], "classification")["note"].item()


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pl.lit(1.0), "constant"),
        (pl.lit(None, pl.Float64), "always missing"),
        (pl.lit(None, pl.String), "always missing"),
    ],
)
def test_columns_that_hold_nothing_are_noted_and_break_nothing(column: pl.Expr, says: str) -> None:
    result = found(world().with_columns(column.alias("noise")))
    line = result.features.filter(pl.col("feature") == "noise")
    assert (line["note"].item(), line["strength"].item()) == (says, 0.0)
    assert result.verdict == NEW


def test_missing_and_infinite_values_break_nothing() -> None:
    odd = (
        pl.when(pl.int_range(pl.len()) % 3 == 0)
        .then(None)
        .when(pl.int_range(pl.len()) % 50 == 1)
        .then(float("inf"))
        .otherwise("noise")
    )
    kind = pl.when(pl.int_range(pl.len()) % 4 == 0).then(None).otherwise("kind").alias("kind")
    result = found(world().with_columns(odd.alias("noise"), kind))
    assert result.verdict == NEW
    assert result.features.filter(pl.col("feature") == "kind")["missing"].item() == pytest.approx(0.25)


def test_rows_without_a_column_or_a_label_are_refused() -> None:
    with pytest.raises(InvalidInput, match="columns are missing"):
        found(world().drop("x"))
    with pytest.raises(InvalidInput, match="nothing to explore"):
        found(world().with_columns(pl.lit(None, pl.Float64).alias("label")))
