"""The layout's promises: a numbered format, names that stay inside the root, files that are old or new but never half."""

from __future__ import annotations

import os
import pickle
import re
import string
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import layout
from store.errors import InvalidInput, Refused, Unreachable
from store.layout import Root, checked, checked_environment, write_atomically

LOWER, REST = string.ascii_lowercase, string.ascii_lowercase + string.digits + "_"


def test_a_new_root_is_laid_out_and_numbered(tmp_path: Path) -> None:
    """FORMAT holds the number, and opening again changes nothing."""
    root = Root.open(tmp_path / "root")
    assert (root.path / "FORMAT").read_text() == f"{layout.FORMAT}\n"
    before = sorted(root.path.rglob("*"))
    assert Root.open(root.path) == root
    assert sorted(root.path.rglob("*")) == before


@pytest.mark.parametrize("found", ["2", "0", "", "one"])
def test_a_root_of_another_layout_is_refused(root: Root, found: str) -> None:
    """Whatever the number, if it is not this one, the error names both and nothing is rewritten."""
    (root.path / "FORMAT").write_text(found)
    with pytest.raises(Refused, match=f"layout {found!r}.*reads layout {layout.FORMAT}.*ASSAY_ROOT"):
        Root.open(root.path)
    assert (root.path / "FORMAT").read_text() == found


def test_the_root_is_the_argument_else_the_variable_else_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over ASSAY_ROOT, and that over ./.assay."""
    monkeypatch.chdir(tmp_path)
    assert Root.open().path == tmp_path / ".assay"
    monkeypatch.setenv("ASSAY_ROOT", str(tmp_path / "shell"))
    assert Root.open().path == tmp_path / "shell"
    assert Root.open(tmp_path / "given").path == tmp_path / "given"


def test_a_root_crosses_processes(root: Root) -> None:
    """It holds paths only, so pickled and back it is equal."""
    assert pickle.loads(pickle.dumps(root)) == root


@given(st.builds(str.__add__, st.sampled_from(LOWER), st.text(REST, max_size=62)))
def test_a_plain_name_is_kept(name: str) -> None:
    """Lower-case letters, digits and underscores, a letter first, 63 at most."""
    assert checked("pipeline", name) == name


@given(
    st.text(max_size=70).filter(
        lambda name: not name or name[0] not in LOWER or set(name) - set(REST) or len(name) > 63
    )
)
def test_any_other_name_is_refused_with_the_rule(name: str) -> None:
    """No name can be a path, a keyword in quotes, or two folders on a file system that ignores case."""
    with pytest.raises(InvalidInput, match="lower-case letters, digits and underscores"):
        checked("pipeline", name)


def test_names_are_checked_wherever_they_become_a_path(root: Root) -> None:
    """A group, pipeline or table with ``..`` in it never leaves the root."""
    for ask in (
        lambda: root.group("../ledger"),
        lambda: root.online("../ledger"),
        lambda: root.traffic("test", "../../ledger", "predictions"),
        lambda: root.traffic("test", "flights", ".."),
        lambda: root.traffic("..", "flights", "predictions"),
        lambda: root.spool("..", "flights"),
        lambda: root.spool("test", "a/b"),
    ):
        with pytest.raises(InvalidInput):
            ask()
    assert root.traffic("test", "flights", "predictions") == root.path / "traffic/test/flights/predictions"


def test_there_are_two_environments() -> None:
    """test and production; any other is refused, and both are named."""
    assert [checked_environment(name) for name in ("test", "production")] == ["test", "production"]
    with pytest.raises(InvalidInput, match=r"'staging'.*test, production"):
        checked_environment("staging")


def test_a_write_that_dies_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the rename: the old content is whole, and no half-written file is left beside it."""
    path = tmp_path / "pointer"
    write_atomically(path, b"old")

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_threads_may_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer in the same process, in the middle of the first's write, takes nothing away from it."""
    path, real = tmp_path / "pointer", os.fsync
    second = threading.Thread(target=write_atomically, args=(path, b"second"))

    def interrupted(file: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        second.start()
        second.join()
        real(file)

    monkeypatch.setattr(os, "fsync", interrupted)
    write_atomically(path, b"first")
    assert path.read_bytes() == b"first"


def test_a_full_disk_is_said_with_the_room_that_is_left(tmp_path: Path) -> None:
    """The file beside the pointer is on a device that takes nothing: the old bytes stay, and what to do is told."""
    path = tmp_path / "pointer"
    write_atomically(path, b"old")
    (tmp_path / f".pointer.{os.getpid()}.{threading.get_ident()}").symlink_to("/dev/full")
    with pytest.raises(Unreachable) as refused:
        write_atomically(path, b"new")
    assert refused.value.asked == "pointer cannot be written: No space left on device."
    assert re.fullmatch(r"At \S+ [\d,]+ bytes are free\. Nothing was half-written\.", refused.value.exists)
    assert refused.value.remedy == "Make room or mend the permissions, and run it again."
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
