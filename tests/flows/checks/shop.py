"""A small domain for the checks: three shops, their sales, orders placed with them, and whether an order comes late.

``sales`` repeats its keys and has late rows; ``orders`` has one row a key; ``outcomes`` gives the label. A shop's mood
drifts from day to day: its sales show it, and moody shops deliver late.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from flows.building import publish
from flows.building.catalog import Catalog
from flows.checks.world import World, newest
from flows.pipeline import (
    MAE,
    ROC_AUC,
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
from store.features import write
from store.layout import Root

SHOPS = ("amber", "birch", "cedar")
CADENCE = timedelta(hours=6)
DAY = timedelta(days=1)
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 40
END = START + DAYS * DAY

SALES = Group("sales", {"shop": pl.String()}, {"amount": pl.Float64()}, ttl=DAY, delay=timedelta(minutes=30))
ORDERS = Group("orders", {"order_id": pl.String()}, {"shop": pl.String(), "size": pl.Float64(), "due": TIME})
OUTCOMES = Group("outcomes", {"order_id": pl.String()}, {"minutes": pl.Float64()})
MOOD = Group("mood", {"shop": pl.String()}, {"mean_1d": pl.Float64(), "sales_1d": pl.Int64()}, ttl=DAY)


def moods(read, ticks):
    """Mean and count of a shop's sales that were known by the tick, over the day before it."""
    sales = read("sales", Window(ticks[0] - 2 * DAY, ticks[-1] + timedelta(microseconds=1)))
    first = (pl.max_horizontal("event_time", "known_time") - timedelta(microseconds=1)).dt.truncate("6h") + CADENCE
    seen = pl.concat(sales.with_columns((first + step * CADENCE).alias("tick")) for step in range(4))
    rows = seen.filter(pl.col("event_time") > pl.col("tick") - DAY, pl.col("tick").is_in(list(ticks)))
    counted = rows.group_by("shop", "tick").agg(mean_1d=pl.col("amount").mean(), sales_1d=pl.len().cast(pl.Int64))
    return counted.rename({"tick": "event_time"})


def amounts(read, window):
    """Every sale, for what is declared of them."""
    return read("sales", window).rename({"amount": "value"})


DECLARED = {"mean_1d": Aggregate(amounts, "mean", DAY), "sales_1d": Aggregate(amounts, "count", DAY)}
MOODS = Derived(MOOD, ("sales",), moods, CADENCE, 2 * DAY, DECLARED)
CATALOG = Catalog(
    {group.name: Facts(group) for group in (SALES, ORDERS, OUTCOMES)},
    {"mood": MOODS},
    dict.fromkeys(("sales", "orders", "outcomes", "mood"), "0" * 64),
)


def facts(days: int = DAYS, seed: int = 0) -> dict[str, pl.DataFrame]:
    """Sales every two hours, one in forty known nine hours late; twelve orders a day; an outcome an hour after it was due."""
    random = np.random.default_rng(seed)
    mood = np.clip(np.cumsum(random.normal(0, 0.8, (days + 1, 3)), axis=0), -2, 2)
    sales, orders, outcomes = [], [], []
    for number in range(days * 12):
        for place, shop in enumerate(SHOPS):
            when = START + number * timedelta(hours=2) + place * timedelta(minutes=7)
            late = timedelta(hours=9) if random.random() < 1 / 40 else timedelta(minutes=30)
            sales.append((shop, when, when + late, 50 + 10 * mood[number // 12, place] + random.normal()))
        place, size = int(random.integers(3)), float(random.normal())
        asked = START + number * timedelta(hours=2) + timedelta(minutes=int(random.integers(120)), seconds=11)
        name, due = f"o{number}", asked + timedelta(hours=5)
        orders.append((name, asked, asked, SHOPS[place], size, due))
        minutes = 20 * mood[number // 12, place] + 8 * size + random.normal(0, 15)
        outcomes.append((name, due, due, float(minutes)))
    return {
        group.name: pl.DataFrame(rows, schema=["a", "b", "c", *"defg"[: len(group.values)]], orient="row")
        .pipe(lambda frame, group=group: frame.rename(dict(zip(frame.columns, _columns(group), strict=True))))
        .cast({"event_time": TIME, "known_time": TIME, **group.values})
        for group, rows in ((SALES, sales), (ORDERS, orders), (OUTCOMES, outcomes))
    }


def _columns(group: Group) -> list[str]:
    return [*group.keys, "event_time", "known_time", *group.values]


def dataset(read, window):
    """Orders and whether they took more than ten minutes too long; without the label's two columns' sources."""
    rows = read("orders", window).drop("event_time", "known_time")
    came = read("outcomes", window).select("order_id", "minutes", came="event_time")
    return (
        rows.join(came, on="order_id", how="left", maintain_order="left")
        .with_columns((pl.col("minutes") > 10).cast(pl.Float64).alias("label"), pl.col("due").alias("label_time"))
        .with_columns(pl.when(pl.col("came") <= pl.col("label_time")).then("label").alias("label"))
        .drop("minutes", "came")
    )


def minutes_dataset(read, window):
    """The same orders, with the minutes themselves as label."""
    minutes = read("outcomes", window).select("order_id", "minutes")
    rows = dataset(read, window).drop("label").join(minutes, on="order_id", how="left", maintain_order="left")
    return rows.rename({"minutes": "label"})


def prepare(rows):
    """Asked five hours before it is due."""
    due = pl.col("due")
    return rows.with_columns((due - timedelta(hours=5)).alias("event_time"), due.dt.hour().cast(pl.Int64).alias("hour"))


def prepared(model):
    numbers = ["size", "hour", "amount", "mood_mean_1d", "mood_sales_1d"]
    return make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["shop"]), (StandardScaler(), numbers)), model
    )


PIPELINE = Pipeline(
    name="shop_late",
    version="1.0.0",
    description="Whether an order comes late.",
    owner="tests",
    task="classification",
    dataset=dataset,
    prepare=prepare,
    inputs=("shop", "size", "hour"),
    features=(Use("sales", ("amount",)), Use("mood", ("mean_1d", "sales_1d"), prefix="mood_")),
    estimator=lambda parameters: prepared(LogisticRegression(**parameters)),
    search=Search({"C": [0.1, 10.0]}, trials=2),
    split=TimeSplit(validation=timedelta(days=7), test=timedelta(days=7), gap=timedelta(days=1)),
    metric=ROC_AUC,
    floor=0.6,
    slices=("shop",),
    worked=(Worked({"order_id": "o", "shop": "amber", "size": 1.5, "due": START + 7 * DAY / 24}, {"hour": 7}),),
    serving=Serving(
        {"order_id": pl.String(), "shop": pl.String(), "size": pl.Float64(), "due": TIME},
        {"order_id": pl.String(), "minutes": pl.Float64()},
        key=("order_id",),
    ),
)
MINUTES = dataclasses.replace(
    PIPELINE,
    name="shop_minutes",
    task="regression",
    dataset=minutes_dataset,
    estimator=lambda parameters: prepared(Ridge(**parameters)),
    search=Search({"alpha": [0.1, 10.0]}, trials=2),
    metric=MAE,
    floor=60.0,
    slices=(),
)


def root(folder: Path, days: int = DAYS) -> Root:
    """A root with the domain's facts and moods until its last day's end."""
    made, end = Root.open(folder / "root"), START + days * DAY
    publish.declare(made, CATALOG, actor="test", now=end)
    for name, rows in facts(days).items():
        write.write(made, CATALOG.facts[name].group, rows.filter(pl.col("known_time") < end), now=end)
    publish.publish(made, CATALOG, start=START, now=end)
    return made


def world(made: Root, pipeline: Pipeline = PIPELINE, **more) -> World:
    """The newest slice of such a root."""
    return newest(made, CATALOG, pipeline, END, **more)


def slow(clean: World) -> World:
    """Nine times the rows, and leaves of four hundred: half of nine hundred rows cannot be split so."""
    rows = [clean.rows.with_columns(pl.format("{}-{}", "order_id", pl.lit(one)).alias("order_id")) for one in range(9)]
    learner = dataclasses.replace(
        clean.pipeline,
        estimator=lambda parameters: prepared(DecisionTreeClassifier(min_samples_leaf=400, random_state=0)),
    )
    made = dataclasses.replace(clean, pipeline=learner)
    made.__dict__.update(scratch=clean.scratch, spine=clean.spine, rows=pl.concat(rows).sort("event_time"))
    return made


def by_place(rows: pl.DataFrame, first: float, second: float) -> pl.Series:
    """A split by order of time: up to the share ``first`` train, up to ``second`` validation, then test."""
    place = rows.get_column("event_time").rank("ordinal") / rows.height
    return pl.Series("part", ["train" if p <= first else "validation" if p <= second else "test" for p in place])
