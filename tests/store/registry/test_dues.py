"""The dues' promises: opened once, claimed once whoever asks, and closed only by who claimed."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from store import clock, ledger, process
from store.errors import Conflict, NotFound
from store.layout import Root
from store.registry import dues
from store.registry.dues import Due
from tests.conftest import NOW
from tests.store.registry import racer
from tests.store.registry.conftest import Race
from tests.store.registry.made import ENVIRONMENT, PIPELINE, digest

DUE = digest("due")


def opened(root: Root, due: str = DUE, pipeline: str = PIPELINE, environment: str = ENVIRONMENT) -> Due:
    return dues.open_due(
        root, due, pipeline=pipeline, environment=environment, kinds=["drift"], reasons=["wind drifts.", "gust drifts."],
        window_end=NOW, champion=None, actor="monitor", now=NOW,
    )  # fmt: skip


def claim(root: Root, run: str = "run", due: str = DUE, reason: str = "") -> Due:
    return dues.claim(root, due, run=run, actor="train", by="test", now=NOW, reason=reason)


def close(root: Root, run: str = "run", outcome: str = "kept", due: str = DUE) -> Due:
    asked: dict[str, Any] = {"by": "test", "model": None, "sentence": "Not better.", "actor": "train", "now": NOW}
    return dues.close(root, due, outcome=outcome, run=run, **asked)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> dict[str, datetime]:
    """The machine's clock, under ``now``."""
    told = {"now": datetime(2026, 1, 1, tzinfo=NOW.tzinfo)}
    monkeypatch.setattr(clock, "wall", lambda: told["now"])
    return told


# Opening


def test_a_due_goes_from_open_to_claimed_to_closed(root: Root) -> None:
    """Each step is a row, and the due shows all of them."""
    assert dues.pending(root, PIPELINE, ENVIRONMENT) is None
    due = opened(root)
    assert (due.state, due.id, due.pipeline, due.environment) == ("open", DUE, PIPELINE, ENVIRONMENT)
    assert due.reasons == ["wind drifts.", "gust drifts."]
    assert due.opened.reason == "wind drifts.; gust drifts."
    due = claim(root)
    assert (due.state, due.claimed and due.claimed.body.run) == ("claimed", "run")
    assert dues.pending(root, PIPELINE, ENVIRONMENT) == due
    due = close(root)
    assert (due.state, due.closed and due.closed.body.outcome) == ("closed", "kept")
    assert dues.pending(root, PIPELINE, ENVIRONMENT) is None
    assert dues.listed(root) == [due] == [dues.get(root, DUE[:8])]
    assert ledger.verify(root) == 3


def test_a_due_is_opened_once(root: Root) -> None:
    """The same decision again is the same due, in whatever state it is."""
    due = opened(root)
    assert opened(root) == due
    claim(root)
    close(root)
    assert opened(root).state == "closed"
    assert ledger.head(root) == 3


def test_a_pipeline_has_one_due_at_a_time(root: Root) -> None:
    """While one is open or claimed, another is a Conflict that names it; afterwards it may open."""
    opened(root)
    with pytest.raises(Conflict, match=f"already open.*{DUE[:8]}"):
        opened(root, digest("other"))
    claim(root)
    with pytest.raises(Conflict, match=f"already claimed.*{DUE[:8]}"):
        opened(root, digest("other"))
    close(root)
    assert opened(root, digest("other")).state == "open"


def test_pipelines_and_environments_have_dues_of_their_own(root: Root) -> None:
    """One pending does not hold up another."""
    ours = opened(root)
    theirs = [opened(root, digest("b"), pipeline="trains"), opened(root, digest("c"), environment="test")]
    assert dues.listed(root) == [ours, *theirs]
    assert dues.listed(root, PIPELINE) == [ours, theirs[1]]
    assert dues.listed(root, environment=ENVIRONMENT) == [ours, theirs[0]]
    assert dues.pending(root, "trains", ENVIRONMENT) == theirs[0]


def test_two_monitors_open_one_due(root: Root) -> None:
    """Eight threads decide otherwise at the same time: one due is open, seven are told."""
    start = threading.Barrier(8)

    def decide(number: int) -> bool:
        start.wait()
        try:
            return opened(root, digest(f"{number}")).state == "open"
        except Conflict:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(decide, range(8))) == [False] * 7 + [True]
    assert len(dues.listed(root)) == 1


# Claiming


@pytest.mark.parametrize("forged", [digest("forged"), DUE[:7], "", DUE[:8] + "x"])
def test_a_forged_id_trains_nothing(root: Root, forged: str) -> None:
    """An event may carry any id: what the ledger does not hold is NotFound, and nothing is written."""
    opened(root)
    for ask in (lambda: dues.get(root, forged), lambda: claim(root, due=forged), lambda: close(root, due=forged)):
        with pytest.raises(NotFound, match=r"no due .*It holds 1 due.*`assay monitor` or `assay train`"):
            ask()
    assert ledger.head(root) == 1


def test_a_due_is_claimed_once(root: Root) -> None:
    """A second run is told who has it; the same run, tried once more, still has it."""
    opened(root)
    due = claim(root, "first")
    with pytest.raises(Conflict, match=f"Due {DUE[:8]} is already claimed.*Run first has it"):
        claim(root, "second")
    assert claim(root, "first") == due
    assert ledger.head(root) == 2


def test_a_claim_may_say_why(root: Root) -> None:
    """Its reason stands in the row."""
    opened(root)
    due = claim(root, reason="By hand.")
    assert due.claimed
    assert due.claimed.reason == "By hand."


def test_many_claimers_are_one_claim(root: Root) -> None:
    """Eight threads of a repeated event: one wins."""
    opened(root)
    start = threading.Barrier(8)

    def attempt(number: int) -> str:
        start.wait()
        try:
            return str(claim(root, f"run {number}").claimed.body.run)  # type: ignore[union-attr]
        except Conflict:
            return ""

    with ThreadPoolExecutor(8) as pool:
        winners = [run for run in pool.map(attempt, range(8)) if run]
    due = dues.get(root, DUE)
    assert due.claimed
    assert winners == [due.claimed.body.run]
    assert len(ledger.find(root, action="due.claimed")) == 1


def test_four_processes_claim_a_due_once(race: Race) -> None:
    """Each due has one holder, and exactly that process believes so."""
    claims = [(number, did["name"]) for did in race.did for number in did["claimed"]]
    assert sorted(number for number, _ in claims) == list(range(racer.DUES))
    for number, name in claims:
        due = dues.get(race.root, f"due {number:08d}")
        assert due.claimed
        assert due.claimed.body.run == name
    assert len(ledger.find(race.root, action="due.claimed")) == racer.DUES


def test_a_closed_due_is_not_claimed(root: Root) -> None:
    """Not by another run, and not again by its own."""
    opened(root)
    claim(root)
    close(root)
    for run in ("run", "other"):
        with pytest.raises(Conflict, match=r"already closed.*Run run has it"):
            claim(root, run)
    assert ledger.head(root) == 3


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims of a machine whose processes cannot be seen from here."""
    monkeypatch.setattr(process, "identity", lambda pid=None: "another-machine/boot/pid/1/1")


def test_the_claim_of_a_killed_process_may_be_taken_over_at_once(root: Root) -> None:
    """Not while it lives, though it only sleeps; the due waits for somebody as soon as it was killed."""
    opened(root)
    assert dues.waiting(root, PIPELINE, ENVIRONMENT) == dues.get(root, DUE)
    with subprocess.Popen(
        [sys.executable, "-c", CLAIMS, str(root.path), DUE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"claimed\n"
        with pytest.raises(Conflict, match="Run killed has it"):
            claim(root, "next")
        assert dues.waiting(root, PIPELINE, ENVIRONMENT) is None
        child.kill()
        child.wait()
    assert dues.waiting(root, PIPELINE, ENVIRONMENT) == dues.get(root, DUE)
    due = claim(root, "next")
    assert due.claimed
    assert due.claimed.body.run == "next"
    assert dues.waiting(root, PIPELINE, ENVIRONMENT) is None


def test_the_same_run_claims_again_in_another_process(root: Root) -> None:
    """Prefect tries a run once more after its process was killed: it goes on with what it holds."""
    opened(root)
    subprocess.run([sys.executable, "-c", CLAIMS, str(root.path), DUE], input=b"\n", check=True)
    due = claim(root, "killed")
    assert due == claim(root, "killed")
    assert close(root, "killed").state == "closed"


CLAIMS = """
import sys
from pathlib import Path
from store.layout import Root
from store.registry import dues
from tests.conftest import NOW
dues.claim(Root.open(Path(sys.argv[1])), sys.argv[2], run="killed", actor="train", by="test", now=NOW)
print("claimed", flush=True)
sys.stdin.readline()
"""


@pytest.mark.usefixtures("elsewhere")
def test_a_stale_claim_may_be_taken_over(root: Root, wall: dict[str, datetime]) -> None:
    """Two hours by the machine's clock after a claim whose process cannot be seen its run counts as killed; not a moment before."""
    opened(root)
    claim(root, "killed")
    wall["now"] += dues.STALE
    with pytest.raises(Conflict, match="Run killed has it"):
        claim(root, "next")
    wall["now"] += timedelta(microseconds=1)
    due = claim(root, "next")
    assert due.claimed
    assert due.claimed.body.run == "next"
    with pytest.raises(Conflict, match="Run next has it"):
        claim(root, "third")


@pytest.mark.usefixtures("elsewhere")
def test_who_lost_a_stale_claim_cannot_go_on(root: Root, wall: dict[str, datetime]) -> None:
    """The old run comes back: it can neither claim again, though its own claim stands in the ledger, nor close."""
    opened(root)
    claim(root, "killed")
    wall["now"] += 2 * dues.STALE
    claim(root, "next")
    with pytest.raises(Conflict, match=r"already claimed.*Run next has it"):
        claim(root, "killed")
    with pytest.raises(Conflict, match=r"Run killed cannot close.*next has it"):
        close(root, "killed")
    assert close(root, "next").state == "closed"


# Closing


def test_only_its_claimant_closes_a_due(root: Root) -> None:
    """Nobody closes an open one, and no other run a claimed one; nothing is written."""
    opened(root)
    with pytest.raises(Conflict, match=r"Run run cannot close.*It is open; nobody has it"):
        close(root)
    claim(root)
    with pytest.raises(Conflict, match=r"Run other cannot close.*It is claimed; run has it"):
        close(root, "other")
    assert ledger.head(root) == 2


def test_closing_again_the_same_way_changes_nothing(root: Root) -> None:
    """A retry is the same row; another outcome is a Conflict, and the first stands."""
    opened(root)
    claim(root)
    due = close(root)
    assert close(root) == due
    with pytest.raises(Conflict):
        close(root, outcome="promoted")
    assert dues.get(root, DUE) == due
    assert ledger.head(root) == 3
