"""Bytes by their digest: packages, models, reports, manifests. Created only if absent, hashed on every read.

A blob's name is the SHA-256 of its bytes, so two writers of one blob agree by construction, and a flipped bit is
noticed by whoever reads it rather than by whoever uses it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore

from store.errors import InvalidInput, NotFound, Refused
from store.layout import Root

MAX_BYTES = 512 * 1024 * 1024


def digest(data: bytes) -> str:
    """SHA-256, lower-case hex, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8: the same value always has the same bytes.

    InvalidInput: what JSON cannot say, such as NaN, infinity, half a surrogate pair, or an object.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"This cannot be written as JSON: {error}.", "JSON has no NaN and no infinity; null is the way."
        ) from error


def path(root: Root, sha: str) -> Path:
    """Where the blob lies, whether or not it exists. Refuses what is not a digest, so no name can leave the folder."""
    if len(sha) != 64 or set(sha) - set("0123456789abcdef"):
        raise InvalidInput(f"{sha!r} is not a digest.", "A digest is 64 lower-case hexadecimal characters (SHA-256).")
    return root.blobs / "sha256" / sha[:2] / sha


def put(root: Root, data: bytes) -> str:
    """Store the bytes and return their digest; storing them again changes nothing."""
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"A blob of {len(data):,} bytes is too large.", f"The most is {MAX_BYTES:,} bytes.")
    sha = digest(data)
    key = str(path(root, sha).relative_to(root.blobs))
    try:
        obstore.put(LocalStore(root.blobs), key, data, mode="create")
    except obstore.exceptions.AlreadyExistsError:
        get(root, sha)
    return sha


def get(root: Root, sha: str) -> bytes:
    """The bytes of a digest. Raises NotFound, or Refused when they no longer hash to their name."""
    where = path(root, sha)
    try:
        data = where.read_bytes()
    except FileNotFoundError:
        raise NotFound(
            f"There is no blob {sha[:8]}.", f"Looked in {root.blobs}.", "Restore it from a copy of the root."
        ) from None
    if digest(data) != sha:
        raise Refused(
            f"The blob {sha[:8]} has been changed: its bytes hash to {digest(data)[:8]}.",
            f"It lies at {where}.",
            "Restore it from a copy; nothing was loaded.",
        )
    return data


def put_json(root: Root, value: Any) -> str:
    """Store a value as canonical JSON."""
    return put(root, canonical(value))


def get_json(root: Root, sha: str) -> Any:
    """The value of a canonical JSON blob."""
    return json.loads(get(root, sha))
