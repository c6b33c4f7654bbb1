"""Nothing reaches production that was not tried against its applications' contract and approved."""

import dataclasses

import pytest

from flows import deliver
from flows.building import source
from store import blobs, clock, ledger
from store.actions import PackageTried
from store.errors import GateFailed, NotFound
from store.registry import aliases, models, packages
from tests.flows.certified import issued


@pytest.fixture
def undelivered(delivered_copy):
    """Publishes a second package of arrival_minutes, from its source edited, as the gate would after proving it."""

    def publish(version: str, old: str = "", new: str = "", **changes):
        first = packages.get(delivered_copy, "arrival_minutes", "1.0.0")
        content = source.files(source.find("arrival_minutes"))
        text = content["__init__.py"].decode().replace('version="1.0.0"', f'version="{version}"')
        assert old in text
        content["__init__.py"] = text.replace(old, new).encode()
        wheel = source.wheel("arrival_minutes", version, content)
        evidence = blobs.get_json(delivered_copy, first.body.evidence)
        evidence["gate_model"]["package"] = blobs.digest(wheel)
        body = dataclasses.replace(
            first.body, version=version, wheel=blobs.digest(wheel), tree=source.tree(content),
            manifest=blobs.put_json(delivered_copy, first.manifest(delivered_copy) | {"version": version} | changes),
            evidence=blobs.put_json(delivered_copy, evidence),
            certificate=issued(delivered_copy, "arrival_minutes", version, wheel, first.published_at),
        )  # fmt: skip
        return packages.publish(delivered_copy, "arrival_minutes", wheel, body, actor="test", now=first.published_at)

    return publish


def test_delivered_means_tried_in_test_approved_and_in_production(delivered):
    """The ledger tells the way in order."""
    for pipeline in ("flight_delay", "arrival_minutes"):
        package = packages.get(delivered, pipeline)
        way = [row.action for row in ledger.find(delivered, subject=pipeline, digest=package.digest)]
        wanted = ["package.published", "package.delivered", "package.tried", "package.approved", "package.delivered"]
        assert way == wanted
        assert models.champion(delivered, pipeline, "test").body.gate


def test_without_approval_it_waits_in_test(delivered_copy, undelivered):
    """Production is unchanged, and the sentence says how to approve."""
    package = undelivered("2.0.0")
    found = deliver.run(delivered_copy, "arrival_minutes", "2.0.0")
    assert found.state == "waiting for approval"
    assert "--approve" in found.sentence
    assert aliases.current(delivered_copy, "arrival_minutes", "test", "deployed") == package.digest
    assert packages.deployed(delivered_copy, "arrival_minutes", "production").version == "1.0.0"


def test_a_broken_contract_stops_at_test(delivered_copy, undelivered):
    """An application that relies on something else is named with the number it got."""
    example = packages.get(delivered_copy, "arrival_minutes").manifest(delivered_copy)["examples"][0]
    undelivered("3.0.0", "-60, 120", "1000, 2000", examples=[example | {"low": 1000.0, "high": 2000.0}])
    with pytest.raises(GateFailed, match=r"gates: predicted .* relied on 1000\.0"):
        deliver.run(delivered_copy, "arrival_minutes", "3.0.0", approve=True, reason="hurry")
    assert packages.deployed(delivered_copy, "arrival_minutes", "production").version == "1.0.0"
    assert ledger.rows(delivered_copy)[-1].body.passed is False


@pytest.mark.parametrize("failed", [False, True], ids=["never tried", "failed its last trial"])
def test_what_was_not_tried_in_test_does_not_go_to_production(delivered_copy, undelivered, failed):
    """Nor what another delivery has tried since, and found to break a contract: whatever was approved."""
    package, now = undelivered("2.0.0"), clock.now(delivered_copy)
    tried = {"subject": package.pipeline, "digest": package.digest, "environment": "test", "actor": "test", "now": now}
    for passed in (True, False) if failed else ():
        ledger.append(delivered_copy, "package.tried", PackageTried("2.0.0", 1, passed, "One example."), **tried)
    deliver.approval(delivered_copy, package, "hurry", now)
    with pytest.raises(GateFailed) as refused:
        deliver.to_production(delivered_copy, package, "hurry", now)
    assert refused.value.asked == "arrival_minutes 2.0.0 was not tried in test."
    assert refused.value.remedy == "Run `assay deliver arrival_minutes --version 2.0.0`."
    assert packages.deployed(delivered_copy, "arrival_minutes", "production").version == "1.0.0"


def test_an_unknown_version_is_named_with_those_that_exist(delivered_copy):
    """A near miss is offered."""
    with pytest.raises(NotFound, match=r"Known: 1\.0\.0"):
        deliver.run(delivered_copy, "arrival_minutes", "1.0.1")
