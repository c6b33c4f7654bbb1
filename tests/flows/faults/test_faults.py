"""Every fault, planted in a clean pipeline of either kind."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from flows.building import tune
from flows.building.fit import matrix, predict
from flows.checks import proving
from flows.checks.catalog import CHECKS
from flows.checks.check import Check, Finding, Verdict
from flows.checks.crew import Crew
from flows.faults.catalog import FAULTS
from flows.faults.fault import Fault
from flows.pipeline import TIME, Search, Serving
from tests.flows.checks import shop
from tests.soak import takes_minutes

CHECK_OF = {check.code: check for check in CHECKS}
FAULT_OF = {fault.code: fault for fault in FAULTS}
NOT_FOR_LATE = {
    "F30": "Does not apply: shop_late declares no independent unit.",
    "F65": "Does not apply: shop_late gives its model no weights.",
}
NOT_FOR_MINUTES = {
    "F11": "Does not apply: shop_minutes has no classes.",
    "F12": "Does not apply: shop_minutes has no slice of several members.",
    "F13": "Does not apply: shop_minutes declares no slices.",
    "F30": "Does not apply: shop_minutes declares no independent unit.",
    "F65": "Does not apply: shop_minutes gives its model no weights.",
}


def _planted(world, fault: Fault) -> proving.Killed:
    return proving.planted(world, fault, CHECK_OF[fault.check])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_its_check_kills_it_in_a_classification_with_numbers_or_it_says_why_it_does_not_apply(clean, fault):
    found = _planted(clean, fault)

    if fault.code in NOT_FOR_LATE:
        assert (found.killed, found.sentence) == (None, NOT_FOR_LATE[fault.code])
    else:
        assert found.killed, found.sentence
        assert "raised" not in found.sentence
        assert max(found.numbers.values()) > 0


@takes_minutes
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_its_check_kills_it_in_a_regression_or_it_says_why_it_does_not_apply(minutes, fault):
    """`make power` holds this for many regressions (docs/power.md)."""
    found = _planted(minutes, fault)

    if fault.code in NOT_FOR_MINUTES:
        assert (found.killed, found.sentence) == (None, NOT_FOR_MINUTES[fault.code])
    else:
        assert found.killed, found.sentence
        assert "raised" not in found.sentence


def test_codes_are_unique_and_every_check_named_exists():
    assert len(FAULT_OF) == len(FAULTS)
    assert {fault.check for fault in FAULTS} <= set(CHECK_OF)


def test_a_scaler_on_all_rows_leaves_the_score_as_it_was(clean):
    scores = []
    for world in (clean, FAULT_OF["F05"].plant(clean)):
        test = world.trained.test.filter(pl.col("label").is_not_null())
        predictions = predict(world.pipeline, world.trained.model, matrix(world.pipeline, test))
        scores.append(world.pipeline.metric.compute(test["label"].to_numpy(), predictions))

    assert scores[0] == pytest.approx(scores[1], abs=0.005)


def test_units_on_both_sides_are_planted_where_a_unit_is_declared_and_recurs(clean):
    def by_shop(rows):
        return rows["shop"].replace_strict({"amber": "train", "birch": "validation", "cedar": "test"})

    units = clean.planted(dataclasses.replace(shop.PIPELINE, split=by_shop, independent_unit="shop"))

    assert _planted(units, FAULT_OF["F30"]).numbers["units_shared"] == 1
    assert _planted(units, FAULT_OF["F28"]).numbers["units_shared"] == 3


@pytest.mark.parametrize(
    ("code", "components", "why"),
    [
        ("F02", {"features": ()}, "shop_late uses no features."),
        ("F03", {"inputs": ("shop",)}, "shop_late's dataset gives no numeric input."),
        ("F04", {"inputs": ("shop",)}, "shop_late has no numeric input."),
        ("F13", {"slices": ()}, "shop_late declares no slices."),
        ("F14", {"inputs": ("shop",)}, "shop_late's dataset gives no numeric input."),
        ("F15", {"inputs": ()}, "shop_late has no input that is a number or text."),
        ("F16", {"features": ()}, "shop_late uses no features."),
        ("F28", {"independent_unit": "order_id"}, "shop_late declares every row independent of the others."),
        ("F30", {"independent_unit": "order_id"}, "shop_late declares every row independent of the others."),
        (
            "F31",
            {"serving": Serving({"due": TIME}, {}, ("due",))},
            "the key of shop_late is neither text nor a number.",
        ),
        ("F33", {"inputs": ("shop",)}, "shop_late has no numeric input."),
    ],
)
def test_where_it_cannot_be_planted_it_says_why(clean, code, components, why):
    assert FAULT_OF[code].excuse(clean.planted(dataclasses.replace(shop.PIPELINE, **components))) == why


def test_the_hardest_rows_are_left_out_where_the_model_is_wrong_about_many_of_them_alike(clean):
    """A tree says 0 or 1: the tenth of the rows is not told by how wrong it is."""
    tree = dataclasses.replace(
        shop.PIPELINE,
        estimator=lambda parameters: shop.prepared(DecisionTreeClassifier(random_state=0)),
        search=Search(),
    )

    assert _planted(clean.planted(tree), FAULT_OF["F09"]).killed


def test_scaling_on_all_rows_is_left_to_others_where_the_split_is_not_by_time(clean):
    """K04 rewrites the source only where all that is fitted is older than the test rows."""
    turns = dataclasses.replace(
        shop.PIPELINE, independent_unit="order_id",
        split=lambda rows: (rows["order_id"].hash() % 3).replace_strict({0: "train", 1: "validation", 2: "test"}),
    )  # fmt: skip

    assert FAULT_OF["F04"].excuse(clean.planted(turns)) == (
        "shop_late is not split by time: what looked at all rows is for K02 and K08 to see."
    )


def test_without_a_derived_group_no_late_row_can_be_let_through(clean):
    bare = dataclasses.replace(clean, catalog=dataclasses.replace(clean.catalog, derived={}))

    for code in ("F01", "F17", "F18", "F26"):
        assert FAULT_OF[code].excuse(bare) == "shop_late uses no derived group."


def test_where_facts_become_known_with_a_day_the_day_is_no_fault(clean):
    """Only dates: nothing is asked between a day's beginning and what became known on it."""
    daily = clean.rewritten(
        lambda group, rows: rows.with_columns(pl.col("known_time").dt.truncate("1d") + timedelta(days=1))
    )

    assert FAULT_OF["F16"].excuse(clean) is None
    assert FAULT_OF["F16"].excuse(daily) == (
        "no question of shop_late falls between the beginning of a day and a fact's known_time."
    )


def test_what_is_read_from_nowhere_has_no_schema_to_break(clean):
    for code in ("F20", "F21", "F23"):
        assert FAULT_OF[code].excuse(dataclasses.replace(clean, asked=frozenset())) == (
            "the dataset of shop_late reads no facts."
        )
    named = clean.planted(dataclasses.replace(shop.PIPELINE, inputs=("shop",), dataset=_without_numbers))
    assert FAULT_OF["F22"].excuse(named) == "no number of its source may be null in shop_late, or reaches its rows."


def _without_numbers(read, window):
    return shop.dataset(read, window).with_columns(pl.col("shop").str.len_chars().cast(pl.Float64).alias("label"))


def test_the_mean_of_all_labels_goes_into_a_text_where_there_is_no_number(clean):
    named = clean.planted(dataclasses.replace(shop.PIPELINE, inputs=("shop",)))

    assert _planted(named, FAULT_OF["F15"]).killed


def test_labels_that_are_known_with_their_question_cannot_be_said_to_be_known_too_early(clean):
    named = clean.planted(dataclasses.replace(shop.PIPELINE, dataset=_without_numbers))

    assert FAULT_OF["F29"].excuse(named) == "no label of shop_late is decided after its question."


def test_a_metric_that_is_round_already_cannot_be_rounded(clean):
    constant = dataclasses.replace(shop.PIPELINE, estimator=lambda parameters: DummyClassifier(), search=Search())

    assert FAULT_OF["F08"].excuse(clean.planted(constant)) == "its roc_auc is 0.5 already."


def test_nothing_is_planted_where_the_check_fails_on_the_clean_twin(clean, tmp_path):
    failed, told = Finding("K11", "report", Verdict.FAIL, {}, 0.0, "It lies.", 0.0), []
    with Crew(clean, tmp_path, workers=1) as crew:
        found = proving.killed(crew, [failed], proving.planting(["F10", "F11"], [CHECK_OF["K11"]]), told.append)

    assert found == told
    assert {fault.killed for fault in found} == {None}
    assert found[0].sentence == "Not planted: K11 is FAIL on the pipeline itself."


def test_a_fault_that_its_check_does_not_notice_is_said_to_be_alive(clean):
    harmless = Fault("F99", "nothing at all", "K11", lambda world: world)

    assert proving.planted(clean, harmless, Check("K11", "report", CHECK_OF["K11"].look)).killed is False


@pytest.mark.parametrize("code", ["F36", "F37"])
def test_noise_by_content_is_no_leak_where_contents_recur(clean, code):
    """A single category: what is learned of a content holds for the next row that has it."""
    few = dataclasses.replace(shop.PIPELINE, inputs=("shop",), features=())

    assert FAULT_OF[code].excuse(clean) is None
    assert FAULT_OF[code].excuse(clean.planted(few)) == (
        "100% of the evaluation rows of shop_late have their like among the others."
    )


def test_a_search_that_makes_its_own_folds_cares_for_no_part(clean):
    """In order of time, of training and validation rows together: whichever it is given first."""

    def folded(pipeline, train, validation):
        rows = pl.concat([train, validation]).filter(pl.col("label").is_not_null()).sort("event_time")
        earlier, later = rows.head(rows.height * 2 // 3), rows.tail(rows.height // 3)
        return tune.tune(pipeline, earlier, later)

    world = clean.planted(dataclasses.replace(shop.PIPELINE, tune=folded))

    for code in ("F45", "F46"):
        assert FAULT_OF[code].excuse(clean) is None
        assert FAULT_OF[code].excuse(world) == "the search of shop_late makes folds of its own."
