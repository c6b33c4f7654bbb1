"""An archive has one reading, or none."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import pytest

from flows.building import archive

MOST = 1_000_000


def zipped(*named: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, attributes: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in named:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = method, attributes
            made.writestr(info, content)
    return buffer.getvalue()


def commented(data: bytes) -> bytes:
    return data[:-2] + struct.pack("<H", 5) + b"words"


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    """One field of the first entry of the central directory changed."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.index(b"PK\x01\x02") + offset, value)
    return bytes(changed)


GOOD = zipped(("a/b", b"content" * 9), ("c", b""))


def test_members_come_out_in_order_and_folders_are_none() -> None:
    """Stored and deflated alike."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = zipped(("b/", b""), ("b/a", b"1"), ("a", b"2" * 99), method=method)
        assert list(archive.members(data, MOST).items()) == [("b/a", b"1"), ("a", b"2" * 99)]


@pytest.mark.parametrize(
    "name", ["../a", "a/../b", "/a", "a//b", "./a", "a/./b", "a\\b", "a\0b", "..", ".", "a/..", "//a", "../", "a/../b/"]
)
def test_a_name_that_is_not_plain_is_refused(name: str) -> None:
    """Whatever a reader might make of it, nobody has to."""
    slot = "x" * len(name)  # zipfile would not write every one of them
    with pytest.raises(archive.Unreadable, match="no plain name"):
        archive.members(zipped((slot, b"x")).replace(slot.encode(), name.encode()), MOST)


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not a zip file"),
    "a text": (b"hello", "not a zip file"),
    "a stack of two": (GOOD + zipped(("other", b"x")), "before, between or after"),
    "something before": (b"#!/bin/sh\n" + GOOD, "before, between or after"),
    "a comment": (commented(GOOD), "before, between or after"),
    "a link": (zipped(("a", b"/etc/passwd"), attributes=0o120777 << 16), "no plain file"),
    "a device": (zipped(("a", b""), attributes=0o060666 << 16), "no plain file"),
    "another method": (zipped(("a", b"x"), method=zipfile.ZIP_LZMA), "packed by method 14"),
    "an encrypted member": (patched(GOOD, 8, "<H", 1), "encrypted"),
    "a smaller size than there is": (patched(GOOD, 24, "<I", 7), "CRC"),
    "a larger size than there is": (patched(GOOD, 24, "<I", 700), "has 63 bytes and declares 700"),
    "another checksum": (patched(GOOD, 16, "<I", 7), "CRC"),
    "a member beyond the end": (patched(GOOD, 42, "<I", 1 << 30), "before, between or after"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_plain_archive_is_refused(name: str) -> None:
    """With the reason, and with this error only."""
    data, why = REFUSED[name]
    with pytest.raises(archive.Unreadable, match=why):
        found = archive.members(data, MOST)
        assert sum(map(len, found.values())) != 63, "it was read as if nothing were wrong"


def test_two_members_of_one_name_are_refused() -> None:
    """Readers differ in which of them they see."""
    with pytest.raises(archive.Unreadable, match="two members of one name"):
        archive.members(zipped(("a", b"1"), ("b", b"2")).replace(b"b", b"a"), MOST)


def test_what_unpacks_to_too_much_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """All members together; one byte less is read."""
    data = zipped(("a", bytes(500)), ("b", bytes(500)))
    assert len(archive.members(data, 1000)) == 2

    def inflated(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(archive, "_content", inflated)
    with pytest.raises(archive.TooLarge, match="exceeds 999 bytes"):
        archive.members(data, 999)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 1)
    with pytest.raises(archive.TooLarge, match="1 members"):
        archive.members(data, 1000)


def test_an_archive_in_an_archive_stays_one() -> None:
    """Nested bombs go off in whoever unpacks what was unpacked; nobody does."""
    assert archive.members(zipped(("inner", GOOD)), MOST) == {"inner": GOOD}


def test_any_flipped_bit_is_refused_or_changes_no_content() -> None:
    """Whichever bit of the archive it is, no member comes out with other bytes."""
    good = archive.members(GOOD, MOST)
    for place in range(len(GOOD) * 8):
        data = bytearray(GOOD)
        data[place // 8] ^= 1 << place % 8
        try:
            found = archive.members(bytes(data), MOST)
        except archive.Unreadable:
            continue
        assert list(found.values()) == list(good.values())
