"""K09: the same data gives the same model, in whatever process."""

from __future__ import annotations

import dataclasses
import os
import time

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.tree import DecisionTreeClassifier

from flows.building.fit import predict
from flows.checks import elsewhere, k09_determinism
from flows.checks.check import Verdict, judge
from flows.pipeline import Search
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k09_determinism.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def test_a_clean_pipeline_comes_out_the_same_in_another_process(clean, minutes):
    """Built there from the facts; the smallest jitter would have been seen."""
    for world in (dataclasses.replace(clean, neighbour=None), dataclasses.replace(minutes)):
        finding = judge(k09_determinism.CHECK, world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert (finding.control, finding.numbers["different"]) == (1, 0)


def test_a_seeded_model_passes_and_an_unseeded_one_does_not(clean):
    """A descent and a tree that draw from the global generator, whose seed no two trainings share."""
    for seed, verdict in ((0, Verdict.PASS), (None, Verdict.FAIL)):
        models = (
            SGDClassifier(loss="log_loss", random_state=seed),
            DecisionTreeClassifier(max_features=1, max_depth=4, random_state=seed),
        )
        for model in models:
            finding = _finding(clean, estimator=lambda given, model=model: shop.prepared(model), search=Search())
            assert finding.verdict is verdict, finding.sentence
            assert "trials came out otherwise" in finding.sentence or verdict is Verdict.PASS


def _aged(rows):
    """Days since now, in a column."""
    ready = shop.prepare(rows)
    return ready.with_columns(pl.col("size") + (time.time() - pl.col("due").dt.epoch("s")) / 86400)


def _by_set(rows):
    """Shops numbered in the order a set has them."""
    numbers = {name: number for number, name in enumerate({"amber", "birch", "cedar", *map(str, range(50))})}
    return shop.prepare(rows).with_columns(hour=pl.col("shop").replace_strict(numbers, return_dtype=pl.Int64))


def _by_zone(rows):
    """The hour by the process's own clock."""
    hours = [time.localtime(due.timestamp()).tm_hour for due in rows["due"]]
    return shop.prepare(rows).with_columns(hour=pl.Series(hours, dtype=pl.Int64))


def _by_folder(rows):
    """Something of the folder it runs in."""
    return shop.prepare(rows).with_columns(hour=pl.lit(len(os.getcwd()), pl.Int64))


@pytest.mark.parametrize("prepare", [_aged, _by_set, _by_zone, _by_folder])
def test_what_reads_clock_set_zone_or_folder_is_found(clean, prepare):
    """The rows differ, and the sentence says so."""
    finding = _finding(clean, prepare=prepare)
    assert finding.verdict is Verdict.FAIL
    assert "the rows" in finding.sentence
    assert "raised" not in finding.sentence


def test_jitter_in_predictions_is_found(clean):
    """However small."""

    def jitter(model, data):
        honest = predict(shop.PIPELINE, model, data)
        return np.nextafter(honest, np.where(np.random.default_rng().random(honest.size) < 0.5, 0, 1))

    assert _finding(clean, predict=jitter).verdict is Verdict.FAIL


def test_a_process_that_does_not_end_well_is_a_fail_with_its_last_words(clean):
    """A pipeline that only runs here, and one that never ends there."""
    here = os.getpid()

    def only_here(rows):
        if os.getpid() != here:
            raise RuntimeError("not at home")
        return shop.prepare(rows)

    finding = _finding(clean, prepare=only_here)
    assert (finding.verdict, "not at home" in finding.sentence) == (Verdict.FAIL, True)

    def endless(rows):
        while os.getpid() != here:
            time.sleep(0.1)
        return shop.prepare(rows)

    world = clean.planted(dataclasses.replace(clean.pipeline, prepare=endless))
    with pytest.raises(elsewhere.GateFailed, match="It was given 3 s there"):
        elsewhere.elsewhere(world, seconds=3)
