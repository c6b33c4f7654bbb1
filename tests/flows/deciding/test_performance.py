"""Intervals are over whole days, on the same rows, positive is better; the baseline takes what data brings."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import t as student_t
from sklearn.metrics import log_loss, roc_auc_score

from flows.deciding import bootstrap, performance
from flows.deciding.performance import Interval, attempted, baseline, by_member, judge, paired, single
from flows.pipeline import METRICS
from store.errors import InvalidInput


@dataclass(frozen=True)
class Metric:
    name: str
    better: Literal["higher", "lower"]
    compute: Callable[[np.ndarray, np.ndarray], float]


def auc(y: np.ndarray, prediction: np.ndarray) -> float:
    return float(roc_auc_score(y, prediction))


AUC = Metric("roc_auc", "higher", auc)
SLOW_AUC = Metric("the same by the generic path", "higher", auc)
MAE = Metric("mae", "lower", lambda y, p: float(np.abs(y - p).mean()))
MEAN = Metric("mean", "higher", lambda y, p: float(p.mean()))

Sample = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def sample(days: int = 14, per_day: int = 40, seed: int = 0) -> Sample:
    """Labels, a weak and a strong prediction with ties, and the day of each row."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, days * per_day)
    weak, strong = (np.round(y + rng.normal(size=len(y)) * noise, 1) for noise in (3.0, 1.0))
    return y, weak, strong, np.repeat(np.arange(days), per_day)


def test_a_better_second_is_positive_for_a_higher_is_better_metric() -> None:
    """With AUC, the interval of a clearly better second model lies above 0, and swapping the two mirrors it."""
    y, weak, strong, day = sample()
    there, back = paired(y, weak, strong, day, AUC), paired(y, strong, weak, day, AUC)
    assert 0 < there.low < there.estimate < there.high
    assert there.estimate == pytest.approx(auc(y, strong) - auc(y, weak))
    assert (back.low, back.estimate, back.high) == pytest.approx((-there.high, -there.estimate, -there.low))


def test_a_better_second_is_positive_for_a_lower_is_better_metric() -> None:
    """With an error, the interval of a clearly better second model lies above 0 as well."""
    y, weak, strong, day = sample()
    interval = paired(y, weak, strong, day, MAE)
    assert 0 < interval.low < interval.estimate == pytest.approx(MAE.compute(y, weak) - MAE.compute(y, strong))


def test_a_model_against_itself_is_exactly_nothing() -> None:
    """The same predictions twice differ by exactly 0, because both are measured on the same draws."""
    y, weak, _, day = sample()
    interval = paired(y, weak, weak, day, AUC)
    assert (interval.low, interval.estimate, interval.high) == (0.0, 0.0, 0.0)


def test_pairing_is_narrower_than_two_intervals() -> None:
    """What is hard about a day for both models cancels, so the paired interval is narrower than either alone."""
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(14), 40)
    hard = rng.normal(size=14)[day] * 5
    y, first = np.zeros(len(day)), hard + rng.normal(size=len(day))
    alone, both = single(y, first, day, MEAN), paired(y, first, first + 0.1, day, MEAN)
    assert both.high - both.low < (alone.high - alone.low) / 100


def test_days_and_not_rows_are_the_evidence() -> None:
    """A hundred copies of each day's row do not narrow the interval."""
    effect, day = np.random.default_rng(0).normal(size=30), np.arange(30)
    once = single(np.zeros(30), effect, day, MEAN)
    often = single(np.zeros(3000), np.repeat(effect, 100), np.repeat(day, 100), MEAN)
    assert (once.low, once.high) == pytest.approx((often.low, often.high))
    assert (often.rows, often.blocks) == (3000, 30)


@pytest.mark.parametrize(("days", "least"), [(5, 0.87), (14, 0.90)])
def test_the_interval_covers_the_truth_as_often_as_it_says(days: int, least: float) -> None:
    """Of 150 simulations the 95% interval holds the true mean in some 95%, even with few days."""
    held = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        day = np.repeat(np.arange(days), 4)
        value = rng.normal(size=days)[day] + 0.3 * rng.normal(size=len(day))
        interval = single(np.zeros(len(day)), value, day, MEAN, resamples=200, seed=seed)
        held += interval.low <= 0 <= interval.high
    assert least <= held / 150 <= 0.99


@pytest.mark.parametrize(("blocks", "student"), [(3, 4.3027), (6, 2.5706), (14, 2.1604), (1000, 1.9623)])
def test_few_blocks_take_percentiles_further_out(blocks: int, student: float) -> None:
    """The lower percentile is Hesterberg's, from Student's table; with many blocks it is the plain 2.5%."""
    expected = NormalDist().cdf(-student * (blocks / (blocks - 1)) ** 0.5)
    assert bootstrap.tail(0.95, blocks) == pytest.approx(expected, rel=0.02, abs=1e-6)


@pytest.mark.parametrize("probability", [0.6, 0.75, 0.9, 0.975])
@pytest.mark.parametrize("freedom", [30, 100, 1000])
def test_student_s_quantile_is_right_up_to_the_fourth_power_of_the_freedom(probability: float, freedom: int) -> None:
    """The series is cut off after its third term, and no term before that is another: what is left shrinks as the next would."""
    found = bootstrap._student(probability, freedom)
    assert found == pytest.approx(float(student_t.ppf(probability, freedom)), rel=0, abs=2 / freedom**4)


def test_predictions_of_several_columns_are_measured_as_their_metric_takes_them() -> None:
    """Whatever the metric is called: the shortcut for ROC AUC is for one column."""
    y, weak, _, day = sample()
    both = np.column_stack([-weak, weak])
    for name, metric in (("roc_auc", AUC), ("of two columns", SLOW_AUC)):
        wide = Metric(name, "higher", lambda y, p: auc(y, p[:, 1]))
        assert single(y, both, day, wide, resamples=50) == single(y, weak, day, metric, resamples=50)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_fast_auc_is_scikit_learns_on_every_draw(data: st.DataObject) -> None:
    """On any labels, tied predictions and days, each resample's AUC equals scikit-learn's on the drawn rows."""
    n = data.draw(st.integers(4, 40))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    assume(0 < y.sum() < n)
    levels = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1e-300, -1.0])
    prediction = np.array(data.draw(st.lists(levels, min_size=n, max_size=n)))
    days = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    code = np.unique(days, return_inverse=True)[1]
    drawn = bootstrap.draws(code, 20, seed=1)
    fast = bootstrap.resampled(AUC, y, prediction, code, drawn)
    slow = bootstrap.resampled(SLOW_AUC, y, prediction, code, drawn)
    assert fast == pytest.approx(slow, nan_ok=True, abs=1e-12)


def test_the_auc_of_tied_predictions_is_computed_once_and_not_per_draw() -> None:
    """ROC AUC takes the matrix of pairs, ties counted half, and calls the metric once to verify it."""
    y, weak, _, day = sample()
    calls: list[int] = []
    counted = Metric("roc_auc", "higher", lambda y, p: calls.append(1) or auc(y, p))  # type: ignore[func-returns-value]
    bootstrap.resampled(counted, y, weak, day, bootstrap.draws(day, 500, seed=0))
    assert len(calls) == 1
    assert len(np.unique(weak)) < len(weak)


def test_fast_and_generic_give_the_same_interval() -> None:
    """The interval of ROC AUC is the same by the matrix of pairs and by drawing rows, also for boolean labels."""
    y, weak, strong, day = sample(per_day=20)
    fast = paired(y.astype(bool), weak, strong, day, AUC, resamples=100)
    slow = paired(y, weak, strong, day, SLOW_AUC, resamples=100)
    assert fast.to_dict() == pytest.approx(slow.to_dict())


def test_a_metric_that_only_borrows_the_name_is_computed_as_it_is() -> None:
    """A metric named roc_auc that computes something else is drawn by the generic path."""
    y, weak, _, day = sample()
    impostor = Metric("roc_auc", "higher", MEAN.compute)
    assert single(y, weak, day, impostor, resamples=50) == single(y, weak, day, MEAN, resamples=50)


def test_undefined_draws_are_dropped_and_counted() -> None:
    """Draws with one class only are left out of the interval and counted."""
    day = np.repeat(np.arange(4), 10)
    y = np.where(day < 2, np.arange(40) % 2, 0)  # two of the four days hold no positive
    for metric in (AUC, SLOW_AUC):
        interval = single(y, np.arange(40.0), day, metric, resamples=200)
        assert 0 < interval.dropped < 40
        assert interval.resamples + interval.dropped == 200
        assert np.isfinite([interval.low, interval.high]).all()


def test_an_undefined_metric_is_refused_and_never_a_number() -> None:
    """With one class in all rows there is no AUC, and no interval."""
    y, weak, strong, day = sample()
    raises = Metric("log_loss", "lower", lambda y, p: float(log_loss(y, np.full(len(p), 0.5))))  # no labels= given
    for metric in (AUC, SLOW_AUC, raises, Metric("nan", "lower", lambda y, p: float("nan"))):
        with pytest.raises(InvalidInput, match="must be defined"):
            paired(np.zeros_like(y), weak, strong, day, metric, resamples=20)


def test_a_metric_defined_on_few_draws_or_not_on_all_rows_is_refused() -> None:
    """When most draws, or the rows themselves, have no defined metric, the rest are no fair sample of it."""
    day = np.repeat(np.arange(30), 5)
    y = np.zeros(150, int)
    y[0] = 1  # its day is in 64% of the draws: just enough
    assert single(y, np.arange(150.0), day, AUC, resamples=200).dropped > 40
    rare = Metric("needs two", "higher", lambda y, p: 1.0 if y.sum() >= 2 or len(np.unique(p)) == 150 else float("nan"))
    with pytest.raises(InvalidInput, match="most draws"):
        single(y, np.arange(150.0), day, rare, resamples=50)
    odd = Metric("draws only", "higher", lambda y, p: 1.0 if len(np.unique(p)) < 150 else float("nan"))
    with pytest.raises(InvalidInput, match="On all 150 rows it is nan"):
        single(y, np.arange(150.0), day, odd, resamples=50)


def test_the_seed_decides() -> None:
    """The same seed gives the same interval, another seed another one."""
    y, weak, strong, day = sample()
    assert paired(y, weak, strong, day, AUC, seed=1) == paired(y, weak, strong, day, AUC, seed=1)
    assert paired(y, weak, strong, day, AUC, seed=1) != paired(y, weak, strong, day, AUC, seed=2)


def test_blocks_may_be_dates_or_names_in_any_order() -> None:
    """Dates, polars columns or names serve as blocks alike, whatever the order of rows."""
    y, weak, strong, day = sample()
    dates = pl.Series([date(2024, 1, 1) + timedelta(days=int(d)) for d in day])
    expected = paired(y, weak, strong, day, AUC)
    assert paired(pl.Series(y), pl.Series(weak), pl.Series(strong), dates, AUC) == expected
    turn = np.random.default_rng(0).permutation(len(y))
    assert paired(y[turn], weak[turn], strong[turn], [f"{d:02}" for d in day[turn]], AUC) == expected


def test_an_interval_is_the_percentiles_of_a_thousand_draws() -> None:
    """Of a mean, computed here on draws of the same seed; a paired one is of the differences."""
    y, first, second, day = sample()
    values = {
        name: np.array([part.mean() for part in np.split(some, 14)]) for name, some in (("one", first), ("two", second))
    }
    drawn = np.random.default_rng(0).multinomial(14, [1 / 14] * 14, size=1000)
    below = bootstrap.tail(0.95, 14)
    alone, both = single(y, first, day, MEAN), paired(y, first, second, day, MEAN)
    for found, expected in ((alone, drawn @ values["one"]), (both, drawn @ (values["two"] - values["one"]))):
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(expected / 14, [below, 1 - below])))
        assert (found.rows, found.blocks, found.level, found.resamples, found.dropped) == (560, 14, 0.95, 1000, 0)


def test_twenty_rows_of_three_days_are_enough_and_a_row_or_a_day_fewer_is_not() -> None:
    """The least there may be."""
    y, values, day = np.zeros(20), np.arange(20.0), np.arange(20) % 3
    assert single(y, values, day, MEAN).blocks == 3
    for few in ((y[1:], values[1:], day[1:]), (y, values, day % 2)):
        with pytest.raises(InvalidInput, match="20 labelled and predicted rows in 3 blocks"):
            single(*few, MEAN)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda y, a, b, d: (y, a, b, np.minimum(d, 1)),
        lambda y, a, b, d: (y[:15], a[:15], b[:15], np.arange(15)),
        lambda y, a, b, d: (y, a, b[:-1], d),
        lambda y, a, b, d: (y, a, np.where(d == 3, np.nan, b), d),
        lambda y, a, b, d: (np.where(d == 3, np.nan, y), a, b, d),
        lambda y, a, b, d: ([None, *y[1:]], a, b, d),
        lambda y, a, b, d: (y, a, b, pl.Series([None, *[f"d{v}" for v in d[1:]]])),
        lambda y, a, b, d: ([], [], [], []),
    ],
    ids=["few blocks", "few rows", "lengths", "NaN prediction", "NaN label", "None label", "None block", "nothing"],
)
def test_unusable_rows_are_refused(spoil: Callable[..., tuple[Any, Any, Any, Any]]) -> None:
    """Too few blocks or rows, other lengths, and missing values are refused, each saying what was there."""
    y, first, second, day = spoil(*sample())
    with pytest.raises(InvalidInput, match="blocks"):
        paired(y, first, second, day, MAE)


def test_an_interval_survives_json_and_tells_its_numbers() -> None:
    """An interval through JSON equals itself; as text it shows estimate, bounds, rows and blocks."""
    y, weak, strong, day = sample()
    interval = paired(y, weak, strong, day, AUC)
    assert Interval.from_dict(json.loads(json.dumps(interval.to_dict()))) == interval
    assert str(Interval(0.1, 0.2, 0.3, 500, 14)) == "0.2000 [0.1000, 0.3000] on 500 rows of 14 blocks"
    with pytest.raises(InvalidInput, match="cannot be read"):
        Interval.from_dict({"low": 1.0})


@pytest.mark.parametrize(("low", "fallen"), [(0.006, True), (0.005, False), (-0.1, False), (float("nan"), False)])
def test_performance_has_fallen_when_the_baseline_is_surely_better(low: float, fallen: bool) -> None:
    """Only a lower bound above the margin is a fall, and the sentence has the numbers."""
    verdict = judge(Interval(low, 0.05, 0.1, 6500, 7), 0.005)
    assert verdict.fallen is fallen
    assert "0.0500" in verdict.sentence
    assert "6,500 rows" in verdict.sentence
    assert "surely more than 0.005" in verdict.sentence
    assert ("not surely" in verdict.sentence) is not fallen


@pytest.mark.parametrize("margin", [-0.1, float("nan")])
def test_a_margin_below_nothing_is_refused(margin: float) -> None:
    """A negative or NaN margin would call every model fallen, or none."""
    with pytest.raises(InvalidInput, match="margin"):
        judge(Interval(0.0, 0.0, 0.0, 100, 7), margin)


def rows(n: int = 600, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x, kind = rng.normal(size=n), rng.choice(["a", "b", "c"], n)
    value = x + 2 * (kind == "a") + rng.normal(size=n) * 0.3
    return pl.DataFrame({"x": x, "kind": kind, "flag": x > 1, "value": value, "late": value > 1}).with_columns(
        some=pl.when(pl.col("x") > 0).then("x"), none=pl.lit(None), text=pl.lit(None, dtype=pl.String)
    )


FEATURES = ["x", "kind", "flag", "some", "none", "text"]


def test_the_baseline_learns_a_classification() -> None:
    """Fitted on recent rows, it ranks the window's rows well, as probabilities, from numbers, categories and nulls."""
    window = rows(seed=1)
    predicted = baseline(rows(), window, FEATURES, "late", "classification")
    assert predicted.shape == (600,)
    assert ((predicted >= 0) & (predicted <= 1)).all()
    assert auc(window["late"].to_numpy(), predicted) > 0.95
    assert (predicted == baseline(rows(), window, FEATURES, "late", "classification")).all()


def test_the_baseline_learns_a_regression() -> None:
    """Fitted on recent rows, it predicts the window's values far better than their mean."""
    window = rows(seed=1)
    value = window["value"].to_numpy()
    predicted = baseline(rows(), window, FEATURES, "value", "regression")
    assert np.abs(predicted - value).mean() < 0.4 * np.abs(value - value.mean()).mean()


def test_the_baseline_never_sees_the_window_s_labels() -> None:
    """Changed or missing labels of the window change no prediction."""
    window = rows(seed=1)
    blind = baseline(rows(), window.drop("late", "value"), FEATURES, "late", "classification")
    assert (blind == baseline(rows(), window, FEATURES, "late", "classification")).all()


def test_the_baseline_takes_unseen_categories_nulls_and_many_of_them() -> None:
    """Unseen categories, enums, all-null columns and more categories than the learner's limit are ordinary input."""
    recent = rows().with_columns(many=pl.int_range(pl.len()).cast(pl.String))
    window = rows(seed=1).with_columns(
        kind=pl.lit("new").cast(pl.Categorical), x=pl.lit(None), many=pl.lit("9999"), some=pl.lit(float("nan"))
    )
    predicted = baseline(recent, window, [*FEATURES, "many"], "late", "classification")
    assert np.isfinite(predicted).all()


def test_a_baseline_without_anything_to_learn_from_is_the_share() -> None:
    """When every feature is empty in the recent rows, the baseline is the share of positives among them."""
    recent = rows().with_columns(x=pl.lit(float("nan")))
    predicted = baseline(recent, rows(seed=1), ["none", "text", "x"], "late", "classification")
    assert predicted.tolist() == [pytest.approx(recent["late"].mean())] * 600


def test_it_is_all_the_same_to_the_baseline_what_categories_are_called() -> None:
    """They are told apart and not put in an order: other names, the same predictions."""
    draw = np.random.default_rng(0)
    kind = np.repeat(np.arange(12), 50)
    value = draw.normal(size=12)[kind] + draw.normal(size=600) * 0.1
    predicted = []
    for names in ("abcdefghijkl", "gdkahlbjfice"):
        table = pl.DataFrame({"kind": [names[at] for at in kind], "value": value})
        predicted.append(baseline(table, table, ["kind"], "value", "regression"))
    assert predicted[0] == pytest.approx(predicted[1])


def test_the_commonest_two_hundred_categories_are_known_and_others_are_missing() -> None:
    """Of equally common ones those whose names come first."""
    many = pl.Series("kind", [f"{number:03}" for number in range(210)] + ["209"])
    past, now, categories = performance._coded(many, pl.Series(["209", "000", "198", "199", "new", None]))
    assert categories
    assert np.isfinite(past).sum() == 201
    assert now.tolist() == pytest.approx([0, 1, 199, math.nan, math.nan, math.nan], nan_ok=True)


def test_a_hundred_recent_rows_and_one_of_the_window_are_enough() -> None:
    """The least there may be."""
    assert baseline(rows(100), rows(1), FEATURES, "late", "classification").shape == (1,)
    with pytest.raises(InvalidInput, match="needs 100 rows"):
        baseline(rows(99), rows(1), FEATURES, "late", "classification")
    with pytest.raises(InvalidInput, match=r"with columns \[\]"):
        baseline(rows(100), rows(1), [], "late", "classification")


def test_a_number_that_is_no_class_is_a_label_of_a_regression_only() -> None:
    """Any finite one."""
    other = rows().with_columns(late=pl.col("value") * 10)
    assert np.isfinite(baseline(other, rows(), FEATURES, "late", "regression")).all()
    with pytest.raises(InvalidInput, match="classification takes 0 and 1"):
        baseline(other, rows(), FEATURES, "late", "classification")
    with pytest.raises(InvalidInput, match="regression takes finite numbers"):
        baseline(other.with_columns(late=math.inf), rows(), FEATURES, "late", "regression")


def test_one_class_in_the_recent_rows_is_that_class() -> None:
    """With nothing but one class to learn from, the baseline predicts that class for every row."""
    always = rows().with_columns(late=pl.lit(True))
    assert baseline(always, rows(seed=1), FEATURES, "late", "classification").tolist() == [1.0] * 600


@pytest.mark.parametrize(
    ("recent", "window", "label", "match"),
    [
        (rows(50), rows(), "late", "needs 100 rows"),
        (rows(), rows().clear(), "late", "needs 1 rows"),
        (rows().drop("x"), rows(), "late", r"without \['x'\]"),
        (rows(), rows().drop("x"), "late", r"without \['x'\]"),
        (rows().with_columns(late=pl.lit(None, dtype=pl.Boolean)), rows(), "late", "600 nulls"),
        (rows().with_columns(late=pl.int_range(pl.len()) % 3), rows(), "late", "0 and 1"),
        (rows(), rows(), "kind", "known label"),
        (rows(), rows().with_columns(x=pl.lit("text")), "late", "cannot use column 'x'"),
        (rows(), rows().with_columns(x=pl.lit(date(2024, 1, 1))), "late", "cannot use column 'x'"),
    ],
)
def test_the_unlearnable_is_refused(recent: pl.DataFrame, window: pl.DataFrame, label: str, match: str) -> None:
    """Too few rows, missing columns, unknown or unusable labels, and types that changed are refused by name."""
    with pytest.raises(InvalidInput, match=match):
        baseline(recent, window, FEATURES, label, "classification")


def test_under_a_mean_absolute_error_the_baseline_is_fitted_for_it() -> None:
    """On skewed labels a fit of squares loses to the constant median; one of absolute errors does not."""
    draw = np.random.default_rng(0)
    skewed = draw.lognormal(3.0, 1.5, 4000)
    rows = pl.DataFrame({"x": draw.normal(size=4000), "label": skewed})
    recent, window = rows.head(3000), rows.tail(1000)
    error = {
        name: float(
            np.abs(baseline(recent, window, ["x"], "label", "regression", metric) - window["label"].to_numpy()).mean()
        )
        for name, metric in (("squares", None), ("absolute", METRICS["mean_absolute_error"]))
    }
    assert error["absolute"] < error["squares"]


def test_each_member_of_a_slice_has_its_own_interval_and_a_small_one_none() -> None:
    """As ``single`` on its rows alone, at a level for several."""
    y, weak, _, day = sample()
    start = pl.datetime(2026, 1, 1, time_zone="UTC")
    rows = pl.DataFrame({"label": y.astype(float), "prediction": weak, "day": day}).select(
        "label", "prediction", event_time=start + pl.duration(days="day", hours=12),
        shop=pl.when(pl.int_range(pl.len()) % 40 < 20).then(pl.lit("a")).when(pl.col("day") < 1).then(pl.lit("c")).otherwise(pl.lit("b")),
    )  # fmt: skip
    found = by_member(rows, ["shop"], AUC)
    mine = rows.filter(shop="b")
    assert found.keys() == {"shop=a", "shop=b", "shop=c"}
    assert found["shop=b"] == single(mine["label"], mine["prediction"], mine["event_time"].dt.date(), AUC, level=0.99)
    assert found["shop=c"] is None  # of one day


def test_members_stand_in_the_order_in_which_they_come_first() -> None:
    """Of each slice, in the order of the slices."""
    names = [f"{number * 7 % 26:02}" for number in range(26)]
    rows = pl.DataFrame({"label": 1.0, "prediction": 1.0, "shop": names, "kind": names[::-1]}).with_columns(
        event_time=pl.datetime(2026, 1, 1, time_zone="UTC")
    )
    found = by_member(rows, ["shop", "kind"], MAE)
    assert list(found) == [*(f"shop={name}" for name in names), *(f"kind={name}" for name in names[::-1])]


def test_what_cannot_be_measured_is_none_and_says_why() -> None:
    """And the sentence names what there is."""
    said: list[str] = []
    assert attempted(lambda: single([1.0], [1.0], [1], MAE), said.append) is None
    assert said[0].startswith("Not measurable: ")
