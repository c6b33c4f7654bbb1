"""A training starts from a due in the ledger, ends it, and decides who serves."""

import pytest

from flows import train
from store import ledger
from store.errors import AssayError, NotFound
from store.features import snapshot
from store.registry import dues, models, packages
from tests.worlds import NOW


def opened(root, pipeline="arrival_minutes"):
    """A due as the monitor opens it."""
    champion = models.champion(root, pipeline, "production")
    return dues.open_due(
        root, "d" * 64, pipeline=pipeline, environment="production", kinds=["drift"], reasons=["a test says so"],
        window_end=NOW, champion=champion.digest, actor="test", now=NOW,
    )  # fmt: skip


def test_the_first_model_reaches_its_floor_and_becomes_champion(delivered):
    """After delivery and one training, production has a champion with its whole lineage."""
    champion = models.champion(delivered, "arrival_minutes", "production")
    assert champion is not None
    assert champion.body.package == packages.deployed(delivered, "arrival_minutes", "production").digest
    assert snapshot.rebuild(delivered, champion.body.snapshot).height > champion.body.rows
    assert champion.body.low <= champion.body.value <= champion.body.high


def test_a_due_is_claimed_worked_for_and_closed_with_a_reasoned_decision(delivered_copy):
    """The same data gives no better challenger: the champion is kept, and the due says why."""
    due = opened(delivered_copy)
    before = models.champion(delivered_copy, "arrival_minutes", "production")
    found = train.run(delivered_copy, "arrival_minutes", due=due.id)
    closed = dues.get(delivered_copy, due.id)
    assert (found.outcome, closed.state, closed.closed.body.outcome) == ("kept", "closed", "kept")
    assert "rows" in closed.closed.reason
    assert models.champion(delivered_copy, "arrival_minutes", "production") == before
    judged = ledger.find(delivered_copy, action="model.judged")[-1].body
    assert judged.difference == 0


def test_a_repeated_or_forged_event_trains_nothing(delivered_copy):
    """A due that is closed, or that nobody opened, is no work; the ledger does not grow."""
    due = opened(delivered_copy)
    dues.claim(delivered_copy, due.id, run="another run", actor="test", by="automation", now=NOW)
    head = ledger.head(delivered_copy)
    assert train.run(delivered_copy, "arrival_minutes", due=due.id).outcome == "nothing"
    assert train.run(delivered_copy, "arrival_minutes", due="f" * 64).outcome == "nothing"
    assert ledger.head(delivered_copy) == head


def test_a_training_that_fails_closes_its_due_with_the_reason(delivered_copy, monkeypatch):
    """Nothing stays claimed for ever, and the champion goes on."""
    due = opened(delivered_copy)
    monkeypatch.setattr(train.runner, "run", _fails)
    with pytest.raises(AssayError, match="out of luck"):
        train.run(delivered_copy, "arrival_minutes", due=due.id)
    closed = dues.get(delivered_copy, due.id).closed
    assert (closed.body.outcome, closed.body.sentence) == ("failed", "out of luck")


def _fails(*_: object, **__: object) -> None:
    raise AssayError("out of luck")


def test_what_was_never_delivered_cannot_be_trained(root):
    """The error says what to run first."""
    with pytest.raises(NotFound, match="assay integrate nothing"):
        train.run(root, "nothing")
