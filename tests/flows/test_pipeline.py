"""The contract's values: windows, metrics, and a manifest that says what was declared."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows import pipeline as contract
from flows.building import assemble, source
from flows.pipeline import LOG_LOSS, MAE, METRICS, ROC_AUC, TIME, Pipeline, Promote, Trigger, Use, Window
from store.errors import InvalidInput
from tests.flows.building import PIPELINE

START = datetime(2013, 3, 1, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


def loaded(name: str) -> Pipeline:
    """The pipeline of a folder of ``flows/pipelines/``, which is no package that could be imported by name."""
    path = Path(source.HOME / name / "__init__.py")
    spec = importlib.util.spec_from_file_location(
        f"tests_of_{name}", path, submodule_search_locations=[str(path.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Pipeline = module.pipeline
    return found


@pytest.fixture(scope="module")
def flight_delay() -> Pipeline:
    return loaded("flight_delay")


@pytest.fixture(scope="module")
def arrival_minutes() -> Pipeline:
    return loaded("arrival_minutes")


# ---- windows --------------------------------------------------------------------------------------------------------


def test_a_window_is_in_utc_whatever_zone_it_is_given_in() -> None:
    """The same instants, told in UTC."""
    east = timezone(timedelta(hours=-5))
    window = Window(datetime(2013, 3, 1, 1, tzinfo=east), datetime(2013, 3, 2, 1, tzinfo=east))
    assert window == Window(START + timedelta(hours=6), START + DAY + timedelta(hours=6))
    assert window.start.tzinfo is UTC
    assert str(window) == "2013-03-01 06:00 … 2013-03-02 06:00 UTC"


@pytest.mark.parametrize(
    ("start", "end"),
    [(datetime(2013, 3, 1), START), (START, datetime(2013, 3, 2))],  # noqa: DTZ001 - naive is the point
)
def test_a_window_refuses_naive_times(start: datetime, end: datetime) -> None:
    """Neither side may be a guess."""
    with pytest.raises(InvalidInput, match="has no zone"):
        Window(start, end)


def test_a_window_cannot_end_before_it_starts_but_may_be_empty() -> None:
    """Backwards is refused with both instants; equal is a window of nothing."""
    with pytest.raises(InvalidInput, match=r"cannot end .2013-02-28.* before it starts .2013-03-01"):
        Window(START, START - DAY)
    assert Window(START, START).start == START


def test_a_window_survives_json() -> None:
    """To a child process and back, to the microsecond."""
    window = Window(START, START + timedelta(microseconds=1))
    assert Window.from_dict(json.loads(json.dumps(window.to_dict()))) == window


# ---- metrics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "value", "reaches"),
    [
        (ROC_AUC, 0.7, True), (ROC_AUC, 0.71, True), (ROC_AUC, 0.69, False), (ROC_AUC, math.nan, False),
        (MAE, 0.7, True), (MAE, 0.69, True), (MAE, 0.71, False), (MAE, math.nan, False),
    ],
)  # fmt: skip
def test_a_floor_is_reached_from_the_metrics_better_side(metric: contract.Metric, value: float, reaches: bool) -> None:
    """At the floor counts; NaN never does, in either direction."""
    assert metric.reaches(value, 0.7) is reaches


def test_metrics_are_the_textbooks() -> None:
    """Three labels, by hand."""
    labels, predictions = np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.25, 0.75])
    assert ROC_AUC.compute(labels, predictions) == 0.5
    assert MAE.compute(labels, predictions) == 1.5 / 3
    assert LOG_LOSS.compute(labels, predictions) == pytest.approx(
        -(math.log(0.5) + math.log(0.25) + math.log(0.75)) / 3
    )


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_roc_auc_of_one_class_is_undefined(label: float) -> None:
    """NaN instead of a warning or a number; the log loss of one class is a number."""
    labels, predictions = np.array([label, label]), np.array([0.2, 0.7])
    assert math.isnan(ROC_AUC.compute(labels, predictions))
    assert math.isfinite(LOG_LOSS.compute(labels, predictions))


def test_metrics_are_found_by_the_name_a_manifest_gives() -> None:
    """What a manifest names, a flow can compute."""
    assert {name: metric.name for name, metric in METRICS.items()} == {name: name for name in METRICS}
    assert {ROC_AUC, LOG_LOSS, MAE} == set(METRICS.values())


# ---- what is declared -----------------------------------------------------------------------------------------------


def test_columns_are_inputs_then_features_under_their_prefixes() -> None:
    """In the order they are declared, one group under two prefixes being two sets of columns."""
    uses = (Use("b", ("y", "x"), prefix="from_"), Use("a", ("x",)), Use("b", ("x",), prefix="to_"))
    pipeline = dataclasses.replace(PIPELINE, inputs=("size", "day"), features=uses, monitor_not=("day", "to_x"))
    assert pipeline.columns == ("size", "day", "from_y", "from_x", "x", "to_x")
    assert pipeline.monitored == ("size", "from_y", "from_x", "x")


@pytest.mark.parametrize("name", ["flight_delay", "arrival_minutes"])
def test_a_manifest_is_json_and_holds_what_is_declared(name: str, request: pytest.FixtureRequest) -> None:
    """It survives a file unchanged, and says of both pipelines what their folders say."""
    pipeline = request.getfixturevalue(name)
    manifest = pipeline.manifest()
    assert json.loads(json.dumps(manifest, allow_nan=False)) == manifest
    for field in ("name", "version", "description", "owner", "task", "floor", "independent_unit"):
        assert manifest[field] == getattr(pipeline, field)
    for field in ("inputs", "columns", "monitored", "slices", "trusted"):
        assert manifest[field] == list(getattr(pipeline, field))
    assert manifest["contract"] == contract.CONTRACT == 1
    assert (manifest["metric"], manifest["better"]) == (pipeline.metric.name, pipeline.metric.better)
    assert manifest["key"] == list(pipeline.serving.key)
    assert manifest["legitimate"] == dict(pipeline.legitimate)
    assert [use["prefix"] + one for use in manifest["features"] for one in use["features"]] == list(
        pipeline.columns[len(pipeline.inputs) :]
    )
    assert Trigger.of(manifest) == pipeline.trigger
    assert Promote.of(manifest) == pipeline.promote


def test_the_flight_delay_manifest_in_particular(flight_delay: Pipeline) -> None:
    """Its uses, dtypes, examples and unit, as a console or service reads them."""
    manifest = flight_delay.manifest()
    assert manifest["features"][1] == {
        "group": "airport", "keys": {"airport": "origin"}, "prefix": "origin_",
        "features": ["departed_late_6h", "departed_late_1d", "departed_delay_6h", "cancelled_1d"],
    }  # fmt: skip
    assert manifest["request"]["scheduled_departure"] == str(TIME)
    assert manifest["outcome"] == {
        "flight_id": "String", "kind": "String", "moment": "Datetime(time_unit='us', time_zone='UTC')", "delay_minutes": "Int64",
    }  # fmt: skip
    assert manifest["examples"][0]["application"] == "departure boards"
    assert manifest["examples"][0]["request"]["scheduled_departure"] == "2013-04-01T10:15:00+00:00"
    assert (manifest["examples"][1]["low"], manifest["examples"][1]["high"]) == (0.0, 0.9)
    assert manifest["value_unit"] == "passenger minutes saved per flight"
    assert "weekday" not in manifest["monitored"]
    assert "weekday" in manifest["columns"]


def test_a_pipeline_that_declares_the_least_has_a_whole_manifest(arrival_minutes: Pipeline) -> None:
    """No value, no slices, no outcome: empty, not missing."""
    manifest = arrival_minutes.manifest()
    assert (manifest["value_unit"], manifest["slices"], manifest["outcome"]) == ("", [], {})


@pytest.mark.parametrize(
    "trigger",
    [
        Trigger(),
        Trigger(
            window=timedelta(hours=36), windows=3, cool_down=timedelta(0), margin=0.02, cadence=28 * DAY, new_rows=5000
        ),
    ],
)
def test_a_trigger_is_given_back_as_declared(trigger: Trigger) -> None:
    """Through JSON, durations and absent values included."""
    manifest = json.loads(json.dumps(dataclasses.replace(PIPELINE, trigger=trigger).manifest()))
    assert Trigger.of(manifest) == trigger


def test_a_promotion_policy_is_given_back_as_declared() -> None:
    """Slices come back as the tuple they were."""
    policy = Promote(margin=0.1, slices=("shop", "day"), tolerance=0.5, minimum_rows=7)
    manifest = json.loads(json.dumps(dataclasses.replace(PIPELINE, promote=policy).manifest()))
    assert Promote.of(manifest) == policy


# ---- the flights' pipelines: who counts as late ---------------------------------------------------------------------

FLIGHTS = pl.DataFrame(
    {
        "flight_id": ["punctual", "late", "cancelled", "early"],
        "event_time": [START] * 4,
        "known_time": [START] * 4,
        **dict.fromkeys(("carrier", "origin", "dest"), ["XX"] * 4),
        "distance_miles": [900] * 4,
        "scheduled_departure": [START + timedelta(hours=1)] * 4,
        "scheduled_arrival": [START + timedelta(hours=3)] * 4,
    },
    schema_overrides=dict.fromkeys(("event_time", "known_time", "scheduled_departure", "scheduled_arrival"), TIME),
)
LANDED = {"punctual": 15, "late": 16, "early": -5}
EVENTS = pl.DataFrame(
    {
        "flight_id": [*LANDED, "cancelled"],
        "event_time": [START + timedelta(hours=3, minutes=late) for late in LANDED.values()] + [START],
        "kind": ["landed"] * 3 + ["cancelled"],
        "delay_minutes": [*LANDED.values(), None],
    },
    schema_overrides={"event_time": TIME},
)


def labels(pipeline: Pipeline, end: datetime) -> dict[str, float | None]:
    def read(group: str, window: Window) -> pl.DataFrame:
        rows = FLIGHTS if group == "flight_schedule" else EVENTS
        return rows.filter(pl.col("event_time") >= window.start, pl.col("event_time") < window.end)

    rows = assemble.spine(pipeline, read, Window(START, end))
    return dict(rows.select("flight_id", "label").iter_rows())


def test_a_flight_is_late_unless_it_landed_by_fifteen_minutes_after_schedule(flight_delay: Pipeline) -> None:
    """At 15 minutes it is punctual, at 16 late; a cancelled one is late. Nothing is known of that before, and as soon as something
    is known it is what is known a week later."""
    due = START + timedelta(hours=3, minutes=15)
    wanted = {"punctual": 0.0, "late": 1.0, "cancelled": 1.0, "early": 0.0}
    assert labels(flight_delay, due + 7 * DAY) == labels(flight_delay, due + MICROSECOND) == wanted
    with pytest.raises(InvalidInput, match="no labelled rows"):
        labels(flight_delay, due)


def test_minutes_are_labelled_a_day_after_schedule_and_only_of_flights_that_landed(arrival_minutes: Pipeline) -> None:
    """A cancelled flight has no minutes: it is counted, without a label."""
    due = START + timedelta(hours=3) + DAY
    wanted = {"punctual": 15.0, "late": 16.0, "cancelled": None, "early": -5.0}
    assert labels(arrival_minutes, due + 7 * DAY) == labels(arrival_minutes, due + MICROSECOND) == wanted
    with pytest.raises(InvalidInput, match="no labelled rows"):
        labels(arrival_minutes, due)
