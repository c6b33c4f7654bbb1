"""The flights: what the archive says, when it was known, and aggregates that know nothing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows.building import catalog, publish
from flows.features import flights as domain
from flows.features.flights import AIRPORT, CARRIER, EVENTS, ROUTE, SCHEDULE, WEATHER
from flows.pipeline import TIME, Group, Read, Window
from store.features import write
from store.layout import Root

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
YEAR = Window(datetime(2012, 12, 1, tzinfo=UTC), datetime(2014, 2, 1, tzinfo=UTC))
GROUPS = [(AIRPORT, domain.airports), (ROUTE, domain.routes), (CARRIER, domain.carriers)]
derivations = pytest.mark.parametrize(("group", "derive"), GROUPS, ids=[group.name for group, _ in GROUPS])


# ---- the archive ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw() -> pl.DataFrame:
    """The archive's file, with the ids that its flights get."""
    number = pl.format("{}{}-{}-{}", "carrier", "flight", "origin", pl.date("year", "month", "day"))
    return domain._csv("flights.csv.zip").with_columns(number.alias("flight_id"))


@pytest.fixture(scope="module")
def schedule() -> pl.DataFrame:
    return domain.archived_schedule(YEAR)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return domain.archived_events(YEAR)


def test_every_flight_of_the_year_is_there_once(raw: pl.DataFrame, schedule: pl.DataFrame) -> None:
    """An id is a flight number on a day from an airport; no two flights share it, and none is lost."""
    assert schedule.height == raw.height == 336_776
    assert schedule["flight_id"].n_unique() == schedule.height
    assert schedule.null_count().sum_horizontal().item() == 0


def test_a_flight_without_a_tail_number_is_a_flight(raw: pl.DataFrame, schedule: pl.DataFrame) -> None:
    """The tail number is known late and missing for cancelled flights: nothing is made of it."""
    without = raw.filter(pl.col("tailnum").is_null())
    assert without.height == 2512
    assert without.join(schedule, on="flight_id", how="anti").is_empty()
    assert not {"tailnum", "air_time", "dep_time", "arr_time"} & {*SCHEDULE.values, *EVENTS.values}


@pytest.mark.parametrize(
    ("flight", "dest", "departs", "arrives"),
    [
        ("UA1545-EWR-2013-01-01", "IAH", "2013-01-01 10:15", "2013-01-01 14:19"),
        ("UA258-EWR-2013-03-10", "IAH", "2013-03-10 09:15", "2013-03-10 13:14"),
        ("UA322-EWR-2013-11-03", "IAH", "2013-11-03 10:20", "2013-11-03 14:00"),
        ("B6713-JFK-2013-03-09", "SJU", "2013-03-10 02:55", "2013-03-10 06:42"),
        ("B6713-JFK-2013-03-10", "SJU", "2013-03-11 02:30", "2013-03-11 06:12"),
        ("DL87-JFK-2013-03-09", "LAX", "2013-03-10 00:00", "2013-03-10 06:36"),
    ],
    ids=[
        "winter",
        "first day of summer time",
        "first day of winter time",
        "night before",
        "no summer time there",
        "west",
    ],
)
def test_schedules_are_in_utc_across_summer_time(
    schedule: pl.DataFrame, flight: str, dest: str, departs: str, arrives: str
) -> None:
    """Printed in the local times of two airports that change their clocks on their own days, or never."""
    row = schedule.row(by_predicate=pl.col("flight_id") == flight, named=True)
    assert row["dest"] == dest
    assert f"{row['scheduled_departure']:%Y-%m-%d %H:%M}" == departs
    assert f"{row['scheduled_arrival']:%Y-%m-%d %H:%M}" == arrives
    assert row["event_time"] == row["scheduled_departure"] - HOUR


def test_arrivals_are_after_departures_in_the_right_zone(raw: pl.DataFrame, schedule: pl.DataFrame) -> None:
    """No destination's plans are an hour off in any month of 50 flights or more: the median plan is 5 to 64 minutes longer than the
    time in the air."""
    planned = (pl.col("scheduled_arrival") - pl.col("scheduled_departure")).dt.total_minutes()
    flown = raw.select("flight_id", "month", "air_time").drop_nulls()
    rows = schedule.with_columns(planned.alias("planned")).join(flown, on="flight_id")
    assert rows["planned"].min() >= 50
    assert rows["planned"].max() <= 700
    months = rows.group_by("dest", "month").agg(
        (pl.col("planned") - pl.col("air_time")).median().alias("spare"), pl.len().alias("flights")
    )
    spare = months.filter(pl.col("flights") >= 50)
    assert spare["dest"].n_unique() > 70
    assert spare.filter(~pl.col("spare").is_between(5, 64)).is_empty()


def test_the_four_airports_without_a_zone_get_one(raw: pl.DataFrame) -> None:
    """SJU, BQN, STT and PSE, which the package lacks, and no other destination: a new one would be noticed here."""
    known = domain._csv("airports.csv").drop_nulls("tzone")["faa"]
    assert sorted(raw.filter(~pl.col("dest").is_in(known.implode()))["dest"].unique()) == ["BQN", "PSE", "SJU", "STT"]
    zones = pl.DataFrame({"dest": ["SJU", "BQN", "STT", "PSE", "IAH"]}).select(domain._zone(pl.col("dest"))).to_series()
    assert zones.to_list() == ["America/Puerto_Rico"] * 4 + ["America/Chicago"]


def test_a_cancelled_flight_is_known_at_its_scheduled_departure(
    raw: pl.DataFrame, schedule: pl.DataFrame, events: pl.DataFrame
) -> None:
    """That is all it has: no delay, no departure, no landing."""
    cancelled = events.filter(kind="cancelled").join(schedule, on="flight_id")
    assert cancelled.height == raw["dep_time"].null_count() == 8255
    assert (cancelled["event_time"] == cancelled["scheduled_departure"]).all()
    assert cancelled["delay_minutes"].null_count() == cancelled.height
    others = events.filter(pl.col("kind") != "cancelled").join(cancelled, on="flight_id", how="semi")
    assert others.is_empty()


def test_every_flight_has_exactly_one_outcome(schedule: pl.DataFrame, events: pl.DataFrame) -> None:
    """Landed, cancelled or diverted; and those that departed are those that were not cancelled."""
    ends = events.filter(pl.col("kind").is_in(["landed", "cancelled", "diverted"]))
    assert ends.height == ends["flight_id"].n_unique() == schedule.height
    departed = events.filter(kind="departed")
    assert (
        departed.height == departed["flight_id"].n_unique() == schedule.height - events.filter(kind="cancelled").height
    )


def test_events_happen_as_much_after_schedule_as_they_are_late(schedule: pl.DataFrame, events: pl.DataFrame) -> None:
    """Departures against departure, landings against arrival; a diversion is known 15 minutes after scheduled arrival."""
    rows = events.join(schedule.drop("event_time"), on="flight_id")
    delay = pl.duration(minutes="delay_minutes")
    for kind, moment in {
        "departed": pl.col("scheduled_departure") + delay,
        "landed": pl.col("scheduled_arrival") + delay,
        "diverted": pl.col("scheduled_arrival") + 15 * MINUTE,
    }.items():
        found = rows.filter(kind=kind)
        assert found.height > 1000 or kind == "diverted"
        assert found.select((pl.col("event_time") == moment).all()).item()


@pytest.mark.parametrize("read", [domain.archived_schedule, domain.archived_events, domain.archived_weather])
def test_the_archive_is_read_by_half_open_windows(read: Callable[[Window], pl.DataFrame]) -> None:
    """Two windows that touch give together what one over both gives, no row twice; times are UTC microseconds."""
    start, border, end = (
        datetime(2013, 6, 1, tzinfo=UTC),
        datetime(2013, 6, 2, 12, tzinfo=UTC),
        datetime(2013, 6, 3, tzinfo=UTC),
    )
    first, second, both = read(Window(start, border)), read(Window(border, end)), read(Window(start, end))
    assert first["event_time"].max() < border <= second["event_time"].min()
    assert_frame_equal(pl.concat([first, second]), both, check_row_order=False)
    assert both.schema["event_time"] == TIME


def test_weather_is_known_with_the_publication_after_the_hour_it_takes() -> None:
    """An observation of 04:00 is known at 06:00, one of 05:00 too, one of 06:00 at noon."""
    day = datetime(2013, 1, 2, tzinfo=UTC)
    rows = domain.archived_weather(Window(day, day + DAY)).filter(origin="JFK").sort("event_time")
    known = {row["event_time"].hour: (row["known_time"] - day) / HOUR for row in rows.to_dicts()}
    assert (known[4], known[5], known[6], known[11], known[12], known[23]) == (6, 6, 12, 12, 18, 24)
    assert set(WEATHER.values) < set(rows.columns)


# ---- what services were asked and told ------------------------------------------------------------------------------


def test_a_question_makes_a_planned_flight_known_when_it_was_received() -> None:
    """The archive's columns; asked twice, the first question counts."""
    at = datetime(2013, 2, 1, 12, tzinfo=UTC)
    asked = pl.DataFrame(
        {
            "flight_id": ["a", "a"], "carrier": ["XX", "YY"], "origin": ["JFK"] * 2, "dest": ["LAX"] * 2, "distance_miles": [9] * 2,
            "scheduled_departure": [at] * 2, "scheduled_arrival": [at + HOUR] * 2, "received_at": [at - 3 * HOUR, at - 2 * HOUR],
        },
        schema_overrides=dict.fromkeys(("scheduled_departure", "scheduled_arrival", "received_at"), TIME),
    )  # fmt: skip
    (row,) = domain.collected_schedule(asked, pl.DataFrame()).to_dicts()
    assert (row["carrier"], row["event_time"], row["known_time"]) == ("XX", at - HOUR, at - 3 * HOUR)
    assert set(row) == {"flight_id", "event_time", "known_time", *SCHEDULE.values}


def test_an_outcome_is_known_when_it_was_received_and_never_before_it_happened() -> None:
    """An announced landing is no fact yet; one without an id or a moment is none at all."""
    at = datetime(2013, 2, 1, 12, tzinfo=UTC)
    told = pl.DataFrame(
        {
            "flight_id": ["late", "announced", None, "when"], "moment": [at, at, at, None], "kind": ["landed"] * 4,
            "delay_minutes": [1, 2, 3, 4], "received_at": [at + HOUR, at - HOUR, at, at],
        },
        schema_overrides=dict.fromkeys(("moment", "received_at"), TIME),
    )  # fmt: skip
    rows = domain.collected_events(pl.DataFrame(), told)
    assert rows["flight_id"].to_list() == ["late", "announced"]
    assert rows["known_time"].to_list() == [at + HOUR, at]
    assert set(rows.columns) == {"flight_id", "event_time", "known_time", *EVENTS.values}


# ---- derivations on the archive -------------------------------------------------------------------------------------

TICKS = publish.ticks(domain.CADENCE, datetime(2013, 2, 9, tzinfo=UTC), datetime(2013, 2, 11, tzinfo=UTC))


@pytest.fixture(scope="module")
def read(flights: Root) -> Read:
    return publish.reader(flights, catalog.load())


def ordered(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(*group.keys, "event_time", *group.values).sort("event_time", *group.keys)


@derivations
def test_a_tick_derived_alone_equals_the_same_tick_with_its_neighbours(
    flights: Root, read: Read, group: Group, derive: Any
) -> None:
    """To the bit; and both equal what was published in bulk weeks before and after."""
    together = ordered(group, derive(read, TICKS))
    for tick in (TICKS[0], TICKS[3], TICKS[-1]):
        alone = ordered(group, derive(read, [tick]))
        assert alone.height > 10
        assert_frame_equal(alone, together.filter(event_time=tick), check_exact=True)
    stored = write.rows(flights, group, TICKS[0], TICKS[-1] + MINUTE)
    assert_frame_equal(ordered(group, stored), together, check_exact=True)


def otherwise(read: Read, later: Callable[[], pl.Expr]) -> Read:
    """The facts with the rows that meet the condition told the other way round."""

    def changed(group: str, window: Window) -> pl.DataFrame:
        rows = read(group, window)
        if group == "flight_events":
            kind = pl.when(pl.col("kind") == "landed").then(pl.lit("cancelled")).otherwise(pl.lit("landed"))
            new = {"kind": kind, "delay_minutes": 200 - pl.col("delay_minutes").fill_null(0)}
        else:
            new = {"carrier": pl.lit("??"), "origin": pl.col("dest"), "dest": pl.col("origin")}
        return rows.with_columns(
            pl.when(later()).then(value).otherwise(name).alias(name) for name, value in new.items()
        )

    return changed


@derivations
def test_nothing_in_an_aggregate_was_known_after_its_tick(read: Read, group: Group, derive: Any) -> None:
    """Whatever happened or became known later may have gone any way; what was known before may not."""
    tick = TICKS[3]
    known = pl.max_horizontal("event_time", "known_time")
    real = ordered(group, derive(read, TICKS)).filter(pl.col("event_time") <= tick)
    future = ordered(group, derive(otherwise(read, lambda: known > tick), TICKS))
    assert_frame_equal(future.filter(pl.col("event_time") <= tick), real, check_exact=True)
    past = ordered(group, derive(otherwise(read, lambda: known > tick - HOUR), TICKS))
    assert not past.filter(pl.col("event_time") <= tick).equals(real)


# ---- derivations on a few flights -----------------------------------------------------------------------------------

T0 = datetime(2013, 5, 6, tzinfo=UTC)
SCHEDULED = ("flight_id", "carrier", "origin", "dest", "event_time", "known_time")
HAPPENED = ("flight_id", "kind", "delay_minutes", "event_time", "known_time")


def few(planned: Sequence[tuple[Any, ...]], happened: Sequence[tuple[Any, ...]]) -> Read:
    """A world of these rows, in order of ``SCHEDULED`` and ``HAPPENED``, times in hours after ``T0``."""

    def frame(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
        columns = pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"delay_minutes": pl.Int64()})
        times = ((pl.lit(T0) + pl.duration(minutes=pl.col(name) * 60)).cast(TIME).alias(name) for name in names[-2:])
        return columns.with_columns(times).sort("event_time", "known_time")

    facts = {"flight_schedule": frame(SCHEDULED, planned), "flight_events": frame(HAPPENED, happened)}

    def read(group: str, window: Window) -> pl.DataFrame:
        return facts[group].filter(pl.col("event_time") >= window.start, pl.col("event_time") < window.end)

    return read


PLANNED = [
    (name, carrier, "JFK", "LAX", 1.0, 1.0) for name, carrier in (("a", "AA"), ("b", "AA"), ("c", "BB"), ("d", "AA"))
]
HISTORY = [
    ("a", "departed", 10, 2.0, 2.0), ("b", "departed", 16, 3.0, 3.0), ("c", "departed", 400, 6.0, 6.0), ("d", "cancelled", None, 2.0, 2.0),
    ("a", "landed", -50, 8.0, 8.0), ("b", "landed", 15, 12.0, 12.0), ("c", "landed", 300, 13.0, 13.0),
]  # fmt: skip


def at(rows: pl.DataFrame, hours: float, **keys: str) -> dict[str, Any]:
    """The row of an entity at a tick, without keys and time; empty when there is none."""
    found = rows.filter(event_time=T0 + hours * HOUR, **keys).drop("event_time", *keys).to_dicts()
    return found[0] if found else {}


def test_an_airports_row_is_the_hand_computed_one() -> None:
    """At 06:00: departures 10, 16 and 400 (counted as 240) minutes late, one flight of four cancelled, nothing landed; at 12:00
    the first two have landed (50 minutes early counts as 30), and nothing departed in the last six hours."""
    rows = domain.airports(few(PLANNED, HISTORY), [T0 + 6 * HOUR, T0 + 12 * HOUR])
    assert at(rows, 6, airport="JFK") == {
        "departed_late_6h": 2 / 3, "departed_late_1d": 2 / 3, "departed_delay_6h": (10 + 16 + 240) / 3, "cancelled_1d": 1 / 4,
        "landed_late_6h": None, "landed_late_1d": None, "landed_delay_1d": None,
    }  # fmt: skip
    assert at(rows, 6, airport="LAX") == {}
    later = at(rows, 12, airport="JFK")
    assert (later["departed_late_6h"], later["departed_late_1d"]) == (None, 2 / 3)
    west = at(rows, 12, airport="LAX")
    assert (west["landed_late_6h"], west["landed_late_1d"], west["landed_delay_1d"]) == (0, 0, (-30 + 15) / 2)


def test_a_routes_and_a_carriers_rows_are_the_hand_computed_ones() -> None:
    """At 18:00, when all have landed; a week and six hours later they are forgotten, and there is no row."""
    ticks = [T0 + hours * HOUR for hours in (18, 7 * 24 + 12, 7 * 24 + 18)]
    route = domain.routes(few(PLANNED, HISTORY), ticks)
    assert at(route, 18, origin="JFK", dest="LAX") == {
        "landed_late_7d": 1 / 3,
        "landed_delay_7d": 75.0,
        "landed_delay_1d": 75.0,
    }
    carrier = domain.carriers(few(PLANNED, HISTORY), ticks)
    assert at(carrier, 18, carrier="AA") == {
        "departed_late_1d": 1 / 2, "landed_late_7d": 0.0, "landed_delay_1d": -7.5, "cancelled_1d": 1 / 3,
    }  # fmt: skip
    assert at(carrier, 18, carrier="BB")["landed_late_7d"] == 1.0
    week = at(route, 7 * 24 + 12, origin="JFK", dest="LAX")
    assert week == {"landed_late_7d": 1.0, "landed_delay_7d": 240.0, "landed_delay_1d": None}
    assert at(route, 7 * 24 + 18, origin="JFK", dest="LAX") == {}


@pytest.mark.parametrize(("known", "first"), [(6.0, 6), (6.1, 12), (25.9, 30), (26.0, 30), (26.1, None)])
def test_an_event_counts_from_the_first_tick_by_which_it_was_known(known: float, first: int | None) -> None:
    """It happened at 02:00; after more than a day it is no news any more."""
    ticks = [T0 + hours * HOUR for hours in range(6, 60, 6)]
    rows = domain.carriers(few(PLANNED[:1], [("a", "landed", 5, 2.0, known)]), ticks)
    assert rows["event_time"].min() == (None if first is None else T0 + first * HOUR)


@pytest.mark.parametrize(
    ("planned", "known", "first"),
    [(9.0, 1.0, 12), (1.0, 9.0, 12), (1.0, 6.0, 6), (1.0, 27.0, None)],
    ids=["cancelled long before", "asked about afterwards", "just in time", "asked about too late"],
)
def test_an_event_counts_when_its_flight_is_known_too_alone_or_with_neighbours(
    planned: float, known: float, first: int | None
) -> None:
    """An application cancels a flight before its hour has come, or asks about it only when it has landed: each tick is derived
    of what both were known by it, whichever ticks it is derived with."""
    read = few([("a", "AA", "JFK", "LAX", planned, known)], [("a", "cancelled", None, 2.0, 2.0)])
    ticks = [T0 + hours * HOUR for hours in range(6, 48, 6)]
    together = ordered(CARRIER, domain.carriers(read, ticks))
    assert together["event_time"].min() == (None if first is None else T0 + first * HOUR)
    alone = [ordered(CARRIER, domain.carriers(read, [tick])) for tick in ticks]
    assert_frame_equal(pl.concat(alone), together, check_exact=True)


def test_a_flight_planned_twice_counts_once() -> None:
    """From the archive and from a question, or by two applications: as it was first known."""
    twice = [*PLANNED[:1], ("a", "ZZ", "JFK", "LAX", 1.0, 3.0)]
    rows = domain.carriers(few(twice, HISTORY[:1]), [T0 + 6 * HOUR])
    assert rows["carrier"].to_list() == ["AA"]


def test_a_world_without_events_has_no_rows() -> None:
    """Not even of the flights that are planned."""
    for group, derive in GROUPS:
        rows = derive(few(PLANNED, HISTORY), [T0 - DAY])
        assert ordered(group, rows).is_empty()
