"""A planted signal."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from flows.checks import k06_shuffled, k14_learning, signal
from flows.checks.check import Verdict, judge
from flows.checks.ranks import concordance
from flows.pipeline import Search
from tests.flows.checks import shop


def test_every_number_text_and_truth_of_the_models_carries_the_label_and_keeps_its_type(clean, minutes):
    """Keys, times and labels are as they were."""
    for world in (clean, minutes):
        pipeline = dataclasses.replace(world.pipeline, inputs=(*world.pipeline.inputs, "large"))
        rows = world.rows.with_columns((pl.col("size") > 0).alias("large"))
        known = rows.filter(pl.col("label").is_not_null())
        carried = signal.carried(pipeline, rows)

        assert carried.schema == known.schema
        assert carried.select(*world.key, "label", "label_time").equals(known.select(*world.key, "label", "label_time"))
        for name in pipeline.columns:
            ranks = carried.get_column(name).to_physical().rank("dense").fill_null(0).to_numpy()
            assert abs(concordance(known["label"].to_numpy(), ranks) - 0.5) > 0.35
            if carried.schema[name].is_float():
                assert carried.get_column(name).sort().equals(known.get_column(name).sort())


def test_a_column_without_a_value_is_left_alone_and_a_text_of_one_value_gets_another(clean):
    """There must be two of them to tell anything."""
    pipeline = dataclasses.replace(shop.PIPELINE, inputs=("none", "same"), features=())
    columns = [pl.lit(None, pl.Float64).alias("none"), pl.lit("x").alias("same")]
    carried = signal.carried(pipeline, clean.rows.with_columns(columns))

    assert carried["none"].null_count() == carried.height
    assert carried["same"].unique().len() == 2


def test_every_text_stays_in_use_where_that_is_asked_the_lower_half_where_labels_are_low(clean):
    """Else two of them do, the most frequent."""
    rows = clean.rows.with_columns(few=(pl.int_range(pl.len()) % 7).cast(pl.String))
    pipeline = dataclasses.replace(shop.PIPELINE, inputs=("few",), features=())
    every, two = (signal.carried(pipeline, rows, every_text) for every_text in (True, False))

    assert sorted(every.filter(pl.col("label") == 0)["few"].unique()) == ["0", "1", "2"]
    assert sorted(every.filter(pl.col("label") == 1)["few"].unique()) == ["3", "4", "5", "6"]
    assert two["few"].n_unique() == 2


def test_a_training_that_needs_the_columns_of_all_texts_gets_them(clean, minutes):
    """K06 and K14 show it the label in all texts, where it refuses the label in two."""
    for world in (clean, minutes):
        model = world.pipeline.estimator({}).steps[-1][1]
        numbers = [name for name in world.pipeline.columns if name != "shop"]

        def estimator(parameters, model=model, numbers=numbers):
            texts = make_pipeline(OneHotEncoder(), TruncatedSVD(3, random_state=0))
            return make_pipeline(make_column_transformer((texts, ["shop"]), (StandardScaler(), numbers)), clone(model))

        reduced = world.but(pipeline=dataclasses.replace(world.pipeline, estimator=estimator, search=Search()))
        for check in (k06_shuffled.CHECK, k14_learning.CHECK):
            finding = judge(check, reduced)
            assert finding.verdict is Verdict.PASS, finding.sentence


def test_values_are_dealt_in_the_order_of_a_score_and_holes_stay_where_they_are():
    """Nothing is lost or made up."""
    column = pl.Series("a", [3.0, None, 1.0, float("nan"), 2.0])
    dealt = signal.in_order(column, pl.Series([1.0, 9.0, 3.0, 9.0, 2.0]))

    assert dealt.to_list()[:3] == [1.0, None, 3.0]
    assert np.isnan(dealt[3])
    assert dealt[4] == 2.0
    assert signal.in_order(pl.Series([5, 4, 6]), pl.Series([0, 0, 1])).to_list() == [5, 4, 6]
