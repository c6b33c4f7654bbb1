"""A training starts from a due in the ledger, ends it, and decides who serves."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from flows import train
from store import ledger
from store.errors import AssayError, Conflict, NotFound
from store.features import snapshot
from store.registry import dues, models, packages
from tests.worlds import CLAIMS, NOW


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


def test_a_dry_run_tells_the_first_row_and_writes_nothing(delivered_copy):
    """By hand it would open a due; while one waits it would claim that one; while a living run has it, it is refused."""
    root = delivered_copy
    head = ledger.head(root)
    by_hand = train.would(root, "arrival_minutes", reason="to see")
    assert (by_hand.seq, by_hand.action, by_hand.body.kinds) == (head + 1, "due.opened", ["by_hand"])
    assert "to see" in by_hand.reason
    assert ledger.head(root) == head
    due = opened(root)
    claim = train.would(root, "arrival_minutes")
    assert (claim.seq, claim.action, claim.digest) == (head + 2, "due.claimed", due.id)
    assert ledger.head(root) == head + 1
    dues.claim(root, due.id, run="another run", actor="test", by="automation", now=NOW)
    for asked in (None, due.id):
        with pytest.raises(Conflict):
            train.would(root, "arrival_minutes", due=asked)


def test_by_hand_nothing_begins_while_a_living_run_has_the_due(delivered_copy):
    """Somebody's own word opens no second one beside it: which one it is, and what can be done."""
    due = opened(delivered_copy)
    dues.claim(delivered_copy, due.id, run="another run", actor="test", by="automation", now=NOW)
    head = ledger.head(delivered_copy)
    with pytest.raises(Conflict) as refused:
        train.run(delivered_copy, "arrival_minutes", reason="impatience")
    assert refused.value.asked == "arrival_minutes cannot be retrained by hand now."
    assert due.id[:8] in refused.value.exists
    assert refused.value.remedy == "Train that due (`--due`), or wait for its end."
    assert ledger.head(delivered_copy) == head


def test_a_repeated_or_forged_event_trains_nothing(delivered_copy):
    """A due that a living run has, that is closed, or that nobody opened, is no work; the ledger does not grow."""
    due = opened(delivered_copy)
    dues.claim(delivered_copy, due.id, run="another run", actor="test", by="automation", now=NOW)
    head = ledger.head(delivered_copy)
    assert train.run(delivered_copy, "arrival_minutes", due=due.id).outcome == "nothing"
    assert train.run(delivered_copy, "arrival_minutes", due="f" * 64).outcome == "nothing"
    assert ledger.head(delivered_copy) == head
    ending = {"outcome": "kept", "model": None, "sentence": "", "by": "automation", "actor": "test", "now": NOW}
    dues.close(delivered_copy, due.id, run="another run", **ending)
    assert train.run(delivered_copy, "arrival_minutes", due=due.id).outcome == "nothing"
    assert ledger.head(delivered_copy) == head + 1


def test_a_training_that_fails_closes_its_due_with_the_reason(delivered_copy, monkeypatch):
    """Nothing stays claimed for ever, and the champion goes on."""
    due = opened(delivered_copy)
    monkeypatch.setattr(train.runner, "run", _fails)
    with pytest.raises(AssayError, match="out of luck"):
        train.run(delivered_copy, "arrival_minutes", due=due.id)
    closed = dues.get(delivered_copy, due.id).closed
    assert (closed.body.outcome, closed.body.sentence) == ("failed", "out of luck")


def test_a_training_killed_at_any_step_is_completed_by_the_next_run(delivered_copy):
    """The due of the killed run is taken over, not opened again: one due, one end, and no child left to write."""
    root = delivered_copy
    before = len(dues.listed(root, "arrival_minutes"))
    champion = models.champion(root, "arrival_minutes", "production")
    for action in ("due.opened", "due.claimed", "model.judged"):
        killed_at(root, action)
    found = train.run(root, "arrival_minutes", reason="the next one")
    assert found.outcome == "kept"
    (due,) = dues.listed(root, "arrival_minutes")[before:]
    assert (due.id, due.state, due.closed.body.outcome) == (found.due, "closed", "kept")
    assert models.champion(root, "arrival_minutes", "production") == champion
    assert len([row for row in ledger.find(root, action="due.closed") if row.digest == due.id]) == 1
    assert ledger.verify(root) == ledger.head(root)


def killed_at(root, action):
    """A training in a process of its own, killed as soon as its row of this action is there."""
    known = len(ledger.find(root, action=action))
    command = [sys.executable, "-m", "console.cli", "train", "arrival_minutes", "--reason", "to be killed"]
    env = os.environ | {"ASSAY_ROOT": str(root.path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 120
        while len(ledger.find(root, action=action)) == known:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
        process.kill()


def test_a_promotion_whose_run_was_killed_before_the_end_is_what_the_due_ended_with(delivered_copy, tmp_path):
    """The next run trains nothing: it closes the due as promoted, with the model that serves."""
    root, due = delivered_copy, opened(delivered_copy)
    subprocess.run([sys.executable, "-c", CLAIMS, str(root.path), due.id], check=True)
    champion = models.champion(root, "arrival_minutes", "production")
    model = models.register(
        root, "arrival_minutes", "production", b"a better one", replace(champion.body, due=due.id, version="better"), actor="test", now=NOW
    )  # fmt: skip
    models.promote(root, model, expected=champion.digest, actor="test", now=NOW, reason="It is better.")
    head = ledger.head(root)
    found = train.run(root, "arrival_minutes", due=due.id)
    assert (found.outcome, found.model, found.sentence) == ("promoted", model.digest, "It is better.")
    assert dues.get(root, due.id).closed.body.model == model.digest
    assert [row.action for row in ledger.rows(root)[head:]] == ["due.claimed", "due.closed"]


def _fails(*_: object, **__: object) -> None:
    raise AssayError("out of luck")


def test_what_was_never_delivered_cannot_be_trained(root):
    """The error says what to run first."""
    with pytest.raises(NotFound, match="assay integrate nothing"):
        train.run(root, "nothing")
