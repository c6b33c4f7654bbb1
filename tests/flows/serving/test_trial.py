"""What a model can do to a serving process before it serves: nothing."""

import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from flows import runner
from flows.building import artifact
from flows.building import source as sources
from flows.serving import trial as serving
from flows.serving.service import Service
from store import blobs, ledger
from store.errors import Refused
from tests.flows.serving.world import SOURCE, imported

MODELS = (
    SOURCE
    + """
import os, time

class Own(LogisticRegression):
    def __setstate__(self, state):
        super().__setstate__(state)
        if self.misdeed and os.environ.get("PYTHONHASHSEED") == "0":  # as in the runner's children
            getattr(self, self.misdeed)()

    def crash(self):
        os.abort()

    def hang(self):
        time.sleep(3600)

    def eat(self):
        self.eaten_ = bytearray(8 << 30)
"""
)


@pytest.fixture
def package(world):
    return world.publish(code=MODELS)


def own(world, misdeed):
    """A model of the package's own class, which does its misdeed when it is loaded in a child."""
    with imported(world.scratch / "1.0.0"):
        import tiny  # noqa: PLC0415  (a name that exists only here)

        chance = np.random.default_rng(1)
        data = chance.normal(size=(60, 3))
        model = tiny.Own().fit(data, data[:, 0] + chance.normal(size=60) > 0)
        model.misdeed = misdeed
        return artifact.dumps(model)


MISDEEDS = {
    "crash": "ended with code -6",
    "hang": "was ended after",
    "eat": "MemoryError",
}


def test_what_a_model_does_when_it_is_loaded_it_does_to_a_child(world, package):
    models = {misdeed: blobs.put(world.root, own(world, misdeed)) for misdeed in MISDEEDS}
    told = {}

    def attempt(misdeed):
        with pytest.raises(Refused) as refused:
            serving.attempt(world.root, package, models[misdeed], threading.Event(), 6 if misdeed == "hang" else 120)
        told[misdeed] = str(refused.value)

    threads = [threading.Thread(target=attempt, args=(misdeed,)) for misdeed in MISDEEDS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {misdeed: reason for misdeed, reason in MISDEEDS.items() if reason not in told[misdeed]} == {}, "\n".join(
        told.values()
    )


def test_a_model_is_tried_once_a_root_and_not_once_a_process(world, package, service, monkeypatch):
    model = world.promote(package, data=artifact.dumps(LogisticRegression().fit(np.eye(3), [0, 1, 1])))
    service.watch.look()
    assert service.watch.current.digest == model.digest
    monkeypatch.setattr(serving.runner, "run", None)
    other = Service(world.root, world.contract(package), package, "production")
    other.watch.look()
    assert other.watch.current.digest == model.digest
    other.stop()


def test_a_service_that_is_told_to_end_does_not_wait_for_a_trial(world, package):
    world.promote(package, data=own(world, "hang"))
    service = Service(world.root, world.contract(package), package, "production")
    looking = threading.Thread(target=service.watch.look)
    looking.start()
    service.stop()
    looking.join(60)
    assert not looking.is_alive()
    assert service.watch.failure is None
    assert ledger.find(world.root, action="model.load_refused") == []


def flips(data, count):
    """The bytes with one bit changed, at places all over."""
    chance = np.random.default_rng(0)
    for place, bit in zip(chance.integers(len(data), size=count), chance.integers(8, size=count)):
        changed = bytearray(data)
        changed[place] ^= 1 << int(bit)
        yield bytes(changed)


def test_a_flipped_bit_is_refused_by_its_digest_before_anything_is_parsed_or_run(world, package, service, monkeypatch):
    model = world.promote(package, seed=1)
    before = service.watch.current
    code = runner.unpacked(world.root, package).path
    monkeypatch.setattr(artifact, "loads", None)
    monkeypatch.setattr(sources, "unpack", None)
    for digest in (model.digest, package.digest):
        where = Path(blobs.path(world.root, digest))
        good = where.read_bytes()
        for bad in flips(good, 200):
            where.write_bytes(bad)
            with pytest.raises(Refused, match="has been changed"):
                if digest == package.digest:
                    runner.unpacked(world.root, package)
                else:
                    service.watch.failure = None
                    service.watch.look()
                    raise Refused(service.watch.failure.message)
        where.write_bytes(good)
    assert service.watch.current is before
    assert [row.digest for row in ledger.find(world.root, action="model.load_refused")] == [model.digest]
    assert runner.unpacked(world.root, package).path == code
