"""The model registry's promises: one model a digest, found by alias, version or digest, promoted by compare-and-set."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import blobs, ledger
from store.errors import Conflict, InvalidInput, NotFound
from store.layout import Root
from store.registry import models
from store.registry.models import Model
from tests.conftest import NOW
from tests.store.registry import made
from tests.store.registry.made import ENVIRONMENT, PIPELINE, model


def promote(root: Root, found: Model, expected: Model | None, request: str | None = None) -> ledger.Row:
    before = expected.digest if expected else None
    return models.promote(root, found, expected=before, actor="ada", now=NOW, reason="It is better.", request=request)


def test_a_registered_model_is_its_bytes_and_its_lineage(root: Root) -> None:
    """The bytes come back by digest; the payload says what it was trained from."""
    found = model(root, "m1", b"bytes")
    assert blobs.get(root, found.digest) == b"bytes"
    assert (found.pipeline, found.environment, found.version, found.actor) == (PIPELINE, ENVIRONMENT, "m1", "ada")
    assert (found.registered_at, found.seq) == (NOW, 1)
    assert found.body == made.body("model.registered", version="m1")


def test_the_same_bytes_are_registered_once(root: Root) -> None:
    """Again, or by the same training with a later time: the first registration stands."""
    found = model(root, "m1", b"bytes", request="training")
    assert model(root, "m1", b"bytes") == model(root, "m2", b"bytes", request="training") == found
    assert ledger.head(root) == 1


def test_two_packages_may_train_the_same_bytes(root: Root) -> None:
    """Each has its registration, with its own lineage."""
    found = [model(root, "m1", b"bytes"), model(root, "m2", b"bytes", package="p" * 64)]
    assert models.listed(root, PIPELINE, ENVIRONMENT) == found
    assert [one.body.package == "p" * 64 for one in found] == [False, True]


def test_registering_at_the_same_moment_is_registering_once(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody registered the same bytes between our look and our write: theirs is the row."""
    real = ledger.append

    def overtaken(*given: object, **asked: object) -> ledger.Row:
        monkeypatch.setattr(ledger, "append", real)
        model(root, "m1", b"bytes", actor="bob")
        return real(*given, **asked)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "append", overtaken)
    assert model(root, "m1", b"bytes").actor == "bob"
    assert ledger.head(root) == 1


def test_environments_have_models_of_their_own(root: Root) -> None:
    """One digest may be registered in both, and each lists its own."""
    one, other = model(root, "m1", b"bytes"), model(root, "m1", b"bytes", environment="test")
    assert one.digest == other.digest
    assert models.listed(root, PIPELINE, "test") == [other]
    assert models.listed(root, PIPELINE) == models.listed(root) == [one, other]
    assert models.listed(root, "trains") == []


def test_a_model_is_asked_by_alias_version_or_digest(root: Root) -> None:
    """The champion unless said otherwise; eight characters of a digest suffice."""
    first, second = model(root, "m1"), model(root, "m2")
    promote(root, first, None)
    made.move(root, "m2", None, "challenger", digest=second.digest)
    assert models.get(root, PIPELINE, ENVIRONMENT) == models.champion(root, PIPELINE, ENVIRONMENT) == first
    for which in ("challenger", "m2", second.digest[:8], second.digest):
        assert models.get(root, PIPELINE, ENVIRONMENT, which) == second


def test_no_model_yet_says_what_to_run(root: Root) -> None:
    """The command with pipeline and environment."""
    with pytest.raises(NotFound, match=r"no model in test yet.*Run `assay train flights --environment test`"):
        models.get(root, PIPELINE, "test")
    assert models.champion(root, PIPELINE, "test") is None


@pytest.mark.parametrize("which", ["m10", "", "abc", "champion"])
def test_an_unknown_model_names_the_known_ones(root: Root, which: str) -> None:
    """Nothing is guessed: not from an empty name, a short digest, or an alias that was never set."""
    model(root, "m1")
    with pytest.raises(NotFound, match=f"no model of flights in production named '{which}'.*Known: m1"):
        models.get(root, PIPELINE, ENVIRONMENT, which)


def test_promoting_is_compare_and_set(root: Root) -> None:
    """Whoever compared with another champion than today's is told, and nothing moves."""
    first, second, third = (model(root, name) for name in ("m1", "m2", "m3"))
    promote(root, first, None)
    row = promote(root, second, first, request="run-2")
    assert (row.action, row.body.label, row.digest) == ("model.promoted", "m2", second.digest)
    with pytest.raises(Conflict, match="moved meanwhile"):
        promote(root, third, first)
    assert promote(root, second, first, request="run-2") == row
    assert models.champion(root, PIPELINE, ENVIRONMENT) == second


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=5, unique=True), st.integers(-14 * 60, 14 * 60))
def test_version_names_sort_by_time(minutes: list[int], offset: int) -> None:
    """In UTC, whatever zone the time came in: a later minute is a later name, and the digest begins it."""
    zone = timezone(timedelta(minutes=offset))
    start = datetime(1970, 1, 1, tzinfo=NOW.tzinfo)
    instants = sorted(start + timedelta(minutes=one) for one in minutes if one < 4 * 10**9 and one // 525_960 < 8_000)
    names = [models.version_name(one.astimezone(zone), "0123456789abcdef") for one in instants]
    assert names == sorted(names)
    assert all(name == f"{one:%Y%m%dT%H%M}Z-01234567" for name, one in zip(names, instants, strict=True))


def test_a_version_name_needs_a_zone() -> None:
    """A naive time would make a name that lies by hours."""
    with pytest.raises(InvalidInput, match="no zone"):
        models.version_name(NOW.replace(tzinfo=None), "0" * 64)
