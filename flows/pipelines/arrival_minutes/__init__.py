"""How many minutes after schedule will a flight land? Nothing but the schedule, the route's week and the carrier's day."""

from datetime import UTC, datetime, timedelta

import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

from flows.pipeline import MAE, TIME, Example, Pipeline, Promote, Serving, Trigger, Use

TEXT, TIMES = ("flight_id", "origin", "dest", "carrier"), ("scheduled_departure", "scheduled_arrival")
NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)


def dataset(read, window):
    """The delay at landing, taken a day after scheduled arrival; flights that have not landed by then have no label."""
    landed = read("flight_events", window).filter(pl.col("kind") == "landed").unique("flight_id", keep="first")
    flights = read("flight_schedule", window).drop("event_time", "known_time").unique("flight_id", keep="first")
    rows = flights.join(landed.select("flight_id", "event_time", "delay_minutes"), on="flight_id", how="left")
    rows = rows.with_columns((pl.col("scheduled_arrival") + timedelta(days=1)).alias("label_time"))
    in_time = pl.when(pl.col("event_time") <= pl.col("label_time")).then(pl.col("delay_minutes").cast(pl.Float64))
    return rows.select(*flights.columns, in_time.alias("label"), "label_time")


def prepare(rows):
    asked = pl.col("scheduled_departure") - timedelta(hours=1)
    return rows.with_columns(asked.alias("event_time"), asked.dt.hour().cast(pl.Int64).alias("hour_utc"))


pipeline = Pipeline(
    name="arrival_minutes", version="1.0.0", description=__doc__, owner="operations research", task="regression",
    dataset=dataset, prepare=prepare, inputs=("distance_miles", "hour_utc"), metric=MAE, floor=30.0,
    trigger=Trigger(margin=0.5), promote=Promote(margin=0.1),  # minutes, as the metric is
    features=(Use("route", ("landed_late_7d", "landed_delay_7d"), prefix="route_"), Use("carrier", ("landed_delay_1d",))),
    estimator=lambda parameters: HistGradientBoostingRegressor(**{"loss": "absolute_error", "random_state": 0} | parameters),
    serving=Serving(
        dict.fromkeys(TEXT, pl.String()) | {"distance_miles": pl.Int64()} | dict.fromkeys(TIMES, TIME), {}, key=TEXT[:1],
        examples=(Example("gates", dict.fromkeys(TEXT, "UA") | {"distance_miles": 9} | dict.fromkeys(TIMES, NOON), -60, 120),),
    ),
)  # fmt: skip
