"""Will a flight from New York arrive more than 15 minutes late? Asked one hour before its scheduled departure."""

from datetime import UTC, datetime, timedelta

import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from flows.pipeline import (
    ROC_AUC,
    TIME,
    Example,
    Pipeline,
    Promote,
    Search,
    Serving,
    TimeSplit,
    Trigger,
    Use,
    Value,
    Window,
    Worked,
)

GRACE = timedelta(minutes=15)


def dataset(read, window):
    """Every planned flight; late unless it landed by scheduled arrival + 15 minutes, which is when the label is known.

    So cancelled and diverted flights count as late, and no label waits for a flight that never comes.
    """
    flights = read("flight_schedule", window).unique("flight_id", keep="first", maintain_order=True)
    landed = read("flight_events", Window(window.start, window.end)).filter(pl.col("kind") == "landed")
    landed = landed.group_by("flight_id").agg(pl.col("event_time").min().alias("landed_at"))
    due = pl.col("scheduled_arrival") + GRACE
    return (
        flights.drop("event_time", "known_time")
        .join(landed, on="flight_id", how="left", maintain_order="left")
        .with_columns(
            (pl.col("landed_at") <= due).fill_null(value=False).not_().cast(pl.Float64).alias("label"),
            due.alias("label_time"),
        )
        .filter(pl.col("label_time") <= window.end)
        .drop("landed_at")
    )


def prepare(rows):
    """The question is asked an hour before departure; hour and weekday are New York's."""
    local = pl.col("scheduled_departure").dt.convert_time_zone("America/New_York")
    return rows.with_columns(
        (pl.col("scheduled_departure") - timedelta(hours=1)).alias("event_time"),
        (local.dt.hour() + local.dt.minute() / 60).alias("hour"),
        local.dt.weekday().cast(pl.Int64).alias("weekday"),
        (pl.col("scheduled_arrival") - pl.col("scheduled_departure")).dt.total_minutes().alias("planned_minutes"),
    )


def estimator(parameters):
    names = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    trees = HistGradientBoostingClassifier(
        **{"max_iter": 120, "learning_rate": 0.08} | parameters, categorical_features=[0, 1, 2], random_state=0
    )
    return make_pipeline(
        make_column_transformer((names, ["carrier", "origin", "dest"]), remainder="passthrough"), trees
    )


def minutes_saved(rows):
    """A warned passenger of a late flight saves 20 minutes of waiting; one warned for nothing loses 5."""
    warned = pl.col("prediction") >= 0.4
    return rows.select(pl.when(~warned).then(0.0).when(pl.col("label") == 1).then(20.0).otherwise(-5.0)).to_series()


FLIGHT = {
    "flight_id": "UA1545-EWR-2013-04-01", "carrier": "UA", "origin": "EWR", "dest": "IAH", "distance_miles": 1400,
    "scheduled_departure": datetime(2013, 4, 1, 10, 15, tzinfo=UTC), "scheduled_arrival": datetime(2013, 4, 1, 14, 5, tzinfo=UTC),
}  # fmt: skip

pipeline = Pipeline(
    name="flight_delay",
    version="1.0.0",
    description="Probability that a flight arrives more than 15 minutes late, asked one hour before scheduled departure.",
    owner="operations research",
    task="classification",
    dataset=dataset,
    prepare=prepare,
    inputs=("carrier", "origin", "dest", "distance_miles", "hour", "weekday", "planned_minutes"),
    features=(
        Use("weather", ("temp_f", "humidity_pct", "wind_mph", "precip_in", "pressure_mb", "visibility_mi")),
        Use("airport", ("departed_late_6h", "departed_late_1d", "departed_delay_6h", "cancelled_1d"), {"airport": "origin"}, "origin_"),
        Use("airport", ("landed_late_6h", "landed_late_1d"), {"airport": "dest"}, "dest_"),
        Use("route", ("landed_late_7d", "landed_delay_7d"), prefix="route_"),
        Use("carrier", ("departed_late_1d", "landed_late_7d"), prefix="carrier_"),
    ),
    estimator=estimator,
    search=Search({"learning_rate": [0.05, 0.08, 0.12], "max_leaf_nodes": [15, 31], "l2_regularization": [0.0, 5.0]}, trials=4),
    split=TimeSplit(validation=timedelta(days=10), test=timedelta(days=14), gap=timedelta(days=1)),
    metric=ROC_AUC,
    floor=0.62,
    slices=("origin",),
    value=Value(minutes_saved, "passenger minutes saved per flight"),
    trigger=Trigger(windows=2, cool_down=timedelta(days=14), margin=0.005),
    promote=Promote(margin=0.005, slices=("origin",), tolerance=0.03, minimum_rows=2000),
    monitor_not=("hour", "weekday"),
    worked=(Worked(FLIGHT, {"hour": 6.25, "weekday": 1, "planned_minutes": 230}),),
    serving=Serving(
        request={
            "flight_id": pl.String(), "carrier": pl.String(), "origin": pl.String(), "dest": pl.String(),
            "scheduled_departure": TIME, "scheduled_arrival": TIME, "distance_miles": pl.Int64(),
        },
        outcome={"flight_id": pl.String(), "kind": pl.String(), "moment": TIME, "delay_minutes": pl.Int64()},
        key=("flight_id",),
        examples=(
            Example("departure boards", FLIGHT, low=0.0, high=1.0),
            Example("rebooking desk", FLIGHT | {"flight_id": "B6511-LGA-2013-04-01", "carrier": "B6", "origin": "LGA"}, 0.0, 0.9),
        ),
    ),
)  # fmt: skip
