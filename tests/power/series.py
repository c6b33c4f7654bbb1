"""Pipelines on what happened over time: stations that measure every hour, and the shops of ``tests.flows.checks``."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from flows.building.catalog import Catalog
from flows.pipeline import (
    MAE,
    TIME,
    Aggregate,
    Derived,
    Facts,
    Group,
    Pipeline,
    Search,
    Serving,
    TimeSplit,
    Use,
    Window,
    Worked,
)
from tests.flows.checks import shop
from tests.power.kind import Case, Kind, case

START, HOUR, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
AHEAD, HOURS = 3 * HOUR, 36 * 24
READINGS = Group("readings", {"station": pl.String()}, {"level": pl.Float64()}, ttl=DAY)
DAILY = Group("daily", {"station": pl.String()}, {"mean_1d": pl.Float64(), "spread_1d": pl.Float64()}, ttl=DAY)


def derive(read, ticks):
    """Mean and spread of what was measured and known in the day before a tick."""
    rows = read("readings", Window(ticks[0] - DAY, ticks[-1] + timedelta(microseconds=1)))
    of_tick = [
        rows.filter(pl.col("event_time") > tick - DAY, pl.col("event_time") <= tick, pl.col("known_time") <= tick)
        .group_by("station")
        .agg(mean_1d=pl.col("level").mean(), spread_1d=pl.col("level").max() - pl.col("level").min())
        .with_columns(event_time=pl.lit(tick, TIME))
        for tick in ticks
    ]
    return pl.concat(of_tick)


def levels(read, window):
    """Every level that was measured."""
    return read("readings", window).rename({"level": "value"})


MEAN = {"mean_1d": Aggregate(levels, "mean", DAY)}
CATALOG = Catalog(
    {"readings": Facts(READINGS)},
    {"daily": Derived(DAILY, ("readings",), derive, 6 * HOUR, DAY, MEAN)},
    dict.fromkeys(("readings", "daily"), "0" * 64),
)


def measured(seed: int, hole: float) -> pl.DataFrame:
    """Two stations' levels, known five minutes later; so many of them are holes."""
    random, rows = np.random.default_rng(seed), []
    for station in ("north", "south"):
        level, level_now = np.cumsum(random.normal(0, 0.3, HOURS)), 0.0
        for number in range(HOURS):
            when = START + number * HOUR
            level_now = float(level[number] + np.sin(number / 24 * 2 * np.pi))
            rows.append((station, when, when + timedelta(minutes=5), None if random.random() < hole else level_now))
    schema = {"station": pl.String(), "event_time": TIME, "known_time": TIME, "level": pl.Float64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def every_reading(read, window):
    """What a station measures three hours from now; a hole leaves the label open."""
    rows = read("readings", window).drop("known_time")
    ahead = rows.select("station", label="level", at=pl.col("event_time") - AHEAD)
    asked = rows.select("station", at="event_time")
    found = asked.join(ahead, on=["station", "at"], how="left", maintain_order="left")
    return found.with_columns(label_time=pl.col("at") + AHEAD + timedelta(minutes=5))


def with_hour(rows):
    """Asked when the reading is due, which is before it comes in."""
    return rows.with_columns(event_time="at", hour=pl.col("at").dt.hour().cast(pl.Int64))


STATIONS = Pipeline(
    name="stations_ridge", version="1.0.0", description="A station's level three hours from now.", owner="power",
    task="regression", dataset=every_reading, prepare=with_hour, inputs=("hour",),
    features=(Use("readings", ("level",)), Use("daily", ("mean_1d", "spread_1d"))), metric=MAE, floor=1e9,
    estimator=lambda parameters: make_pipeline(SimpleImputer(), Ridge(**parameters)),
    search=Search({"alpha": [0.1, 1.0, 10.0]}, trials=2), slices=("station",),
    split=TimeSplit(timedelta(days=7), timedelta(days=7), DAY),
    worked=(Worked({"station": "north", "at": START + 7 * HOUR}, {"hour": 7}),),
    serving=Serving(
        {"station": pl.String(), "at": TIME}, {"station": pl.String(), "at": TIME, "level": pl.Float64()}, key=("station", "at")
    ),
)  # fmt: skip


def stations_ridge(seed: int) -> Case:
    """Levels, and their day, by ridge."""
    return case(STATIONS, CATALOG, {"readings": measured(seed, 0.0)}, START, START + HOURS * HOUR)


def stations_trees(seed: int) -> Case:
    """One reading in ten is a hole: trees."""
    trees = dataclasses.replace(
        STATIONS, name="stations_trees", search=Search(), slices=(),
        estimator=lambda parameters: HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=7, random_state=seed),
    )  # fmt: skip
    return case(trees, CATALOG, {"readings": measured(seed, 0.1)}, START, START + HOURS * HOUR)


def shops_late(seed: int) -> Case:
    """Orders that come late, from sales known late."""
    return case(shop.PIPELINE, shop.CATALOG, shop.facts(seed=seed), shop.START, shop.END)


def shops_minutes(seed: int) -> Case:
    """How many minutes late."""
    return case(shop.MINUTES, shop.CATALOG, shop.facts(seed=seed), shop.START, shop.END)


KINDS = (
    Kind("stations_ridge", "hourly levels ahead: the last one and its day, derived; ridge", stations_ridge, rows=700),
    Kind("stations_trees", "the same with holes, some of them in the label; boosted trees", stations_trees, rows=700),
    Kind("shops_late", "late orders: facts known late, derived day by day; logistic regression", shops_late),
    Kind("shops_minutes", "minutes late: the same as a number; ridge", shops_minutes),
)
