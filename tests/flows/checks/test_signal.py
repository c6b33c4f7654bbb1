"""A planted signal."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from flows.checks import signal
from flows.checks.ranks import concordance
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
            ranks = carried.get_column(name).to_physical().rank("dense").to_numpy()
            at_least = 0.99 if carried.schema[name] in (pl.Float64, pl.Int64) and world is clean else 0.85
            assert abs(concordance(known["label"].to_numpy(), ranks) - 0.5) > at_least - 0.5


def test_a_column_without_a_value_or_of_one_value_carries_it_too(clean):
    """Whatever its mean and deviation are."""
    pipeline = dataclasses.replace(shop.PIPELINE, inputs=("none", "one", "same"), features=())
    columns = [pl.lit(None, pl.Float64).alias("none"), pl.lit(7.0).alias("one"), pl.lit("x").alias("same")]
    carried = signal.carried(pipeline, clean.rows.with_columns(columns))

    assert carried["none"].null_count() == 0
    assert carried["same"].unique().len() == 2
    assert np.ptp(carried["one"].to_numpy()) > 0
