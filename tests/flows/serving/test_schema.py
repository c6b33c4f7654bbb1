"""What may be sent, at the edges of every dtype; and that nothing but a refusal ever comes of nonsense."""

import contextlib
import json
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.serving.schema import Rejected, Schema, parsed
from tests.flows.serving.world import row

DTYPES = {
    "name": pl.String(), "flag": pl.Boolean(), "day": pl.Date(), "moment": pl.Datetime("us", "UTC"),
    "small": pl.Int8(), "large": pl.Int64(), "single": pl.Float32(), "double": pl.Float64(),
}  # fmt: skip
SCHEMA = Schema(
    {
        "request": {name: str(dtype) for name, dtype in DTYPES.items()}, "outcome": {"late": "Boolean"}, "key": ["name"],
        "features": [{"group": "sky", "features": ["clouds"], "keys": {}, "prefix": "x_"}],
    }
)  # fmt: skip
GOOD = {
    "name": "a", "flag": True, "day": "2013-04-01", "moment": "2013-04-01T10:15:00.5-04:00",
    "small": -128, "large": 2**63 - 1, "single": 1, "double": 1e308,
}  # fmt: skip


def checked(**changed):
    (found,) = SCHEMA.asked(parsed(json.dumps({"row": GOOD | changed}).encode())).rows
    return found


def test_values_come_out_in_their_dtypes_and_times_in_utc():
    found = checked()
    assert found["moment"] == datetime(2013, 4, 1, 14, 15, 0, 500_000, tzinfo=UTC)
    assert found["day"] == date(2013, 4, 1)
    assert pl.DataFrame([found], schema=DTYPES).row(0, named=True)["small"] == -128
    assert type(found["single"]) is float


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"name"}))
def test_any_field_but_the_key_may_be_unknown(name):
    assert checked(**{name: None})[name] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("small", 128), ("small", -129), ("large", 2**63), ("large", -(2**63) - 1), ("large", 1.5), ("large", 1e30),
        ("large", False), ("single", 1e39), ("double", "1"), ("double", True), ("double", 10**400), ("flag", 1), ("flag", "true"),
        ("day", "2013-04-01T00:00:00"), ("day", 20130401), ("moment", 1364811300), ("moment", "2013-04-01"),
        ("moment", "9999-12-31T23:59:59Z"), ("name", 1), ("name", {}),
    ],
)  # fmt: skip
def test_a_value_outside_its_dtype_is_refused_by_name(name, value):
    with pytest.raises(Rejected) as refused:
        checked(**{name: value})
    assert refused.value.status in (400, 422)
    assert refused.value.status == 400 or refused.value.problems[0][0] == f"row.{name}"


def test_a_whole_number_may_be_written_with_a_point():
    assert checked(large=3.0)["large"] == 3


def test_only_the_first_problems_are_told():
    with pytest.raises(Rejected, match=r"and \d+ more") as refused:
        SCHEMA.asked({"rows": [row()] * 500})
    assert len(refused.value.problems) == 20


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(list(GOOD.values()))
)
NAMES = st.sampled_from(["rows", "row", "dry_run", "outcomes", "prediction_id", "features", "late", "x_clouds", *GOOD])
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6)
)


@settings(max_examples=300, deadline=None)
@given(tree=TREES)
def test_any_json_is_taken_or_refused_and_nothing_else(tree):
    for body in (tree, {"rows": [tree]}, {"row": GOOD | {"features": tree}}, {"outcomes": [tree]}):
        with contextlib.suppress(Rejected):
            found = parsed(json.dumps(body).encode())
            SCHEMA.asked(found) if "outcomes" not in found else SCHEMA.told(found)


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=60) | st.text(alphabet='{}[]",:1eE+-. \\u', max_size=40).map(str.encode))
def test_any_bytes_are_taken_or_refused_and_nothing_else(body):
    with contextlib.suppress(Rejected):
        assert isinstance(parsed(body), dict)
