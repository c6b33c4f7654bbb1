"""A pipeline served in this process: production's parts, a model read back from its bytes, a store that stands still."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from flows.building import artifact
from flows.building.fit import matrix, predict
from flows.checks import served
from flows.checks.road import PRODUCTION, Road
from flows.serving.predict import Predictor
from flows.serving.schema import Rejected, Schema
from tests.flows.checks import shop


@pytest.fixture
def newest(clean):
    """The newest question, its row of the world, and a service that stands at it."""
    rows = shop.dataset(clean.read(), clean.window).join(
        clean.rows.select("order_id", "event_time").tail(1), on="order_id"
    )
    service, store = served.served(clean)
    service.stand(rows["event_time"].item())
    return service, store, rows, clean.rows.tail(1)


def test_the_road_is_what_production_is_made_of():
    assert Road() == PRODUCTION
    assert (PRODUCTION.schema, PRODUCTION.predictor, PRODUCTION.load) == (Schema, Predictor, artifact.loads)


def test_a_request_is_answered_as_the_row_is_predicted(clean, newest):
    service, _, rows, row = newest
    found = service.answer(served.body(served.requests(clean, rows)))

    assert found.predictions == pytest.approx(predict(clean.pipeline, clean.trained.model, matrix(clean.pipeline, row)))
    assert found.served[0]["mood_mean_1d"] == row["mood_mean_1d"].item()


def test_what_cannot_be_used_is_refused_as_the_service_does(clean, newest):
    service, _, rows, _ = newest
    sent = served.requests(clean, rows)[0]

    for wrong in (
        {**sent, "size": "big"},
        {**sent, "size": None},
        {name: sent[name] for name in sent if name != "due"},
    ):
        with pytest.raises(Rejected):
            service.answer(served.body([wrong]))


def test_its_store_is_its_own_and_goes_with_its_holder(clean):
    service, store = served.served(clean)
    service.stand(clean.window.end)
    path = service.root.path

    assert (path / "online" / "mood").is_dir()
    assert not list((clean.scratch.root.path / "online").glob("*"))
    del store
    assert not path.exists()


def test_a_part_of_the_road_can_be_another(clean):
    load = lambda data, **_: "another"  # noqa: E731
    service, _store = served.served(clean.but(road=dataclasses.replace(clean.road, load=load)))

    assert service.model == "another"


def test_instants_are_when_facts_have_happened_and_are_known(clean):
    times = served.effective(clean)

    assert times.is_sorted()
    sales = clean.facts["sales"].select(pl.max_horizontal("event_time", "known_time")).to_series()
    assert np.isin(sales.to_physical().to_numpy(), times.to_physical().to_numpy()).all()
    assert served.effective(clean.planted(dataclasses.replace(shop.PIPELINE, features=()))).is_empty()


def test_nan_is_sent_as_null_and_times_with_their_zone(clean):
    rows = pl.DataFrame(
        {"order_id": ["a"], "shop": ["amber"], "size": [float("nan")], "due": [shop.START]},
        schema=clean.pipeline.serving.request,
    )

    assert served.requests(clean, rows) == [
        {"order_id": "a", "shop": "amber", "size": None, "due": "2024-03-01T00:00:00+00:00"}
    ]
