"""Bytes by their digest: packages, models, reports, manifests. Created only if absent, hashed on every read.

A blob's name is the SHA-256 of its bytes, so two writers of one blob agree by construction, and a flipped bit is
noticed by whoever reads it rather than by whoever uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore

from store.errors import InvalidInput, NotFound, Refused
from store.layout import Root, writing

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
            f"This cannot be written as JSON: {error}.",
            "JSON has no NaN and no infinity; null is the way.",
            "Replace them before storing.",
        ) from error


def path(root: Root, sha: str) -> Path:
    """Where the blob lies, whether or not it exists. Refuses what is not a digest, so no name can leave the folder."""
    if len(sha) != 64 or set(sha) - set("0123456789abcdef"):
        raise InvalidInput(
            f"{sha!r} is not a digest.",
            "A digest is 64 lower-case hexadecimal characters (SHA-256).",
            "Copy it whole: a version's digest stands in `assay packages` and `assay models -o json`.",
        )
    return root.blobs / "sha256" / sha[:2] / sha


def put(root: Root, data: bytes) -> str:
    """Store the bytes and return their digest; storing them again makes the blob young, and changes nothing else.

    Young, because ``maintain`` removes old blobs that no row names, and the row that names this one may be about to come.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(
            f"A blob of {len(data):,} bytes is too large.",
            f"The most is {MAX_BYTES:,} bytes.",
            "Make it smaller, or keep large data in the feature store.",
        )
    sha = digest(data)
    key = str(path(root, sha).relative_to(root.blobs))
    while True:
        try:
            with writing(root.blobs / key):
                obstore.put(LocalStore(root.blobs), key, data, mode="create")
            return sha
        except obstore.exceptions.AlreadyExistsError:
            with contextlib.suppress(FileNotFoundError, NotFound):  # removed in this very moment: put it anew
                os.utime(path(root, sha))
                get(root, sha)
                return sha


def get(root: Root, sha: str) -> bytes:
    """The bytes of a digest. Raises NotFound, or Refused when they no longer hash to their name, or are no file of a blob's size."""
    where = path(root, sha)
    try:
        found = where.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise Refused(
                f"The blob {sha[:8]} is no file of at most {MAX_BYTES:,} bytes.",
                f"At {where} lies something of {found.st_size:,} bytes, mode {stat.filemode(found.st_mode)}.",
                "Restore it from a copy; nothing was read.",
            )
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
    """The value of a canonical JSON blob. Raises as ``get``, and Refused when the blob is no JSON."""
    try:
        return json.loads(get(root, sha))
    except (ValueError, RecursionError) as error:
        raise Refused(
            f"The blob {sha[:8]} is no JSON: {type(error).__name__}.",
            f"It lies at {path(root, sha)}, as it was stored.",
            "Ask for a digest that names a document.",
        ) from error


def listed(root: Root) -> list[str]:
    """The digest of every blob there is, in order."""
    found = (file.name for file in root.blobs.glob("sha256/[0-9a-f][0-9a-f]/*"))
    return sorted(name for name in found if len(name) == 64 and not set(name) - set("0123456789abcdef"))


def remove(root: Root, sha: str, *, before: datetime) -> bool:
    """Remove a blob that nobody has put since ``before`` (wall clock, with a zone); whether it was removed.

    It is taken aside first and looked at again there: who renewed it meanwhile gets it back.
    """
    where = path(root, sha)
    aside = where.with_name(f".{sha}.{os.getpid()}.{threading.get_ident()}")
    try:
        if where.stat().st_mtime >= before.timestamp():
            return False
        os.rename(where, aside)
    except FileNotFoundError:
        return False
    if aside.stat().st_mtime >= before.timestamp():
        os.rename(aside, where)
        return False
    aside.unlink()
    return True
