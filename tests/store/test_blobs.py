"""The blobs' promises: named by content, hashed on every read, and canonical JSON that is one text a value."""

from __future__ import annotations

import hashlib
import json
import math
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import blobs, clock
from store.errors import InvalidInput, NotFound, Refused
from store.layout import Root

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=8
)


def test_bytes_come_back_under_their_digest(root: Root) -> None:
    """The name is the SHA-256; the empty blob is one too."""
    for data in (b"", b"assay", bytes(range(256))):
        assert blobs.put(root, data) == hashlib.sha256(data).hexdigest() == blobs.digest(data)
        assert blobs.get(root, blobs.digest(data)) == data


def test_storing_twice_writes_once(root: Root) -> None:
    """The file stays the one that is there."""
    where = blobs.path(root, blobs.put(root, b"assay"))
    before = where.stat()
    assert blobs.path(root, blobs.put(root, b"assay")) == where
    assert (where.stat().st_ino, where.read_bytes()) == (before.st_ino, b"assay")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=50), where=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(root: Root, data: bytes, where: int, bit: int) -> None:
    """Whichever bit it is, reading refuses with both digests, and storing the true bytes again does not hide it."""
    sha = blobs.put(root, data)
    changed = bytearray(data)
    changed[where % len(data)] ^= 1 << bit
    blobs.path(root, sha).write_bytes(changed)
    try:
        with pytest.raises(Refused, match=f"{sha[:8]} has been changed.*hash to {blobs.digest(changed)[:8]}.*copy"):
            blobs.get(root, sha)
        with pytest.raises(Refused):
            blobs.put(root, data)
    finally:
        blobs.path(root, sha).write_bytes(data)


def test_a_truncated_blob_is_refused(root: Root) -> None:
    """Half a file is not the file."""
    sha = blobs.put(root, b"assay" * 100)
    blobs.path(root, sha).write_bytes(b"assay" * 50)
    with pytest.raises(Refused):
        blobs.get(root, sha)


def test_what_is_no_file_of_a_blobs_size_is_refused_unread(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe would hang its reader, and a file without end would fill the memory."""
    sha = blobs.put(root, b"assay")
    where = blobs.path(root, sha)
    monkeypatch.setattr(blobs, "MAX_BYTES", 4)
    with pytest.raises(
        Refused, match=f"The blob {sha[:8]} is no file of at most 4 bytes.*5 bytes, mode -r.*nothing was read"
    ):
        blobs.get(root, sha)
    where.unlink()
    os.mkfifo(where)
    with pytest.raises(Refused, match="mode pr"):
        blobs.get(root, sha)
    where.unlink()
    where.mkdir()
    with pytest.raises(Refused, match="mode dr"):
        blobs.get(root, sha)


def test_a_blob_that_is_put_again_is_young_again(root: Root) -> None:
    """What is about to be named by a row is not taken for something that nobody reaches."""
    sha = blobs.put(root, b"bytes")
    os.utime(blobs.path(root, sha), (0, 0))
    assert blobs.put(root, b"bytes") == sha
    assert blobs.path(root, sha).stat().st_mtime > 10**9


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_blob_that_is_no_json_is_refused(root: Root, data: bytes) -> None:
    """Even if its bytes are those that were stored."""
    with pytest.raises(Refused, match="is no JSON"):
        blobs.get_json(root, blobs.put(root, data))


def test_an_unknown_digest_is_not_found(root: Root) -> None:
    """The error says where it looked."""
    with pytest.raises(NotFound, match=f"no blob aaaaaaaa.*{root.blobs}"):
        blobs.get(root, "a" * 64)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../" * 21 + "a",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        "a" * 63 + "/",
        "a" * 63 + "\n",
        "/" + "a" * 63,
    ],
)
def test_what_is_no_digest_names_no_file(root: Root, name: str) -> None:
    """Nothing but 64 lower-case hexadecimal characters can name a blob, so no name leaves the folder."""
    for ask in (blobs.path, blobs.get, blobs.get_json):
        with pytest.raises(InvalidInput, match="64 lower-case hexadecimal"):
            ask(root, name)


def test_a_blob_has_a_largest_size(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte more is refused, with both sizes, and not stored."""
    monkeypatch.setattr(blobs, "MAX_BYTES", 4)
    blobs.put(root, b"1234")
    with pytest.raises(InvalidInput, match=r"5 bytes is too large.*most is 4"):
        blobs.put(root, b"12345")
    assert not blobs.path(root, blobs.digest(b"12345")).exists()


@given(JSON, st.randoms(use_true_random=False))
def test_canonical_json_is_one_text_a_value(value: Any, random: Any) -> None:
    """Whatever order the keys came in, the bytes are the same, and they say the same value."""

    def shuffled(one: Any) -> Any:
        if isinstance(one, dict):
            keys = list(one)
            random.shuffle(keys)
            return {key: shuffled(one[key]) for key in keys}
        return [shuffled(child) for child in one] if isinstance(one, list) else one

    data = blobs.canonical(value)
    assert blobs.canonical(shuffled(value)) == data
    assert json.loads(data) == value
    assert blobs.canonical(json.loads(data)) == data


def test_canonical_json_does_not_change_between_versions() -> None:
    """These bytes are hashed into ids: they are what they were."""
    value = {"b": [1, 2.5, None, True], "a": {"ü": "…"}, "": -0.0}
    assert blobs.canonical(value) == '{"":-0.0,"a":{"ü":"…"},"b":[1,2.5,null,true]}'.encode()


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "\ud800", object(), b"bytes", {"a": {1}}, {1: 1, "1": 2}]
)
def test_what_json_cannot_say_is_refused(root: Root, value: Any) -> None:
    """NaN, infinity, half a surrogate pair, objects: refused as input, and nothing is stored."""
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        blobs.put_json(root, {"value": value})
    assert not list(Path(root.blobs).rglob("*"))


def test_json_values_come_back(root: Root) -> None:
    """Equal values are one blob."""
    sha = blobs.put_json(root, {"b": 1, "a": [1.5]})
    assert blobs.put_json(root, {"a": [1.5], "b": 1}) == sha
    assert blobs.get_json(root, sha) == {"a": [1.5], "b": 1}


def test_every_blob_is_listed_and_nothing_else(root: Root) -> None:
    """A file half written, or put there by somebody, is no blob."""
    there = sorted(blobs.put(root, data) for data in (b"one", b"two"))
    (root.blobs / "sha256" / "ab").mkdir(exist_ok=True)
    (root.blobs / "sha256" / "ab" / f"{'ab' * 32}#1").write_bytes(b"half")
    assert blobs.listed(root) == there


def test_a_blob_is_removed_only_if_nobody_put_it_since(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewed at the last moment, after it was looked at, it is given back."""
    sha, now = blobs.put(root, b"assay"), clock.wall()
    assert not blobs.remove(root, sha, before=now - timedelta(hours=1))
    renamed = os.rename

    def renewing(source: Path, target: Path) -> None:
        os.utime(source, (now.timestamp() + 9, now.timestamp() + 9))
        renamed(source, target)

    with monkeypatch.context() as racing:
        racing.setattr(os, "rename", renewing)
        assert not blobs.remove(root, sha, before=now + timedelta(seconds=5))
    assert blobs.get(root, sha) == b"assay"
    assert blobs.remove(root, sha, before=now + timedelta(hours=1))
    assert not blobs.remove(root, sha, before=now + timedelta(hours=1))
    assert blobs.listed(root) == []
    assert not [path for path in root.blobs.rglob("*") if path.is_file()]
