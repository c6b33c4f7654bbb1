"""Which model serves, and what happens to one that cannot."""

from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from flows.building import artifact
from flows.serving import app
from flows.serving.service import Service
from store import blobs, ledger
from store.errors import Conflict, Refused
from store.registry import models
from store.traffic import collect
from tests.flows.serving.conftest import Client
from tests.flows.serving.world import SOURCE, fitted, row


def answered(service):
    return Client(app.create(service)).predict(row(), dry_run=True)


def refusals(world):
    return [(found.digest, found.body.error) for found in ledger.find(world.root, action="model.load_refused")]


def test_a_new_champion_is_swapped_in(world, package, service):
    before = answered(service).json()
    second = world.promote(package, seed=1)
    service.watch.look()
    after = answered(service).json()
    assert after["model"] == second.digest != before["model"]
    assert after["predictions"] != before["predictions"]
    assert [found.body.previous for found in ledger.find(world.root, action="model.served")] == [None, before["model"]]


def test_a_damaged_model_leaves_the_old_one_serving_and_is_recorded_once(world, package, service):
    before = service.watch.current
    second = world.promote(package, seed=1)
    where = Path(blobs.path(world.root, second.digest))
    good = where.read_bytes()
    where.write_bytes(good[:-1])
    for _ in range(3):
        service.watch.failure = None
        service.watch.look()
    assert service.watch.current is before
    assert answered(service).status_code == 200
    assert service.health()["load_error"]["digest"] == second.digest
    assert [digest for digest, _ in refusals(world)] == [second.digest]
    where.write_bytes(good)
    service.watch.failure = None
    service.watch.look()
    assert service.watch.current.digest == second.digest
    assert service.health()["load_error"] is None


def test_bytes_that_are_no_model_are_refused(world, package, service):
    world.promote(package, data=b"no model")
    service.watch.look()
    assert "no stored model" in refusals(world)[0][1]
    assert answered(service).status_code == 200


def test_a_model_that_cannot_answer_the_examples_does_not_serve(world, package, service):
    before = service.watch.current
    narrow = artifact.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    second = world.promote(package, data=narrow)
    service.watch.look()
    assert service.watch.current is before
    ((digest, error),) = refusals(world)
    assert digest == second.digest
    assert "X has 3 features, but LogisticRegression is expecting 1" in error


def test_a_refused_model_is_not_tried_at_every_look(world, package, service, monkeypatch):
    second = world.promote(package, seed=1)
    Path(blobs.path(world.root, second.digest)).write_bytes(b"no model")
    tried, get = [], blobs.get
    monkeypatch.setattr(blobs, "get", lambda root, digest: [tried.append(digest), get(root, digest)][1])
    for _ in range(5):
        service.watch.look()
    assert tried == [second.digest]


def test_features_that_nobody_materialised_are_waited_for_and_blame_no_model(world, package, service):
    second = world.promote(package, seed=1)
    hidden = [path.rename(path.with_suffix(".away")) for path in world.root.online("sky").glob("*.json")]
    service.watch.look()
    assert "materialise" in service.health()["load_error"]["message"].lower()
    assert refusals(world) == []
    for path in hidden:
        path.rename(path.with_suffix(".json"))
    service.watch.failure = None
    service.watch.look()
    assert service.watch.current.digest == second.digest


def test_a_model_of_another_package_is_left_to_that_packages_process(world, package, service):
    before = service.watch.current
    other = world.publish("2.0.0")
    world.promote(other, seed=1)
    service.watch.look()
    assert service.watch.current is before
    assert service.health()["load_error"] is None


def test_a_package_rolled_back_to_finds_its_own_last_champion(world, package):
    first = world.promote(package)
    world.promote(world.publish("2.0.0"), seed=1)
    service = Service(world.root, world.contract(package), package, "production")
    service.watch.look()
    assert service.watch.current.digest == first.digest
    service.stop()


def test_a_champion_that_steps_back_serves_again(world, package, service):
    first = models.champion(world.root, "tiny", "production")
    world.promote(package, seed=1)
    service.watch.look()
    world.promote(package, data=fitted(0))
    service.watch.look()
    assert service.watch.current.digest == first.digest


def test_code_that_is_not_the_packages_does_not_serve(world, package):
    other = world.publish("2.0.0")
    with pytest.raises(Refused, match=r"tiny 2\.0\.0 is not tiny 1\.0\.0"):
        Service(world.root, world.contract(other), package, "production")


def test_a_package_whose_fields_contradict_the_stored_ones_does_not_serve(world, package, service):
    other = world.publish("2.0.0", SOURCE.replace('"miles": pl.Int64()', '"miles": pl.Float64()'))
    with pytest.raises(Conflict, match="miles is Int64, not Float64"):
        Service(world.root, world.contract(other), other, "production")
    assert collect.lag(world.root, "production", "tiny") == 0
