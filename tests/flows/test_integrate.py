"""The gate publishes what is proved and above its floor, and nothing else."""

import functools
import os
import re
import shutil

import pytest

from flows import integrate, runner
from flows.building import source
from store import blobs, ledger
from store.errors import Conflict, GateFailed, Refused
from store.registry import aliases, packages
from tests.workspaces import WORKSPACE
from tests.worlds import PROVED_BY


@pytest.fixture
def edited(tmp_path):
    """The source of arrival_minutes in a folder of its own, changed by a function of its text."""

    def edit(change) -> str:
        folder = tmp_path / "team" / "arrival_minutes"
        if not folder.exists():
            shutil.copytree(source.find("arrival_minutes"), folder)
        file = folder / "__init__.py"
        text = change(file.read_text())
        assert text != file.read_text()
        file.write_text(text)
        return str(folder)

    return edit


@pytest.fixture
def proved(delivered, monkeypatch):
    """The gate with the proving that the session has already seen for these files, to spare its minute."""
    package = packages.get(delivered, "arrival_minutes")
    evidence = blobs.get_json(delivered, package.body.evidence)
    found = {name: evidence[name] for name in ("window", "rows", "content", "features", "checks", "faults", "seconds")}
    monkeypatch.setattr(integrate, "prove", lambda *_: found)
    return found


def test_a_package_carries_what_proved_it(delivered):
    """Every check passed with its control moved, and each is proved by a fault it killed."""
    for pipeline, checks in PROVED_BY.items():
        package = packages.get(delivered, pipeline)
        evidence = blobs.get_json(delivered, package.body.evidence)
        passed = {one["code"]: one for one in evidence["checks"] if one["verdict"] == "PASS"}
        assert list(passed) == checks
        assert all(one["control"] > 0 for one in passed.values())
        assert {one["check"] for one in evidence["faults"] if one["killed"]} == set(passed)
        assert not [one for one in evidence["faults"] if one["killed"] is False]
        assert evidence["tree"] == package.body.tree == runner.unpacked(delivered, package).tree


def test_integrating_the_same_files_again_changes_nothing(delivered_copy):
    """The package is there already."""
    head = ledger.head(delivered_copy)
    assert integrate.run(delivered_copy, "arrival_minutes") == packages.get(delivered_copy, "arrival_minutes")
    assert ledger.head(delivered_copy) == head


def test_below_the_floor_nothing_is_published(delivered_copy, edited, proved):
    """The refusal names number, floor and remedy, and stands in the ledger with its evidence."""
    folder = edited(lambda text: text.replace("floor=30.0", "floor=3.0").replace('"1.0.0"', '"2.0.0"'))
    with pytest.raises(GateFailed, match=r"misses the floor of 3\. Nothing was published\. Improve the model"):
        integrate.run(delivered_copy, folder)
    assert [package.version for package in packages.listed(delivered_copy, "arrival_minutes")] == ["1.0.0"]
    assert ledger.rows(delivered_copy)[-1].action == "package.refused"


def test_where_a_member_of_a_slice_surely_misses_its_floor_nothing_is_published(delivered_copy, edited, proved):
    """Though all rows together reach theirs; the floor of slices is the floor itself, if no other is declared."""
    change = {"floor=30.0": 'floor=30.0, slice_floor=15.0, slices=("carrier",)', '"1.0.0"': '"2.0.0"'}
    folder = edited(lambda text: functools.reduce(lambda so_far, one: so_far.replace(*one), change.items(), text))
    with pytest.raises(GateFailed, match=r"On slice carrier=.* surely worse than the floor of 15 for slices\."):
        integrate.run(delivered_copy, folder)
    assert len(packages.listed(delivered_copy, "arrival_minutes")) == 1


@pytest.mark.parametrize("verdict", ["FAIL", "VACUOUS"])
def test_with_a_check_that_failed_or_saw_nothing_nothing_is_published(delivered_copy, edited, proved, verdict):
    """A control that moved nothing blocks like a failure."""
    proved["checks"][0]["verdict"] = verdict
    folder = edited(lambda text: text.replace('"1.0.0"', '"2.0.0"'))
    with pytest.raises(GateFailed, match=rf"K\d\d {verdict}.*Nothing was published"):
        integrate.run(delivered_copy, folder)
    assert len(packages.listed(delivered_copy, "arrival_minutes")) == 1


@pytest.mark.parametrize("fate", [False, None])
def test_with_a_check_that_no_fault_proved_nothing_is_published(delivered_copy, edited, proved, fate):
    """A surviving fault blocks, and so does a check for which none could be planted."""
    for one in proved["faults"]:
        one["killed"] = fate if one["check"] == "K11" else one["killed"]
    folder = edited(lambda text: text.replace('"1.0.0"', '"2.0.0"'))
    with pytest.raises(GateFailed, match="K11"):
        integrate.run(delivered_copy, folder)
    assert len(packages.listed(delivered_copy, "arrival_minutes")) == 1


def test_two_versions_live_side_by_side_and_rolled_back_the_first_runs(delivered_copy, edited, proved):
    """The second version's bytes run after its source is gone; after the rollback, the first's do."""
    folder = edited(lambda text: text.replace('"1.0.0"', '"2.0.0"').replace("__doc__", '"The second."'))
    second = integrate.run(delivered_copy, folder)
    shutil.rmtree(folder)
    first = packages.get(delivered_copy, "arrival_minutes", "1.0.0")
    move = {
        "pipeline": "arrival_minutes",
        "environment": "production",
        "alias": "deployed",
        "actor": "test",
        "reason": "a test",
    }
    now = second.published_at
    aliases.move(
        delivered_copy, "package.delivered", digest=second.digest, label="2.0.0", expected=first.digest, now=now, **move
    )
    assert running(delivered_copy)["description"] == "The second."
    aliases.roll_back(
        delivered_copy, "arrival_minutes", "production", "deployed", actor="test", now=now, reason="a test"
    )
    assert running(delivered_copy)["version"] == "1.0.0"


def test_the_same_version_with_other_bytes_is_refused_with_the_way_out(delivered_copy, edited, proved):
    """A version is said once."""
    folder = edited(lambda text: text + "\n# one comment more\n")
    with pytest.raises(Conflict, match="Raise `version`"):
        integrate.run(delivered_copy, folder)


def test_a_pipeline_of_another_contract_is_refused_by_both_names(root, tmp_path, monkeypatch):
    """The assay on disk was replaced under a worker that runs: its child tells of a contract that the worker does not know."""
    newer = tmp_path / "newer"
    shutil.copytree(WORKSPACE / "flows", newer / "flows")
    contract = newer / "flows" / "pipeline.py"
    text = contract.read_text()
    assert "\nCONTRACT = 1\n" in text
    contract.write_text(text.replace("\nCONTRACT = 1\n", "\nCONTRACT = 2\n"))
    monkeypatch.setenv("PYTHONPATH", str(newer))
    with pytest.raises(GateFailed) as refused:
        integrate.describe(root, runner.stage(root, source.find("arrival_minutes")))
    assert refused.value.asked == "arrival_minutes is written for contract 2."
    assert refused.value.exists == "This assay knows contract 1."
    assert refused.value.remedy == "Use the assay it was written for, or move it to this contract."


def test_a_build_that_comes_out_otherwise_the_second_time_is_refused(root, monkeypatch):
    """SOURCE_DATE_EPOCH, by which the builder dates a wheel, is set while the second one is built, as another thread may do."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    builds = []

    class Disturbed(source.WheelBuilder):
        def build(self, **given):
            builds.append(given)
            if len(builds) == 2:
                monkeypatch.setitem(os.environ, "SOURCE_DATE_EPOCH", "1000000000")
            return super().build(**given)

    monkeypatch.setattr(source, "WheelBuilder", Disturbed)
    with pytest.raises(Refused) as refused:
        integrate.build(runner.stage(root, source.find("arrival_minutes")), {"version": "1.0.0"})
    assert refused.value.asked == "Two builds of arrival_minutes differ."
    assert re.fullmatch(r"[0-9a-f]{8} and [0-9a-f]{8}\.", refused.value.exists)
    assert refused.value.remedy == "Report it: a build must be reproducible."
    assert len(builds) == 2


def running(root):
    """The declarations of the code that production runs, asked of that very code."""
    package = packages.deployed(root, "arrival_minutes", "production")
    return runner.run(runner.unpacked(root, package), "flows.building", {"what": "describe"})["manifest"]
