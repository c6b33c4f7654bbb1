"""K11: what is reported is what the stored model does."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from flows.building.analyse import analyse
from flows.checks import k11_report
from flows.checks.check import Verdict, judge
from flows.faults.catalog import FAULTS
from flows.pipeline import Metric
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k11_report.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _metrics(**changes):
    """An analyse that reports other metrics: a function of the honest number, or None to leave it out."""

    def lying(pipeline, rows):
        report = analyse(pipeline, rows)
        told = {name: change(report.metrics.get(name)) if change else None for name, change in changes.items()}
        return dataclasses.replace(report, metrics={n: v for n, v in (report.metrics | told).items() if v is not None})

    return lying


def test_an_honest_report_passes_and_shuffled_predictions_move_its_metric(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control > 0.1
        assert finding.numbers["recomputed"] > 20
        assert finding.numbers["not_recomputed"] == 0


@pytest.mark.parametrize("towards", [math.ceil, math.floor], ids=["favour", "against"])
def test_a_metric_rounded_in_its_favour_or_against_it_is_a_lie(clean, towards):
    finding = _finding(clean, analyse=_metrics(roc_auc=lambda value: towards(value * 1000) / 1000))

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["lies"] == 1
    assert 0 < abs(finding.numbers["reported"] - finding.numbers["computed"]) < 1e-3


@pytest.mark.parametrize("name", ["roc_auc", "rows"])
def test_what_must_be_there_cannot_be_left_out(clean, name):
    finding = _finding(clean, analyse=_metrics(**{name: None}))

    assert finding.verdict is Verdict.FAIL
    assert f"{name}: left out, computed" in finding.sentence


def test_a_number_nobody_can_recompute_is_named_and_no_failure(clean):
    finding = _finding(clean, analyse=_metrics(charm=lambda value: 0.7))

    assert finding.verdict is Verdict.PASS
    assert finding.numbers["not_recomputed"] == 1
    assert "not recomputed: charm" in finding.sentence


@pytest.mark.parametrize(
    "change",
    [
        pl.when(pl.col("member") == "birch").then(pl.col("value") + 1e-6).otherwise("value").alias("value"),
        pl.when(pl.col("member") == "birch").then(pl.col("rows") + 1).otherwise("rows").alias("rows"),
        pl.col("member").replace("birch", "oak"),
    ],
    ids=["value", "rows", "name"],
)
def test_a_slice_told_wrongly_is_a_lie(clean, change):
    def lying(pipeline, rows):
        report = analyse(pipeline, rows)
        return dataclasses.replace(report, slices=report.slices.with_columns(change))

    assert _finding(clean, analyse=lying).verdict is Verdict.FAIL


def test_a_calibration_drawn_better_than_it_is_is_a_lie(clean):
    def lying(pipeline, rows):
        report = analyse(pipeline, rows)
        return dataclasses.replace(report, curves=report.curves.with_columns(pl.col("x").alias("y")))

    finding = _finding(clean, analyse=lying)

    assert finding.verdict is Verdict.FAIL
    assert "calibration y of bin" in finding.sentence


def test_a_report_that_is_honest_only_about_its_own_model_is_a_lie(clean):
    def only_here(pipeline, rows):
        report = analyse(pipeline, rows)
        true = report.metrics["brier_score"]
        return dataclasses.replace(report, metrics=report.metrics | {"brier_score": max(true, 0.01)})

    finding = _finding(clean, analyse=only_here)

    assert finding.verdict is Verdict.FAIL
    assert "brier_score of perfect predictions" in finding.sentence


def test_a_metric_whose_direction_is_reversed_is_seen_on_perfect_predictions(clean):
    accuracy = Metric("misses", "higher", lambda labels, predictions: float(np.mean(labels != (predictions > 0.5))))
    finding = _finding(clean, metric=accuracy)

    assert finding.verdict is Verdict.FAIL
    assert "misses of perfect predictions, against the model's" in finding.sentence


def test_a_model_that_tells_everybody_the_same_is_vacuous(clean):
    finding = _finding(
        clean,
        estimator=lambda parameters: DummyClassifier(),
        search=dataclasses.replace(shop.PIPELINE.search, trials=0),
    )

    assert finding.verdict is Verdict.VACUOUS


def test_tied_predictions_and_members_of_one_class_are_no_false_alarm(clean):
    def stump(parameters):
        return shop.prepared(DecisionTreeClassifier(max_depth=1, random_state=0))

    def one_sided(rows):
        return shop.prepare(rows).with_columns(
            pl.when(pl.col("size") > 1.5).then(0.0).otherwise("label").alias("label")
        )

    finding = _finding(
        clean, estimator=stump, search=dataclasses.replace(shop.PIPELINE.search, trials=0), prepare=one_sided
    )

    assert finding.verdict is Verdict.PASS, finding.sentence


@pytest.mark.parametrize("towards", [math.ceil, math.floor], ids=["favour", "against"])
def test_a_metric_of_our_name_that_rounds_by_itself_is_a_lie(clean, towards):
    """The report is what the metric says: the metric is not what its name says."""
    honest = shop.PIPELINE.metric

    def rounded(labels, predictions):
        value = honest.compute(labels, predictions)
        return value if math.isnan(value) else towards(value * 100) / 100

    finding = _finding(clean, metric=Metric(honest.name, honest.better, rounded))

    assert finding.verdict is Verdict.FAIL
    assert 0 < abs(finding.numbers["reported"] - finding.numbers["computed"]) < 1e-2


def test_a_metric_of_the_authors_own_making_under_our_name_is_no_lie(clean):
    """Nothing but undefined where it was, and cut a little elsewhere."""

    def area(labels, predictions):
        return float(roc_auc_score(labels, predictions)) if len(set(labels)) == 2 else 0.5

    def losses(labels, predictions):
        return float(log_loss(labels, np.clip(predictions, 1e-15, 1 - 1e-15), labels=[0, 1]))

    for metric in (Metric("roc_auc", "higher", area), Metric("log_loss", "lower", losses)):
        finding = _finding(clean, metric=metric)
        assert finding.verdict is Verdict.PASS, finding.sentence


def test_slices_of_other_rows_are_a_lie_where_the_model_is_as_good_on_all(clean):
    """A model that is never wrong: its slices are alike, and may be taken for each other."""

    def turned(pipeline, rows):
        report = analyse(pipeline, rows)
        return dataclasses.replace(report, slices=report.slices.with_columns(pl.col("value").reverse()))

    world = clean.planted(dataclasses.replace(shop.PIPELINE, analyse=turned))
    label = (pl.int_range(pl.len()) % 2).cast(pl.Float64)
    world.__dict__["judged"] = clean.judged.with_columns(label=label, prediction=label)

    finding = judge(k11_report.CHECK, world)

    assert finding.verdict is Verdict.FAIL
    assert "of dealt predictions" in finding.sentence


@pytest.mark.parametrize("unit", [1e-12, 1e9])
def test_a_rounded_metric_is_seen_in_any_unit(minutes, unit):
    """Where labels are tiny it is rounded away; where they are huge two places are nothing."""
    rows = minutes.rows.with_columns(pl.col("label") * unit)
    world = minutes.planted(dataclasses.replace(shop.MINUTES, floor=60.0 * unit))
    world.__dict__["rows"] = rows
    for stage in ("trained", "stored", "judged"):
        world.__dict__.pop(stage, None)

    rounded = next(fault for fault in FAULTS if fault.code == "F08")

    assert judge(k11_report.CHECK, world).verdict is Verdict.PASS
    assert rounded.excuse(world) is None
    assert judge(k11_report.CHECK, rounded.plant(world)).verdict is Verdict.FAIL
