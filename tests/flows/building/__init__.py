"""A tiny domain: two bakeries, what they sell by the hour, and orders placed with them.

``sales`` are known half an hour later; ``pace`` is what was sold in the day before a tick; an order's price is ten
times its size, and known when it is due, six hours after it was placed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from flows.building import publish
from flows.building.catalog import Catalog
from flows.pipeline import MAE, TIME, Derived, Facts, Group, Pipeline, Serving, TimeSplit, Use, Value, Window
from store.features import write
from store.layout import Root

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CADENCE = 6 * HOUR
START = datetime(2024, 1, 1, tzinfo=UTC)
END = START + 6 * DAY
SHOPS = ("east", "west")

SALES = Group("sales", {"shop": pl.String()}, {"amount": pl.Int64()}, delay=HOUR / 2)
ORDERS = Group("orders", {"order_id": pl.String()}, {"shop": pl.String(), "size": pl.Float64(), "due": TIME})
PACE = Group("pace", {"shop": pl.String()}, {"sold_1d": pl.Int64()}, ttl=DAY)


def paces(read, ticks):
    """What was sold in the day before each tick, as far as it was known then."""
    sales = read("sales", Window(ticks[0] - DAY, ticks[-1]))
    return pl.concat(
        sales.filter(pl.col("known_time") <= tick, pl.col("event_time") >= tick - DAY)
        .group_by("shop")
        .agg(pl.col("amount").sum().alias("sold_1d"))
        .select("shop", pl.lit(tick, TIME).alias("event_time"), "sold_1d")
        for tick in ticks
    )


CATALOG = Catalog(
    {"sales": Facts(SALES), "orders": Facts(ORDERS)},
    {"pace": Derived(PACE, ("sales",), paces, CADENCE, DAY)},
    dict.fromkeys(("sales", "orders", "pace"), "d" * 64),
)


def hours(start: datetime, end: datetime) -> pl.DataFrame:
    """Column event_time: the hours of ``[start, end)``."""
    times = pl.datetime_range(start, end, HOUR, closed="left", time_unit="us", eager=True).alias("event_time")
    return times.to_frame()


def sales(start: datetime = START, end: datetime = END) -> pl.DataFrame:
    """East sells as many as the hour of the day, west twice as many."""
    rows = hours(start, end).join(pl.DataFrame({"shop": SHOPS}), how="cross")
    times = pl.when(pl.col("shop") == "west").then(2).otherwise(1)
    return rows.with_columns((pl.col("event_time").dt.hour().cast(pl.Int64) * times).alias("amount"))


def orders(start: datetime = START, end: datetime = END) -> pl.DataFrame:
    """One an hour, with the shops in turn; sizes from 1 to 5."""
    number = (pl.col("event_time").dt.epoch("s") // 3600) - int(START.timestamp()) // 3600
    return hours(start, end).with_columns(
        pl.format("o{}", number.cast(pl.String).str.zfill(4)).alias("order_id"),
        pl.when(number % 2 == 0).then(pl.lit("east")).otherwise(pl.lit("west")).alias("shop"),
        (1 + number % 5).cast(pl.Float64).alias("size"),
        (pl.col("event_time") + 6 * HOUR).alias("due"),
    )


def declared(root: Root) -> Root:
    publish.declare(root, CATALOG, actor="test", now=START)
    return root


def filled(root: Root, end: datetime = END) -> Root:
    """The root with all facts until ``end`` and what is derived of them, in one go."""
    declared(root)
    write.write(root, SALES, sales(end=end), now=end)
    write.write(root, ORDERS, orders(end=end), now=end)
    publish.publish(root, CATALOG, start=START, now=end)
    return root


def dataset(read, window):
    """Orders with their price, as far as they are due by the window's end."""
    rows = read("orders", window).with_columns((pl.col("size") * 10).alias("label"), pl.col("due").alias("label_time"))
    return rows.drop("event_time", "known_time")


def prepare(rows):
    return rows.with_columns((pl.col("due") - 6 * HOUR).alias("event_time"))


def worth(rows):
    return -(rows["prediction"] - rows["label"]).abs()


PIPELINE = Pipeline(
    name="bakery", version="1.0.0", description="The price of an order.", owner="tests", task="regression",
    dataset=dataset, prepare=prepare, inputs=("size",), features=(Use("pace", ("sold_1d",), prefix="shop_"),),
    estimator=lambda parameters: make_pipeline(SimpleImputer(), LinearRegression(**parameters)), metric=MAE, floor=1.0,
    split=TimeSplit(validation=DAY, test=DAY, gap=6 * HOUR), slices=("shop",), value=Value(worth, "crowns"),
    serving=Serving({"order_id": pl.String(), "shop": pl.String(), "size": pl.Float64(), "due": TIME}, {}, ("order_id",)),
)  # fmt: skip
