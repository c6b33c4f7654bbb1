"""The road from row to prediction: what a pipeline's own `prepare` makes of rows, if it is not what was declared."""

import pytest

from flows.serving import app
from flows.serving.schema import Rejected
from flows.serving.service import Service
from tests.flows.serving.conftest import Client
from tests.flows.serving.world import SOURCE, row

PREPARED = 'hour.alias("hour"))'
"""The end of what ``prepare`` returns."""


def answered(world, prepared, *rows):
    """The answer of a package whose ``prepare`` ends otherwise."""
    assert PREPARED in SOURCE
    package = world.publish(code=SOURCE.replace(PREPARED, PREPARED + prepared))
    world.promote(package)
    service = Service(world.root, world.contract(package), package, "production")
    try:
        service.watch.look()
        return Client(app.create(service)).predict(*rows)
    finally:
        service.stop()


def told(answer):
    assert answer.status_code == 422
    (field,) = answer.json()["error"]["fields"]
    return field["field"], field["problem"]


def test_inputs_that_prepare_does_not_make_are_named(world):
    """Of rows that are unlike the examples: the caller is told, and gets no prediction."""
    forgets = '.pipe(lambda made: made.drop("hour", "event_time") if made["miles"].max() > 500 else made)'
    answer = answered(world, forgets, row(), row(miles=501))
    assert told(answer) == ("rows", "cannot be answered: `prepare` makes no event_time, hour")


@pytest.mark.parametrize(
    "prepared",
    ['.filter(pl.col("miles") <= 500)', '.sort("miles", descending=True)'],
    ids=["drops one", "another order"],
)
def test_rows_that_prepare_does_not_keep_are_not_answered_under_another_rows_name(world, prepared):
    """One row fewer, or the same in another order: no prediction could be told whose it is."""
    answer = answered(world, prepared, row(1), row(2, miles=501))
    assert told(answer) == ("rows", "cannot be answered: `prepare` does not keep them one by one, in order")


def test_a_package_whose_prepare_cannot_answer_its_own_examples_is_not_served(world):
    """Said before the first request."""
    with pytest.raises(Rejected, match="`prepare` makes no hour"):
        answered(world, '.drop("hour")', row())
