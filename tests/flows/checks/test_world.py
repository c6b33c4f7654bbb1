"""The slice a check works on."""

from __future__ import annotations

import dataclasses
import gc
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows.building import assemble, publish
from flows.checks.world import newest
from flows.pipeline import TimeSplit, Window
from store.errors import InvalidInput, NotFound
from tests.flows.checks import shop


def test_the_slice_gives_the_rows_the_store_gives(shops, clean):
    direct = assemble.joined(shops, shop.PIPELINE, clean.spine)

    assert clean.rows.height == clean.spine.height > 300
    assert_frame_equal(clean.rows, direct)


def test_facts_read_in_memory_are_the_facts_the_store_gives_back(clean):
    stored = publish.reader(clean.scratch.root, clean.catalog)
    later = Window(clean.window.start + 3 * shop.DAY, clean.window.end - shop.DAY)
    for name in clean.facts:
        for window in (clean.window, later):
            assert_frame_equal(clean.read()(name, window), stored(name, window))
    questions = clean.questions(clean.read())
    assert_frame_equal(questions.join(clean.spine, on="order_id", how="semi"), clean.spine)
    with pytest.raises(NotFound, match="There is no group of facts named 'returns'"):
        clean.read()("returns", clean.window)


def test_a_question_counts_as_asked_when_the_first_fact_under_its_key_became_known(clean):
    late = clean.facts["orders"].with_columns(pl.col("known_time") + timedelta(hours=1))
    world = dataclasses.replace(clean, facts={**clean.facts, "orders": late})

    for one, hours in ((clean, 0), (world, 1)):
        asked = one.with_asked(clean.spine)
        assert set(asked["_asked"] - asked["event_time"]) == {timedelta(hours=hours)}


def test_thinning_keeps_the_same_questions_in_every_world(shops):
    thin = shop.world(shops, rows=100)
    other = thin.rewritten(lambda group, rows: rows.with_columns(pl.col(pl.Float64) + 1))

    assert 60 < thin.rows.height < 140
    assert other.rows["order_id"].to_list() == thin.rows["order_id"].to_list()
    assert not other.rows["amount"].equals(thin.rows["amount"])


def test_another_model_costs_no_new_features_and_another_dataset_does(clean):
    rows, trained = clean.rows, clean.trained
    model = clean.planted(dataclasses.replace(shop.PIPELINE, estimator=lambda parameters: None))
    report = clean.planted(dataclasses.replace(shop.PIPELINE, analyse=lambda pipeline, rows: None))
    dataset = clean.planted(dataclasses.replace(shop.PIPELINE, dataset=lambda read, window: shop.dataset(read, window)))

    assert model.rows is rows
    assert "trained" not in model.__dict__
    assert report.trained is trained
    assert "spine" not in dataset.__dict__
    assert dataset.scratch is clean.scratch


def test_a_scratch_root_is_deleted_with_its_world(clean, tmp_path):
    world = dataclasses.replace(clean, within=tmp_path)
    assert world.scratch.root.path.parent == tmp_path
    del world
    gc.collect()

    assert not list(tmp_path.iterdir())


def test_the_slice_is_as_long_as_the_split_needs(shops):
    split = TimeSplit(validation=timedelta(days=3), test=timedelta(days=3), gap=timedelta(days=0))
    short = shop.world(shops, dataclasses.replace(shop.PIPELINE, split=split))
    by_half = dataclasses.replace(shop.PIPELINE, split=lambda rows: shop.by_place(rows, 0.2, 0.9))

    assert short.window.end - short.window.start == timedelta(days=20)
    assert shop.world(shops, by_half).window.end == short.window.end


def test_a_history_too_short_for_the_split_is_refused_with_its_numbers(shops):
    split = TimeSplit(validation=timedelta(days=30), test=timedelta(days=30))
    with pytest.raises(InvalidInput, match="leaves no labelled rows for train"):
        shop.world(shops, dataclasses.replace(shop.PIPELINE, split=split))


def test_a_derived_group_that_never_expires_is_published_from_its_lookback_on(shops):
    forever = dataclasses.replace(shop.MOODS, group=dataclasses.replace(shop.MOOD, ttl=None))
    catalog = dataclasses.replace(shop.CATALOG, derived={"mood": forever})
    world = newest(shops, catalog, shop.PIPELINE, shop.END)

    assert world.published == world.window.start - forever.lookback
    assert world.rows["mood_mean_1d"].null_count() == 0


def test_a_pipeline_is_kept_as_it_was_before_anything_was_asked_of_it(clean):
    """What it has noted since is not in it."""
    noted = list[int]()

    def prepare(rows):
        noted.append(rows.height)
        return shop.prepare(rows).with_columns(pl.lit(float(len(noted))).alias("size"))

    planted = clean.planted(dataclasses.replace(shop.PIPELINE, prepare=prepare))
    assert planted.spine["size"].unique().to_list() == [1.0]
    asked = planted.pipeline.dataset(planted.read(), planted.window)

    assert planted.pipeline.prepare(asked)["size"].unique().to_list() == [2.0]
    assert planted.unused.prepare(asked)["size"].unique().to_list() == [1.0]
