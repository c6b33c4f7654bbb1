"""What others packed, unpacked with suspicion: the members of a zip archive as bytes, or a reason why not.

Models and wheels are zip archives. A reader that follows the format to the letter can be made to write outside its
folder, to fill the memory, or to see other members than the next reader does. Here an archive has one reading: it
begins with its first member, names each member once and plainly, holds files only, stored or deflated, and no more
bytes than its reader allows, whatever it declares.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import PurePosixPath

MAX_MEMBERS = 100_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FILE_KINDS = (0x0, 0x8)  # as Unix has them: not said, or a regular file


class Unreadable(Exception):
    """Why the archive is not read: one clause, without a full stop."""


class TooLarge(Unreadable):
    """It would unpack to more than is allowed."""


def members(data: bytes, most: int) -> dict[str, bytes]:
    """Name to content, in the archive's order, without its folders. Unreadable, or TooLarge: over ``most`` bytes in all."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            _check(archive, found, most)
            return {info.filename: _content(archive, info) for info in found if not info.is_dir()}
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _check(archive: zipfile.ZipFile, found: list[zipfile.ZipInfo], most: int) -> None:
    """All that can be said before anything is inflated."""
    if len(found) > MAX_MEMBERS or sum(info.file_size for info in found) > most:
        raise TooLarge(f"unpacked it exceeds {most:,} bytes or {MAX_MEMBERS:,} members")
    if archive.comment or any(info.comment for info in found) or min((info.header_offset for info in found), default=0):
        raise Unreadable("something stands before, between or after the members")
    if len({info.filename for info in found}) != len(found):
        raise Unreadable("it has two members of one name")
    for info in found:
        name = info.filename.removesuffix("/") if info.is_dir() else info.filename
        parts = PurePosixPath(name).parts
        if not parts or "/".join(parts) != name or ".." in parts or "\\" in name or info.orig_filename != info.filename:
            raise Unreadable(f"it holds {info.orig_filename[:200]!r}, which is no plain name")
        if (info.is_dir() and info.file_size) or (not info.is_dir() and info.external_attr >> 28 not in _FILE_KINDS):
            raise Unreadable(f"it holds {info.filename[:200]!r}, which is no plain file")
        if info.compress_type not in _METHODS:
            raise Unreadable(f"it holds {info.filename[:200]!r}, packed by method {info.compress_type}")


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """As many bytes as it declares, whose checksum is the declared one: zipfile sees to that, and to no more of them."""
    with archive.open(info) as member:
        content = member.read()
    if len(content) != info.file_size:
        raise Unreadable(f"{info.filename[:200]!r} has {len(content):,} bytes and declares {info.file_size:,}")
    return content
