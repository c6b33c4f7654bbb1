"""The challenger must surely be better; whatever cannot be measured keeps the champion."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any, Literal

import numpy as np
import pytest

from flows.deciding.performance import Interval
from flows.deciding.promotion import Pair, Promotion, decide
from store.errors import InvalidInput


@dataclass(frozen=True)
class Metric:
    name: str
    better: Literal["higher", "lower"]
    compute: Callable[[np.ndarray, np.ndarray], float] = lambda y, p: 0.0


AUC, ERROR = Metric("roc_auc", "higher"), Metric("mae", "lower")
IDS = list(range(6500))
NAN = float("nan")


def around(estimate: float, half: float = 0.01) -> Interval:
    return Interval(estimate - half, estimate, estimate + half, 6500, 7)


def decided(**given: Any) -> Promotion:
    """The decision for a challenger that wins, but for what is given."""
    wins = {"metric": AUC, "challenger": around(0.75), "difference": around(0.03), "margin": 0.005, "floor": 0.65}
    return decide(**{**wins, "challenger_ids": IDS, "champion_ids": IDS, "minimum_rows": 500, **given})


def test_a_surely_better_challenger_is_promoted_with_its_numbers() -> None:
    """Every guard passed: promoted, with a sentence for each that has its numbers."""
    assert decided() == Promotion(
        "promoted",
        (
            "6,500 rows were compared; at least 500 are needed.",
            "The challenger's roc_auc is 0.7500 [0.7400, 0.7600] on 6,500 rows of 7 blocks; "
            "it reaches the floor of 0.65.",
            "In roc_auc the challenger is better by 0.0300 [0.0200, 0.0400] on 6,500 rows of 7 blocks: "
            "the lower bound is above 0.005.",
        ),
    )


@pytest.mark.parametrize("low", [0.005, 0.0, -0.02])
def test_not_surely_better_keeps_the_champion(low: float) -> None:
    """A lower bound at or under the margin keeps the champion, however good the estimate."""
    kept = decided(difference=Interval(low, 0.2, 0.4, 6500, 7))
    assert kept.outcome == "kept"
    assert kept.reasons[0].endswith("the lower bound is not above 0.005.")


@pytest.mark.parametrize(
    "spoil",
    [
        {"difference": None},
        {"difference": replace(around(0.03), low=NAN)},
        {"difference": replace(around(0.03), estimate=NAN)},
        {"challenger": None},
        {"challenger": around(NAN)},
        {"challenger": None, "floor": None},
        {"slices": {"EWR": None}},
        {"slices": {"EWR": Pair(None, 0.9)}},
        {"slices": {"EWR": Pair(0.7, NAN)}},
        {"slices": {"EWR": around(NAN)}},
    ],
)
def test_what_cannot_be_measured_keeps_the_champion(spoil: dict[str, Any]) -> None:
    """A missing or NaN metric, difference or slice never passes, and is told first."""
    kept = decided(**spoil)
    assert kept.outcome == "kept"
    assert "could not be measured" in kept.reasons[0]


def test_too_few_rows_keep_the_champion() -> None:
    """Fewer rows than the minimum prove nothing."""
    kept = decided(challenger_ids=IDS[:499], champion_ids=IDS[:499])
    assert kept.outcome == "kept"
    assert kept.reasons[0] == "499 rows were compared; at least 500 are needed."
    assert decided(challenger_ids=IDS[:500], champion_ids=IDS[:500]).outcome == "promoted"


@pytest.mark.parametrize(
    ("metric", "value", "outcome"),
    [
        (AUC, 0.65, "promoted"),
        (AUC, 0.64, "kept"),
        (ERROR, 0.65, "promoted"),
        (ERROR, 0.66, "kept"),
    ],
)
def test_the_floor_is_in_the_metric_s_direction(metric: Metric, value: float, outcome: str) -> None:
    """The challenger's estimate must be at least as good as the floor: higher for AUC, lower for an error."""
    decision = decided(metric=metric, challenger=around(value))
    assert decision.outcome == outcome
    assert any("the floor of 0.65" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("metric", "pair", "outcome"),
    [
        (AUC, Pair(0.70, 0.69), "promoted"),
        (AUC, Pair(0.70, 0.67), "kept"),
        (ERROR, Pair(0.70, 0.67), "promoted"),
        (ERROR, Pair(0.70, 0.73), "kept"),
        (AUC, around(-0.01, half=0.2), "promoted"),
        (AUC, around(-0.03, half=0.2), "kept"),
        (ERROR, around(-0.03, half=0.2), "kept"),
    ],
)
def test_a_protected_slice_must_not_get_worse(metric: Metric, pair: Pair | Interval, outcome: str) -> None:
    """A slice worse by more than the tolerance keeps the champion, in the metric's direction; an interval is signed."""
    decision = decided(metric=metric, floor=None, slices={"JFK": around(0.01), "EWR": pair}, tolerance=0.02)
    assert decision.outcome == outcome
    told = next(reason for reason in decision.reasons if "slice EWR" in reason)
    assert ("tolerance of 0.02" in told) == (" -0.0" in told or "worse" in told)
    assert outcome == "promoted" or "slice EWR" in decision.reasons[0]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Pair(0.70, 0.71), "better by 0.0100."),
        (Pair(0.70, 0.70), "better by 0.0000."),
        (around(0.01), "better by 0.0100 [0.0000, 0.0200] on 6,500 rows of 7 blocks."),
        (Pair(0.70, 0.69), "worse by 0.0100: within the tolerance of 0.02."),
        (Pair(0.70, 0.67), "worse by 0.0300: more than the tolerance of 0.02."),
        (around(-0.01), "better by -0.0100 [-0.0200, 0.0000] on 6,500 rows of 7 blocks: within the tolerance of 0.02."),
        (
            around(-0.03),
            "better by -0.0300 [-0.0400, -0.0200] on 6,500 rows of 7 blocks: more than the tolerance of 0.02.",
        ),
    ],
)
def test_a_slice_is_told_with_its_number_and_direction(found: Pair | Interval, told: str) -> None:
    """Better or worse by how much, an interval with its bounds, and on which side of the tolerance."""
    decision = decided(slices={"EWR": found}, tolerance=0.02)
    assert f"On slice EWR the challenger is {told}" in decision.reasons


def test_a_slice_worse_by_the_tolerance_itself_is_within_it() -> None:
    """It may be worse by at most the tolerance."""
    assert decided(slices={"EWR": Pair(0.75, 0.5)}, tolerance=0.25).outcome == "promoted"


def test_without_limits_any_sure_gain_on_any_row_will_do_and_no_slice_may_lose() -> None:
    """What a pipeline does not say is 0, and one row."""
    asked: dict[str, Any] = {"metric": AUC, "challenger": around(0.75), "challenger_ids": [1], "champion_ids": [1]}
    better, equal = Interval(0.001, 0.002, 0.003, 1, 1), Interval(0.0, 0.002, 0.003, 1, 1)
    assert decide(**asked, difference=better, slices={"EWR": Pair(0.7, 0.7)}).outcome == "promoted"
    assert decide(**asked, difference=equal).outcome == "kept"
    losing = decide(**asked, difference=better, slices={"EWR": Pair(0.7, 0.699)})
    assert losing.refusals == ("On slice EWR the challenger is worse by 0.0010: more than the tolerance of 0.",)
    assert decide(**asked | {"challenger_ids": [], "champion_ids": []}, difference=better).outcome == "kept"


def test_a_decision_and_what_it_is_made_of_cannot_be_changed() -> None:
    """Nobody turns kept into promoted afterwards."""
    for made, name in ((decided(), "outcome"), (Pair(0.7, 0.6), "challenger")):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, "promoted")


def test_all_that_failed_is_told() -> None:
    """Each failed guard has its sentence, before those that passed."""
    kept = decided(challenger=around(0.5), difference=around(-0.2), slices={"EWR": Pair(0.9, 0.1)})
    assert [reason.split(" is")[0] for reason in kept.reasons] == [
        "The challenger's roc_auc",
        "In roc_auc the challenger",
        "On slice EWR the challenger",
        "6,500 rows were compared; at least 500 are needed.",
    ]


def test_a_first_champion_needs_the_floor_and_enough_rows_only() -> None:
    """Without a champion there is nothing to beat: floor and rows decide."""
    first = {"champion_ids": None, "difference": None}
    assert decided(**first).outcome == "promoted"
    assert decided(**first).reasons[-1] == "There is no champion yet."
    assert decided(**first, floor=None).outcome == "promoted"
    assert decided(**first, challenger=around(0.6)).outcome == "kept"
    assert decided(**first, challenger=None).outcome == "kept"
    assert decided(**first, challenger_ids=IDS[:10]).outcome == "kept"


@pytest.mark.parametrize(
    ("others", "common"), [(IDS[1:], 6499), (IDS[::-1], 6500), ([-1, *IDS[1:]], 6499), ([-1, -2, 0], 1), ([], 0)]
)
def test_other_rows_are_refused(others: list[int], common: int) -> None:
    """Missing, reordered or exchanged rows make the comparison meaningless, so it is refused, and how many are common is said."""
    with pytest.raises(InvalidInput, match="same rows, in the same order") as refusal:
        decided(champion_ids=others)
    told = f"The challenger has 6500 rows (6500 ids), the champion {len(others)}; {common} ids are common."
    assert told in str(refusal.value)


def test_a_row_counted_twice_is_refused() -> None:
    """An id that occurs twice counts its row twice, even without a champion."""
    with pytest.raises(InvalidInput, match="each once"):
        decided(challenger_ids=[0, *IDS], champion_ids=None)


@pytest.mark.parametrize("limit", ["margin", "tolerance", "floor"])
def test_a_limit_that_is_no_number_is_refused(limit: str) -> None:
    """A NaN margin, tolerance or floor would keep every champion silently."""
    with pytest.raises(InvalidInput, match="must be numbers"):
        decided(**{limit: NAN})


@pytest.mark.parametrize("champion_ids", [IDS, None])
@pytest.mark.parametrize(("metric", "good", "bad"), [(AUC, 0.75, 0.55), (ERROR, 20.0, 40.0)])
def test_no_member_of_a_slice_may_surely_miss_the_floor_for_slices_with_a_champion_or_without(
    champion_ids: list[int] | None, metric: Metric, good: float, bad: float
) -> None:
    floor = 0.65 if metric is AUC else 30.0
    members = {
        "shop=a": around(good),
        "shop=b": around(bad),
        "shop=c": around(bad, abs(bad - floor) * 1.01),
        "shop=d": None,
    }
    asked = {"metric": metric, "challenger": around(good), "floor": floor, "slice_floor": floor}
    found = decided(**asked, members=members, champion_ids=champion_ids)
    assert (found.outcome, len(found.refusals)) == ("kept", 1)
    assert found.refusals[0].startswith("On slice shop=b ")
    assert "surely worse than the floor" in found.refusals[0]
    del members["shop=b"]
    assert decided(**asked, members=members, champion_ids=champion_ids).refusals == ()
