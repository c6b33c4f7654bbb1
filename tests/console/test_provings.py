"""What proved a pipeline, attempt by attempt, and what the Proving page says of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from console import provings, views
from console.pages.parts import certificates, mending, trust
from flows.checks.catalog import CHECKS
from flows.checks.check import Verdict
from flows.parts import POINTS_AT
from store import blobs, clock
from store.layout import Root
from tests.console import ENVIRONMENT, OTHER, PIPELINE, START, proved, publish

DAY = timedelta(days=1)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """1.0.0 without a certificate; 1.1.0 proved and delivered; 1.2.0 refused twice, for K04, then for the floor."""
    root = Root.open(tmp_path)
    clock.move(root, START)
    publish(root, PIPELINE, now=START)
    publish(
        root,
        PIPELINE,
        version="1.1.0",
        now=START + DAY,
        found=proved.proving(START + DAY, verdicts={"K10": Verdict.NOT_APPLICABLE}),
    )
    proved.refuse(
        root, PIPELINE, "1.2.0", proved.proving(START + 2 * DAY, verdicts={"K04": Verdict.FAIL}), START + 2 * DAY
    )
    proved.refuse(
        root,
        PIPELINE,
        "1.2.0",
        proved.proving(START + 3 * DAY),
        START + 3 * DAY,
        "roc_auc is 0.6; the floor is at least 0.7.",
    )
    return root


def attempts(root: Root) -> list[provings.Attempt]:
    return provings.attempts(root, PIPELINE, card(root).package.digest)


def card(root: Root) -> views.Card:
    return views.card(root, PIPELINE, ENVIRONMENT, START + 4 * DAY)


def verdict(root: Root) -> trust.Answer:
    one = card(root)
    return trust.verdict(one, attempts(root), provings.broken(root, one.package), START + 4 * DAY)


def row_of(table: str, name: str) -> str:
    """The row of the table that begins with this name."""
    return next(part for part in table.split("<tr>") if f">{name}<" in part)


def test_attempts_come_newest_first_and_those_of_one_version_are_told_apart(root: Root) -> None:
    """Published and refused ones, each under a name of its own."""
    assert [one.name for one in attempts(root)] == ["1.2.0 refused 2", "1.2.0 refused", "1.1.0", "1.0.0"]


def test_the_deployed_package_is_there_however_many_attempts_came_after_it(root: Root) -> None:
    """Of the rest only the newest are read."""
    for back in range(provings.MOST):
        proved.refuse(root, PIPELINE, "1.3.0", proved.proving(START, survived=["F01"]), START + (4 + back) * DAY)
    found = attempts(root)
    assert len(found) == provings.MOST + 1
    assert (found[-1].name, found[0].name) == ("1.1.0", f"1.3.0 refused {provings.MOST}")


def test_a_package_without_a_certificate_is_an_attempt_without_evidence(root: Root) -> None:
    """It has nothing to show, and is not broken for it."""
    old = attempts(root)[-1]
    assert (old.version, old.digest, old.evidence, old.unread) == ("1.0.0", "", {}, "")


def test_a_certificate_that_was_changed_is_unread_with_its_reason_and_the_others_are_still_read(root: Root) -> None:
    """One blob of many cannot blank the page."""
    deployed = card(root).package
    blobs.path(root, deployed.body.certificate).write_bytes(b"{}")
    found = {one.name: one for one in attempts(root)}
    assert "has been changed" in found["1.1.0"].unread
    assert found["1.2.0 refused"].checks
    assert "has been changed" in provings.broken(root, deployed)


def test_a_certificate_of_another_format_is_unread(root: Root) -> None:
    """What is understood by half is not shown."""
    text = blobs.canonical(blobs.get_json(root, card(root).package.body.certificate) | {"format": 99})
    assert provings._evidence(root, blobs.put(root, text)) == ({}, "It has format 99; this assay reads 1.")


def test_the_verdict_counts_what_proved_the_version_that_runs(root: Root) -> None:
    """When, by how many checks and faults, on which data, in how many seconds; nothing of it speaks of other versions."""
    deployed = provings.attempts(root, PIPELINE, card(root).package.digest)[2:]
    level, word, said, beside = trust.verdict(card(root), deployed, "", START + 4 * DAY)
    assert (level, word) == ("good", "proved")
    assert said == (
        "flight_delay 1.1.0, which runs in production, was proved on 2013-04-02 00:00 UTC: 2 checks passed and 2 planted faults were "
        "killed, on 2,929 rows of 2013-02-21 … 2013-04-02."
    )
    assert beside == "1 check and 1 fault do not apply, and each says why. The proving took 1 min 2 s."


def test_a_refused_attempt_comes_first_and_what_goes_on_running_beside_it(root: Root) -> None:
    """The newest integration was refused, and why; and whether what runs is proved all the same."""
    level, word, said, beside = verdict(root)
    assert (level, word) == ("watch", "refused")
    assert said == "flight_delay 1.2.0 was refused on 2013-04-04 00:00 UTC: the model is not good enough."
    assert beside.startswith("flight_delay 1.1.0, which runs in production, was proved")


def test_bytes_that_are_not_those_that_were_proved_outrank_everything(root: Root) -> None:
    """What runs is not what the certificate speaks for."""
    blobs.path(root, card(root).package.digest).write_bytes(b"another wheel")
    level, word, said, beside = verdict(root)
    assert (level, word) == ("broken", "does not hold")
    assert "its certificate does not hold, as of 2013-04-05" in said
    assert "has been changed" in beside


@pytest.mark.parametrize(
    ("version", "delivered", "word", "said"),
    [
        ("1.0.0", True, "no certificate", "arrival_minutes 1.0.0 runs in production without a certificate"),
        ("1.0.0", False, "not delivered", "No version of arrival_minutes runs in production"),
    ],
)
def test_what_has_no_certificate_or_does_not_run_is_said_to(
    root: Root, version: str, delivered: bool, word: str, said: str
) -> None:
    """Neither counts as proved."""
    publish(root, OTHER, version=version, deliver=delivered)
    one = views.card(root, OTHER, ENVIRONMENT, START)
    found = provings.attempts(root, OTHER, one.package.digest if one.package else None)
    answer = trust.verdict(one, found, "", START)
    assert answer[1] == word
    assert answer[2].startswith(said)


def test_a_newer_version_that_is_not_delivered_is_named(root: Root) -> None:
    """It may be what the reader expects to run."""
    publish(root, PIPELINE, version="1.3.0", now=START + 4 * DAY, found=proved.proving(START), deliver=False)
    assert "Version 1.3.0 was published on 2013-04-05 00:00 UTC and is not delivered." in verdict(root)[3]


def test_a_refusal_names_check_part_and_command(root: Root) -> None:
    """What the check saw, what it asks of every pipeline, where to look, and how to run it alone."""
    (reason,) = mending.reasons(attempts(root)[1], PIPELINE)
    assert reason.title == "K04 held-out poison failed"
    assert reason.sentence == "held-out poison was not as it must be."
    assert reason.asks == "K04 asks: the evaluation rows decide nothing that is fitted or chosen."
    assert "`prepare`" in reason.where
    assert reason.command == "assay prove flight_delay --check K04"


def test_a_surviving_fault_says_what_is_untested_and_shows_itself_alone(root: Root) -> None:
    """Its own sentence, and what was planted; not once more as a check that nobody proved."""
    proved.refuse(root, PIPELINE, "1.4.0", proved.proving(START, survived=["F01"]), START + 4 * DAY)
    (fault,) = mending.reasons(attempts(root)[0], PIPELINE)
    assert fault.title == "F01 survived K02"
    assert "“One late row in a thousand let through” was planted" in fault.sentence
    assert fault.command == "assay prove flight_delay --fault F01"


def test_a_check_that_no_fault_killed_is_a_reason_with_its_command(root: Root) -> None:
    """It passed, and nothing shows that it could have failed."""
    found = proved.proving(START)
    found["faults"] = [fault | {"killed": None} for fault in found["faults"]]
    proved.refuse(root, PIPELINE, "1.4.0", found, START + 4 * DAY)
    reasons = mending.reasons(attempts(root)[0], PIPELINE)
    assert [one.title for one in reasons] == [f"{code} is not proved itself" for code in proved.CHECKS]
    assert (reasons[0].command, reasons[0].where) == ("assay prove flight_delay --check K02", "")


def test_a_control_that_moved_nothing_blocks_like_a_failure(root: Root) -> None:
    """It is a reason of the refusal in words of its own."""
    proved.refuse(root, PIPELINE, "1.4.0", proved.proving(START, verdicts={"K02": Verdict.VACUOUS}), START + 4 * DAY)
    assert [one.title for one in mending.reasons(attempts(root)[0], PIPELINE)] == ["K02 future saw nothing"]


def test_a_refusal_below_the_floor_is_told_as_the_gate_said_it(root: Root) -> None:
    """No check is to blame."""
    (reason,) = mending.reasons(attempts(root)[0], PIPELINE)
    assert (reason.title, reason.sentence) == (
        "The model is not good enough",
        "roc_auc is 0.6; the floor is at least 0.7.",
    )


def test_a_refusal_whose_evidence_cannot_be_read_is_told_as_the_ledger_has_it(root: Root) -> None:
    """Nothing is guessed of what it was about."""
    blobs.path(root, attempts(root)[1].digest).unlink()
    found = attempts(root)[1]
    assert "There is no blob" in found.unread
    (reason,) = mending.reasons(found, PIPELINE)
    assert reason.title == "The gate said no"
    assert reason.sentence == "K04 FAIL: held-out poison was not as it must be."
    assert trust.refused(PIPELINE, found).endswith("2013-04-03 00:00 UTC: the gate said no.")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_every_check_points_at_a_part_of_the_contract_and_asks_something(check) -> None:  # type: ignore[no-untyped-def]
    """A new check needs its line in ``flows.parts``, and a sentence to begin its docstring with."""
    assert POINTS_AT[check.code]
    assert mending.asks(check.code).endswith(".")


def test_a_check_nobody_knows_asks_nothing() -> None:
    """An author's own check, or one that is gone."""
    assert mending.asks("X99") == ""


def test_a_fault_is_not_planted_where_its_check_fails_and_does_not_apply_where_its_check_does_not(root: Root) -> None:
    """The two are not the same: the first is untested for now, the second has nothing to test."""
    frame = provings.kills(attempts(root))
    fates = {(one["attempt"], one["code"]): one["fate"] for one in frame.to_dicts()}
    assert fates["1.2.0 refused", "F04"] == "not planted"
    assert fates["1.1.0", "F40"] == "does not apply"
    assert fates["1.1.0", "F01"] == "killed"


def test_a_survivor_comes_first_in_the_kill_matrix(root: Root) -> None:
    """It is what a reader must see."""
    proved.refuse(root, PIPELINE, "1.4.0", proved.proving(START, survived=["F40"]), START + 4 * DAY)
    frame = provings.kills(attempts(root))
    assert frame["code"][0] == "F40"
    assert frame["fate"][0] == "survived"
    assert frame.schema == provings.KILLS


def test_a_checks_history_is_oldest_first_and_without_a_control_where_it_did_not_apply(root: Root) -> None:
    """A control of nothing is not a control of zero."""
    found = provings.history(attempts(root), "K10")
    assert found["attempt"].to_list() == ["1.1.0", "1.2.0 refused", "1.2.0 refused 2"]
    assert found["control"].to_list() == [None, 113187.0, 113187.0]
    assert found.schema == provings.HISTORY


def test_what_changed_between_two_attempts_stands_out_with_what_it_was(root: Root) -> None:
    """And only that."""
    found = certificates.table(attempts(root), card(root).package.digest, ENVIRONMENT)
    cells = {name: row_of(found, name).split("<td")[1:] for name in ("K02 future", "K04 held-out poison")}
    assert ["a-changed" in cell for cell in cells["K04 held-out poison"]] == [True, True, False, False]
    assert "was: failed" in cells["K04 held-out poison"][0]
    assert "was: passed" in cells["K04 held-out poison"][1]
    assert not any("a-changed" in cell for cell in cells["K02 future"])


def test_killed_faults_are_counted_of_those_that_were_planted_and_survivors_besides(root: Root) -> None:
    """Neither what survived nor what could not be planted counts as killed."""
    found = proved.proving(START, survived=["F01"], verdicts={"K10": Verdict.NOT_APPLICABLE})
    proved.refuse(root, PIPELINE, "1.4.0", found, START + 4 * DAY)
    newest = row_of(certificates.table(attempts(root), None, ENVIRONMENT), "Planted faults").split("<td")[1]
    assert "1 of 2 killed<small>1 do not apply</small>" in newest
    assert "1 survived" in newest


def test_a_cell_tells_control_and_numbers_on_hover_and_the_reason_of_what_does_not_apply_in_sight(root: Root) -> None:
    """The verdict itself is a shape and a word."""
    found = certificates.table(attempts(root), card(root).package.digest, ENVIRONMENT)
    assert 'title="future passed. Control 113,187; cutoffs 3; 2.5 s."' in found
    assert 'does not apply</span></span><small class="a-why">tuner has nothing to look at.</small>' in found


def test_the_table_says_which_version_runs_which_was_refused_and_which_has_no_certificate(root: Root) -> None:
    """In the head of each column, with its time in UTC."""
    found = certificates.table(attempts(root), card(root).package.digest, ENVIRONMENT)
    refused, _, runs, old = found.split("<thead>")[1].split("</thead>")[0].split('<th scope="col"><b>')[1:]
    assert "refused" in refused
    assert "in production" in runs
    assert "no certificate" in old
    assert "2013-04-02 00:00 UTC" in runs


def test_packages_that_changed_since_the_certificate_before_are_counted(root: Root) -> None:
    """Though a refusal, which is bound to none, stands between the two."""
    publish(root, PIPELINE, version="1.5.0", now=START + 5 * DAY, found=proved.proving(START), deliver=False)
    shown = attempts(root)
    shown[0].evidence["runtime"]["packages"] |= {"polars": "0", "numpy": "0"}
    row = row_of(certificates.table(shown, None, ENVIRONMENT), "Runtime")
    assert "<small>2 packages changed</small>" in row
    assert 'class="a-changed" title="numpy and polars"' in row


def test_markup_in_what_a_check_said_is_escaped(root: Root) -> None:
    """A sentence may quote the pipeline."""
    found = proved.proving(START, verdicts={"K02": Verdict.FAIL})
    found["checks"][0]["sentence"] = "<script>alert(1)</script>"
    proved.refuse(root, PIPELINE, "1.4.0", found, START + 4 * DAY)
    assert "<script>" not in certificates.table(attempts(root), None, ENVIRONMENT)
