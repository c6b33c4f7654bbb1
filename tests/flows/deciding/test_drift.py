"""Drift is judged against the reference's own unrest, and nothing that breaks a column goes unseen."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.deciding import distance, drift
from store.errors import InvalidInput

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 40  # a day
DAYS = 91
NUMBERS = ["a", "b", "c", "d"]


def rows(days: int, seed: int, first: int = 0, per_day: int = ROWS) -> pl.DataFrame:
    """Stationary rows: normal numbers, a carrier, constants, flags, rain that is mostly 0, gusts that are half NaN."""
    rng = np.random.default_rng(seed)
    n = days * per_day
    at = np.repeat(np.arange(first, first + days), per_day) * 86_400_000_000
    frame = pl.DataFrame({name: rng.normal(size=n) for name in NUMBERS})
    return frame.with_columns(
        time=(pl.Series(at) + int(START.timestamp()) * 1_000_000).cast(pl.Datetime("us", "UTC")),
        carrier=pl.Series(rng.choice(["AA", "DL", "UA"], n, p=[0.5, 0.3, 0.2])),
        constant=pl.lit("only"),
        fixed=pl.lit(5),
        flag=pl.Series(rng.random(n) < 0.3),
        rain=pl.Series(np.where(rng.random(n) < 0.93, 0.0, rng.exponential(size=n))),
        gust=pl.Series(np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n))),
        empty=pl.lit(None, dtype=pl.Float64),
    )


FEATURES = [*NUMBERS, "carrier", "constant", "fixed", "flag", "rain", "gust", "empty"]


@pytest.fixture(scope="module")
def calibration() -> drift.Calibration:
    return drift.calibrate(rows(DAYS, 0), FEATURES, time="time")


def drifted(calibration: drift.Calibration, current: pl.DataFrame) -> list[str]:
    scored = drift.score(calibration, current)
    assert scored["score"].is_finite().all()
    assert scored["threshold"].is_finite().all()
    return scored.filter("drifted")["feature"].to_list()


def week(seed: int = 1) -> pl.DataFrame:
    return rows(7, seed, first=DAYS)


def test_a_window_like_the_reference_is_calm(calibration: drift.Calibration) -> None:
    """A window like the reference drifts nowhere, and the answer has the promised columns."""
    scored = drift.score(calibration, week())
    assert scored.schema == {
        "feature": pl.String,
        "score": pl.Float64,
        "threshold": pl.Float64,
        "drifted": pl.Boolean,
        "null_share": pl.Float64,
        "rows": pl.Int64,
    }
    assert scored["feature"].to_list() == FEATURES
    assert not scored["drifted"].any()
    assert scored["rows"].to_list() == [7 * ROWS] * len(FEATURES)
    assert scored.filter(feature="empty")["null_share"].item() == 1.0


BROKEN = {
    "half a sigma of shift": ("a", pl.col("a") + 0.5),
    "a doubled spread": ("a", pl.col("a") * 2),
    "another unit": ("a", pl.col("a") * 1000 + 32),
    "infinities": ("a", pl.when(pl.col("a") > 0).then(float("inf")).otherwise(pl.col("a"))),
    "a two-sigma shift behind one outlier": (
        "a",
        pl.when(pl.int_range(pl.len()) == 0).then(1e12).otherwise(pl.col("a") + 2),
    ),
    "90% nulls": ("a", pl.when(pl.int_range(pl.len()) % 10 == 0).then("a")),
    "NaN for numbers": ("a", pl.when(pl.int_range(pl.len()) % 10 == 0).then("a").otherwise(float("nan"))),
    "all nulls": ("a", pl.lit(None, dtype=pl.Float64)),
    "all nulls without a type": ("a", pl.lit(None)),
    "one value for all": ("a", pl.lit(0.0)),
    "a value in a column that was all null": ("empty", pl.lit(1.0)),
    "nulls filled": ("gust", pl.col("gust").fill_nan(0.0)),
    "rain every other hour": ("rain", pl.when(pl.int_range(pl.len()) % 2 == 0).then(0.4).otherwise("rain")),
    "a new category": ("carrier", pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("XX")).otherwise("carrier")),
    "a category gone": ("carrier", pl.col("carrier").replace("UA", "AA")),
    "null categories": ("carrier", pl.when(pl.int_range(pl.len()) % 2 == 0).then("carrier")),
    "all null categories": ("carrier", pl.lit(None, dtype=pl.String)),
    "a constant category that changed": ("constant", pl.lit("other")),
    "a tenth of a constant category": (
        "constant",
        pl.when(pl.int_range(pl.len()) % 10 == 0).then(pl.lit("x")).otherwise("constant"),
    ),
    "a constant number that grew": ("fixed", pl.lit(6)),
    "a constant number that fell": ("fixed", pl.lit(4)),
    "flags flipped": ("flag", ~pl.col("flag")),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_a_column_is_noticed(calibration: drift.Calibration, broken: str) -> None:
    """Each of Evidently's blind spots, and each common way to break a column, flags that column and no other."""
    column, expression = BROKEN[broken]
    assert drifted(calibration, week().with_columns(expression.alias(column))) == [column]


def test_one_outlier_is_no_drift(calibration: drift.Calibration) -> None:
    """One absurd value among the rows does not flag the column by itself."""
    outlier = pl.when(pl.int_range(pl.len()) == 0).then(1e12).otherwise("a").alias("a")
    assert drifted(calibration, week().with_columns(outlier)) == []


def test_an_outlier_in_the_reference_hides_no_shift() -> None:
    """One absurd value in the reference does not hide half a sigma of shift."""
    reference = rows(DAYS, 0).with_columns(pl.when(pl.int_range(pl.len()) == 7).then(1e12).otherwise("a").alias("a"))
    calibration = drift.calibrate(reference, ["a"], time="time")
    assert drifted(calibration, week().with_columns(pl.col("a") + 0.5)) == ["a"]


def test_a_null_column_without_type_takes_any_type_later() -> None:
    """A reference column of type Null is all that is known of it; any value later is drift and never an error."""
    calibration = drift.calibrate(rows(DAYS, 0).with_columns(x=pl.lit(None)), ["x"], time="time")
    for value in (1, "text", True):
        assert drifted(calibration, week().with_columns(x=pl.lit(value))) == ["x"]
    assert drifted(calibration, week().with_columns(x=pl.lit(None))) == []


def test_a_gap_is_not_taken_for_a_restless_feature_s_restlessness() -> None:
    """Nulls are judged by the unrest of nulls, so a feature that swings widely still shows a fifth of nulls."""
    swing = (pl.col("a") + 5 * (pl.col("time").dt.ordinal_day() % 30 / 10)).alias("a")
    calibration = drift.calibrate(rows(DAYS, 0).with_columns(swing), ["a"], time="time")
    gaps = pl.when(pl.int_range(pl.len()) % 5 > 0).then("a").alias("a")
    assert drifted(calibration, week().with_columns(swing)) == []
    assert drifted(calibration, week().with_columns(swing).with_columns(gaps)) == ["a"]


def test_further_out_than_the_worst_week_is_seen() -> None:
    """As far out as a warm spell of the reference is calm, thrice as far drifts, though all ranks are the top."""
    warm = pl.when(pl.col("time").dt.ordinal_day().is_between(50, 64)).then(pl.col("a") + 6).otherwise("a").alias("a")
    calibration = drift.calibrate(rows(DAYS, 0).with_columns(warm), ["a"], time="time")
    assert drifted(calibration, week().with_columns(pl.col("a") + 6)) == []
    assert drifted(calibration, week().with_columns(pl.col("a") + 18)) == ["a"]


@pytest.mark.parametrize(("beyond", "far"), [(0.0, 0.0), (4.0, 4.0), (8.0, 8.0), (1e9, 13.0)])
def test_the_value_distance_counts_deviations_to_its_reach(beyond: float, far: float) -> None:
    """A shift counts in standard deviations, up to REACH beyond the reference's range and no further."""
    then = pl.Series("x", np.random.default_rng(0).normal(size=20_000))
    shape = distance.shape(then)
    now, reference = (distance.counts(x, shape, np.zeros(20_000, np.int64)) for x in (then + beyond, then))
    assert distance.distances(shape, now, reference)[0, 1] == pytest.approx(far, rel=0.1)


def test_edges_inside_the_range_are_values_that_occur() -> None:
    """A point mass lies at an edge and never beside one: every edge within the range is a value of the reference."""
    values = [0.0] * 58 + [1.0] * 29 + [5.0] * 10
    inside = [edge for edge in distance.shape(pl.Series("x", values)).bins if 0.0 <= float(edge) <= 5.0]
    assert inside == [0.0, 1.0, 5.0]


def test_a_reference_window_is_scored_against_the_rest() -> None:
    """A window does not dilute its own incident: one that is all null is a whole null share away from the rest."""
    broken = pl.when(~pl.col("time").dt.ordinal_day().is_between(15, 21)).then("a").alias("a")
    calibration = drift.calibrate(rows(35, 0).with_columns(broken), ["a"], time="time")
    assert calibration.features[0].unrest[2] == 1.0


def test_one_incident_dulls_its_own_feature_only() -> None:
    """A week of outage in the reference leaves the other features' thresholds as they were."""
    broken = pl.when(pl.col("time").dt.ordinal_day().is_between(40, 45)).then(None).otherwise(pl.col("a")).alias("a")
    clean = drift.calibrate(rows(DAYS, 0), NUMBERS, time="time")
    scarred = drift.calibrate(rows(DAYS, 0).with_columns(broken), NUMBERS, time="time")
    assert scarred.factor < 1.2 * clean.factor
    assert drifted(scarred, week().with_columns(pl.col("b") + 0.5)) == ["b"]


def test_stationary_weeks_raise_hardly_a_confirmed_alarm() -> None:
    """In 20 seeds of 26 stationary weeks some feature is flagged in under 10% of weeks, confirmed in under 1%."""
    flagged, alarms, weeks = 0, 0, 26
    for seed in range(20):
        calibration = drift.calibrate(rows(DAYS, seed, per_day=20), NUMBERS, time="time")
        later = rows(7 * weeks, 1000 + seed, first=DAYS, per_day=20)
        history = [drifted(calibration, later[at : at + 140]) for at in range(0, len(later), 140)]
        flagged += sum(map(bool, history))
        alarms += sum(bool(drift.confirmed(history[:end], 2)) for end in range(2, weeks + 1))
    assert flagged < 0.10 * 20 * weeks
    assert alarms < 0.01 * 20 * weeks


def test_family_error_bounds_the_flags_of_all_features_together() -> None:
    """Without the family factor, the largest score alone flags some feature several times as often."""
    strict, loose = 0, 0
    for seed in range(8):
        reference = rows(DAYS, seed, per_day=20)
        later = rows(7 * 26, 1000 + seed, first=DAYS, per_day=20)
        for family_error in (0.05, 1.0):
            calibration = drift.calibrate(reference, FEATURES, time="time", family_error=family_error)
            flags = sum(bool(drifted(calibration, later[at : at + 140])) for at in range(0, len(later), 140))
            strict, loose = (strict + flags, loose) if family_error < 1 else (strict, loose + flags)
    assert strict * 2 < loose


def test_a_thin_window_does_not_alarm_by_chance() -> None:
    """Windows of 30 rows, far thinner than the reference's, hardly alarm; a gross shift in them still does."""
    calibration = drift.calibrate(rows(DAYS, 0), FEATURES, time="time")
    thin = [rows(1, seed, first=DAYS, per_day=30) for seed in range(50)]
    assert sum(bool(drifted(calibration, window)) for window in thin) <= 2
    assert drifted(calibration, thin[0].with_columns(pl.col("a") + 5)) == ["a"]


def test_a_thin_week_of_the_reference_does_not_set_the_threshold() -> None:
    """Reference windows with hardly any rows are left out, so their noise raises no threshold."""
    outage = pl.col("time").dt.ordinal_day().is_between(40, 50) & (pl.int_range(pl.len()) % ROWS > 0)
    calibration = drift.calibrate(rows(DAYS, 0).filter(~outage), NUMBERS, time="time")
    assert calibration.windows < DAYS - 6
    assert calibration.thinnest > 7 * ROWS / 8
    assert drifted(calibration, week().with_columns(pl.col("a") + 0.5)) == ["a"]


def test_a_calibration_survives_json(calibration: drift.Calibration) -> None:
    """A calibration through JSON is equal to itself, to the last bit, and scores alike."""
    back = drift.Calibration.from_dict(json.loads(json.dumps(calibration.to_dict(), allow_nan=False)))
    assert back == calibration
    assert drift.score(back, week()).equals(drift.score(calibration, week()))


def test_a_calibration_of_infinities_survives_json() -> None:
    """Infinities in the reference leave the dict finite, so strict JSON takes it."""
    infinite = pl.when(pl.int_range(pl.len()) % 9 == 0).then(float("inf")).otherwise("a").alias("a")
    calibration = drift.calibrate(rows(DAYS, 0).with_columns(infinite), ["a"], time="time")
    assert drift.Calibration.from_dict(json.loads(json.dumps(calibration.to_dict(), allow_nan=False))) == calibration


@pytest.mark.parametrize("spoil", [{"factor": None}, {"more": 1}])
def test_a_spoilt_calibration_is_refused(calibration: drift.Calibration, spoil: dict[str, object]) -> None:
    """A dict with a missing or an unknown field is no calibration."""
    raw = {name: value for name, value in calibration.to_dict().items() if spoil.get(name, "") is not None}
    raw |= {name: value for name, value in spoil.items() if value is not None}
    with pytest.raises(InvalidInput, match="cannot be read"):
        drift.Calibration.from_dict(raw)


def test_the_order_of_rows_does_not_matter(calibration: drift.Calibration) -> None:
    """Shuffled reference rows give the same calibration."""
    shuffled = rows(DAYS, 0).sample(fraction=1.0, shuffle=True, seed=3)
    assert drift.calibrate(shuffled, FEATURES, time="time") == calibration


@pytest.mark.parametrize(
    ("frame", "features", "match"),
    [
        (rows(30, 0), ["a"], "at least 5 windows"),
        (rows(3, 0), ["a"], "at least 5 windows"),
        (rows(DAYS, 0).clear(), ["a"], "0 rows"),
        (rows(DAYS, 0), ["a", "nope"], r"lacks \['nope'\]"),
        (rows(DAYS, 0), ["a", "a"], "each once"),
        (rows(DAYS, 0).with_columns(pl.col("time").dt.replace_time_zone(None)), ["a"], "UTC"),
        (rows(DAYS, 0).with_columns(pl.when(pl.col("a") > 0).then("time").alias("time")), ["a"], "without nulls"),
        (rows(DAYS, 0).with_columns(x="time"), ["x"], "cannot be watched"),
    ],
)
def test_an_unusable_reference_is_refused(frame: pl.DataFrame, features: list[str], match: str) -> None:
    """Too short, empty, missing, doubled, without zone or without order: each is refused by name."""
    with pytest.raises(InvalidInput, match=match):
        drift.calibrate(frame, features, time="time")


@pytest.mark.parametrize("step", [timedelta(0), timedelta(days=2), timedelta(days=14)])
def test_windows_that_do_not_divide_are_refused(step: timedelta) -> None:
    """A window is a whole multiple of its step."""
    with pytest.raises(InvalidInput, match="whole multiple"):
        drift.calibrate(rows(DAYS, 0), ["a"], time="time", step=step)


def test_an_unusable_window_is_refused(calibration: drift.Calibration) -> None:
    """A window without rows, without a column, or with text for numbers is an error and no score."""
    for frame, match in [
        (week().clear(), "0 rows"),
        (week().drop("b"), r"lacks \['b'\]"),
        (week().with_columns(pl.col("b").cast(pl.String)), "was numeric"),
    ]:
        with pytest.raises(InvalidInput, match=match):
            drift.score(calibration, frame)


def test_confirmed_means_the_same_feature_in_each_of_the_last_windows() -> None:
    """Only a feature flagged in each of the last K windows is confirmed; a short history confirms none."""
    history = [["x", "y"], {"y"}, ("z", "y", "y"), ["y", "z"]]
    assert drift.confirmed(history, 1) == ["y", "z"]
    assert drift.confirmed(history, 2) == ["y", "z"]
    assert drift.confirmed(history, 3) == ["y"]
    assert drift.confirmed(history, 5) == []
    assert drift.confirmed([], 1) == []
    with pytest.raises(InvalidInput, match="confirmed by 0"):
        drift.confirmed(history, 0)


maybe = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0, 5.0]))


@settings(max_examples=150, deadline=None)
@given(st.lists(maybe, min_size=1, max_size=60), st.lists(maybe, min_size=1, max_size=60))
def test_a_distance_is_a_number_whatever_the_values(reference: list[float | None], current: list[float | None]) -> None:
    """Any floats, nulls, NaN and infinities give finite distances: 0 to itself, rank and null within 0 and 1."""
    then, now = (pl.Series("x", side, dtype=pl.Float64) for side in (reference, current))
    shape = distance.shape(then)
    a, b = (distance.counts(side, shape, np.zeros(len(side), np.int64)) for side in (now, then))
    apart = distance.distances(shape, a, b)[0]
    assert np.isfinite(apart).all()
    assert (apart >= 0).all()
    assert apart[0] <= 1 + 1e-9
    assert apart[2] <= 1
    assert distance.distances(shape, b, b)[0].tolist() == [0.0, 0.0, 0.0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=40),
    st.lists(st.sampled_from([None, "a", "b", "z"]), min_size=1, max_size=40),
)
def test_the_distance_of_categories_is_total_variation(reference: list[str | None], current: list[str | None]) -> None:
    """Without nulls the share distance is half the sum of share differences, unseen categories together."""
    then, now = (pl.Series("x", side, dtype=pl.String) for side in (reference, current))
    shape = distance.shape(then)
    a, b = (distance.counts(side, shape, np.zeros(len(side), np.int64)) for side in (now, then))
    share, null = distance.distances(shape, a, b)[0]
    gone, new = (sum(v is None for v in side) / len(side) for side in (reference, current))
    known, seen = ([v for v in side if v is not None] for side in (reference, current))
    names = {*known, *seen}
    expected = 0.0
    if known and seen:
        expected = sum(abs(known.count(v) / len(known) - seen.count(v) / len(seen)) for v in names) / 2
        expected *= min(1 - gone, 1 - new)
        assert share == pytest.approx(expected)
    assert null == pytest.approx(abs(gone - new))
