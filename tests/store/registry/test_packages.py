"""The package store's promises: a version is its bytes for good, and every error names what exists and what to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from store import blobs, ledger
from store.errors import Conflict, InvalidInput, NotFound
from store.layout import Root
from store.registry import aliases, packages
from store.registry.packages import deployed, get, listed
from tests.conftest import NOW
from tests.store.registry import made, racer
from tests.store.registry.conftest import Race
from tests.store.registry.made import ENVIRONMENT, PIPELINE, package


def test_a_published_package_is_its_bytes(root: Root) -> None:
    """Its digest is the wheel's, the bytes come back, and it says who published it and when."""
    found = package(root, "1", b"wheel")
    assert blobs.get(root, found.digest) == b"wheel"
    assert (found.pipeline, found.version, found.actor, found.published_at, found.seq) == (PIPELINE, "1", "ada", NOW, 1)
    assert get(root, PIPELINE) == found


def test_the_same_bytes_again_change_nothing(root: Root) -> None:
    """Published by another person a day later, it is still the first publication."""
    found = package(root, "1", b"wheel")
    assert package(root, "1", b"wheel", actor="bob", now=NOW + timedelta(days=1)) == found
    assert ledger.head(root) == 1


def test_a_version_is_not_published_with_other_bytes(root: Root) -> None:
    """A Conflict that names both digests and the way out; nothing is written."""
    package(root, "1", b"wheel")
    one, other = blobs.digest(b"wheel")[:8], blobs.digest(b"other")[:8]
    with pytest.raises(Conflict, match=f"flights 1 is already .* other bytes.*{one}.*yours: {other}.*Raise `version`"):
        package(root, "1", b"other")
    assert ledger.head(root) == 1


def test_a_version_is_one_pipelines(root: Root) -> None:
    """Another pipeline has its own version 1."""
    assert package(root, "1", b"wheel").digest != package(root, "1", b"other", pipeline="trains").digest
    assert [found.pipeline for found in listed(root)] == ["flights", "trains"]


@pytest.mark.parametrize(("wheel", "wins"), [(b"wheel", True), (b"other", False)])
def test_publishing_at_the_same_moment(root: Root, monkeypatch: pytest.MonkeyPatch, wheel: bytes, wins: bool) -> None:
    """Somebody published between our look and our write: the same bytes are done, other bytes are a Conflict."""
    real = ledger.append

    def overtaken(*given: object, **asked: object) -> ledger.Row:
        monkeypatch.setattr(ledger, "append", real)
        package(root, "1", b"wheel", actor="bob")
        return real(*given, **asked)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "append", overtaken)
    if wins:
        assert package(root, "1", wheel).actor == "bob"
    else:
        with pytest.raises(Conflict, match="other bytes"):
            package(root, "1", wheel)
    assert ledger.head(root) == 1


def test_a_package_is_asked_by_version_by_digest_or_not_at_all(root: Root) -> None:
    """Eight characters of the digest suffice; without a name it is the newest."""
    first, second = package(root, "1"), package(root, "2")
    assert get(root, PIPELINE) == get(root, PIPELINE, "2") == second
    for which in ("1", first.digest[:8], first.digest):
        assert get(root, PIPELINE, which) == first
    assert listed(root, PIPELINE) == [first, second]


def test_too_short_a_digest_is_no_name(root: Root) -> None:
    """Seven characters do not choose a package."""
    found = package(root, "1")
    with pytest.raises(NotFound, match=r"no version of flights named.*Known: 1"):
        get(root, PIPELINE, found.digest[:7])


def test_an_unknown_version_names_the_known_ones(root: Root) -> None:
    """With the nearest as a question."""
    package(root, "1.10")
    with pytest.raises(NotFound, match=r"'1\.1'.*Known: 1\.10.*Did you mean 1\.10"):
        get(root, PIPELINE, "1.1")


@pytest.mark.parametrize("ask", [lambda root: get(root, "flight"), lambda root: deployed(root, "flight", ENVIRONMENT)])
def test_an_unknown_pipeline_says_what_to_run(root: Root, ask: Callable[[Root], object]) -> None:
    """It was never published: the known ones, the nearest, and the command that publishes."""
    package(root, "1")
    with pytest.raises(NotFound, match=r"Known: flights.*Did you mean flights.*Run `assay integrate flight`"):
        ask(root)


def test_nothing_delivered_says_what_to_run(root: Root) -> None:
    """It is published but not there: its versions, and the command that delivers."""
    package(root, "1")
    package(root, "2")
    with pytest.raises(NotFound, match=r"delivered to production.*Published: 1, 2.*Run `assay deliver flights`"):
        deployed(root, PIPELINE, ENVIRONMENT)


def test_what_is_deployed_is_what_the_alias_points_at(root: Root) -> None:
    """Not the newest, and not what another environment runs."""
    first, _ = package(root, "1"), package(root, "2")
    made.move(root, "1", None, aliases.DEPLOYED, digest=first.digest)
    assert deployed(root, PIPELINE, ENVIRONMENT) == first
    with pytest.raises(NotFound, match="delivered to test"):
        deployed(root, PIPELINE, "test")


def test_there_are_two_environments(root: Root) -> None:
    """Asking what another one runs is refused as input, not answered with nothing."""
    package(root, "1")
    with pytest.raises(InvalidInput, match=r"'staging'.*test, production"):
        deployed(root, PIPELINE, "staging")


def test_an_environment_knows_what_was_delivered_to_it(root: Root) -> None:
    """The pipelines by name, each once however often it was delivered, and nobody's from elsewhere."""
    for pipeline in ("weather", "flights", "trains"):
        package(root, "1", pipeline.encode(), pipeline=pipeline)
    assert packages.delivered(root, ENVIRONMENT) == []
    made.move(root, "1", None, aliases.DEPLOYED, pipeline="weather")
    made.move(root, "1", None, aliases.DEPLOYED)
    made.move(root, "2", "1", aliases.DEPLOYED)
    made.move(root, "1", None, aliases.DEPLOYED, pipeline="trains", environment="test")
    assert packages.delivered(root, ENVIRONMENT) == ["flights", "weather"]


def test_a_manifest_is_read_from_its_blob(root: Root) -> None:
    """What the contract declared comes back."""
    sha = blobs.put_json(root, {"owner": "ada"})
    found = packages.publish(
        root, PIPELINE, b"wheel", made.body("package.published", manifest=sha), actor="ada", now=NOW
    )
    assert found.manifest(root) == {"owner": "ada"}


def test_four_processes_publish_a_version_once(race: Race) -> None:
    """Of four with other bytes one wins and three are told; four with the same bytes get the same row."""
    found = listed(race.root, PIPELINE)
    versions = [one.version for one in found]
    assert len(set(versions)) == len(versions) == 2 * racer.ROUNDS
    assert sorted(seq for did in race.did for seq in did["published"]) == [
        one.seq for one in found if " " not in one.version
    ]
    same: Sequence[int] = [one.seq for one in found if " " in one.version]
    assert all(did["same"] == same for did in race.did)
