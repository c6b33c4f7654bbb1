"""A pipeline's source: found, digested, and built into bytes that are always the same."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from flows.building import source
from store.errors import InvalidInput, NotFound, Refused

CONTENT = {"__init__.py": b"pipeline = None\n", "own/steps.py": b"STEP = 1\n", "data/names.csv": b"a,b\n"}


def written(folder: Path, content: dict[str, bytes] = CONTENT) -> Path:
    for relative, data in content.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(*names: str, data: bytes = b"x", attributes: int = 0) -> bytes:
    """An archive of these members, whatever a wheel should look like."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            member = zipfile.ZipInfo(name)
            member.external_attr = attributes
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    return buffer.getvalue()


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    """From another folder, of other times and another umask, written in another order."""
    first = source.wheel("bakery", "1.0.0", source.files(written(tmp_path / "one" / "bakery")))
    umask = os.umask(0o077)
    try:
        folder = written(tmp_path / "far" / "away" / "bakery", dict(reversed(CONTENT.items())))
        for path in folder.rglob("*"):
            os.utime(path, (0, 0))
        second = source.wheel("bakery", "1.0.0", source.files(folder))
    finally:
        os.umask(umask)
    assert first == second


def test_a_wheel_has_one_top_level_name_and_all_the_files(tmp_path: Path) -> None:
    """And beside it the metadata that installers need."""
    with zipfile.ZipFile(io.BytesIO(source.wheel("late_trains", "1.2.3", CONTENT))) as wheel:
        names = set(wheel.namelist())
    own = {name for name in names if name.startswith("late_trains/")}
    assert own == {f"late_trains/{name}" for name in CONTENT}
    assert names - own == {f"late_trains-1.2.3.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")}


def test_a_version_that_no_wheel_can_have_is_refused() -> None:
    """The pipeline and its version are named."""
    with pytest.raises(InvalidInput, match=r"bakery one cannot be built: .*Give the pipeline a version such as 1.2.0"):
        source.wheel("bakery", "one", CONTENT)


def test_the_tree_changes_with_one_byte_a_name_or_a_border() -> None:
    """And with nothing else: the order of the files does not matter."""
    tree = source.tree(CONTENT)
    assert source.tree(dict(reversed(CONTENT.items()))) == tree
    others = [
        CONTENT | {"data/names.csv": b"a,c\n"},
        {**{k: v for k, v in CONTENT.items() if k != "data/names.csv"}, "data/name.csv": b"a,b\n"},
        CONTENT | {"empty": b""},
        CONTENT | {"__init__.py": b"pipeline = None\nSTEP = 1\n", "own/steps.py": b""},
    ]
    assert len({tree, *map(source.tree, others)}) == 5


def test_files_are_those_that_a_wheel_holds(tmp_path: Path) -> None:
    """Caches, compiled and hidden files are no source; a wheel gives back what went in."""
    litter = {"__pycache__/a.pyc": b"", "own/__pycache__/b.pyc": b"", ".git/HEAD": b"", ".secret": b"", "left.pyc": b""}
    content = source.files(written(tmp_path / "bakery", CONTENT | litter))
    assert content == CONTENT
    data = source.wheel("bakery", "1.0.0", content)
    source.unpack(data, "bakery", tmp_path / "unpacked")
    assert source.files(tmp_path / "unpacked" / "bakery") == source.held(data, "bakery") == CONTENT
    assert [path.name for path in (tmp_path / "unpacked").iterdir()] == ["bakery"]


@pytest.mark.parametrize(
    "name",
    [
        "../bakery/a.py", "bakery/../../a.py", "/bakery/a.py", "butcher/a.py", "bakery.pth", "a.py", "bakery-1.0.data/a.py",
        "bakery-1.pth", "bakery\\..\\a.py", "baker/__init__.py", "bakery/left.pyc", "bakery/.hidden", "bakery//a.py",
        "bakery/__init__.py/a.py",
    ],
)  # fmt: skip
def test_unpacking_refuses_names_outside_the_pipelines_own(tmp_path: Path, name: str) -> None:
    """Traversal, absolute and foreign names, files that no digest counts: named, and nothing is unpacked."""
    with pytest.raises(Refused, match=r"The package of bakery .*holds .*Nothing was unpacked"):
        source.unpack(zipped("bakery/__init__.py", name), "bakery", tmp_path / "target")
    assert list(tmp_path.rglob("*")) == []


def test_unpacking_refuses_links(tmp_path: Path) -> None:
    """A member that is a symbolic link, whatever its name."""
    with pytest.raises(Refused, match="holds 'bakery/link', which is no plain file"):
        source.unpack(zipped("bakery/link", data=b"/etc", attributes=0o120777 << 16), "bakery", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_unpacking_refuses_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All members together, before the first is written; small on disk is no excuse."""
    monkeypatch.setattr(source, "MAX_UNPACKED", 1000)
    bomb = zipped("bakery/a", "bakery/b", data=b"\0" * 501)
    assert len(bomb) < 1000
    with pytest.raises(Refused, match="is no wheel: unpacked it exceeds 1,000 bytes"):
        source.unpack(bomb, "bakery", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    source.unpack(zipped("bakery/a", "bakery/b", data=b"\0" * 500), "bakery", tmp_path / "target")


def test_unpacking_refuses_what_is_no_archive(tmp_path: Path) -> None:
    """A published blob that is no wheel is refused like any other that may not be loaded."""
    with pytest.raises(Refused, match="The package of bakery is no wheel"):
        source.unpack(b"MZ", "bakery", tmp_path / "target")
    with pytest.raises(Refused, match="The package of bakery is no wheel"):
        source.held(b"MZ", "bakery")


def test_a_pipeline_is_found_by_name_or_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name means ``flows/pipelines/``; what has a slash is a path, relative ones included."""
    assert source.find("flight_delay") == source.HOME / "flight_delay"
    folder = written(tmp_path / "bakery")
    assert source.find(str(folder)) == folder
    monkeypatch.chdir(tmp_path)
    assert source.find("./bakery/") == folder


def test_a_pipeline_that_is_not_there_is_named_with_the_near_ones(tmp_path: Path) -> None:
    """A near miss finds its name again; a folder without code is none."""
    with pytest.raises(NotFound, match=r"Known: arrival_minutes, flight_delay. Did you mean flight_delay?"):
        source.find("flight_dalay")
    with pytest.raises(NotFound, match=r"or the path of a folder with an __init__.py"):
        source.find(str(tmp_path))


def test_a_folder_whose_name_can_be_no_module_is_refused(tmp_path: Path) -> None:
    """Its name becomes a module, a folder and a view."""
    with pytest.raises(InvalidInput, match="'My Bakery' cannot be the name of a pipeline"):
        source.find(str(written(tmp_path / "My Bakery")))


@pytest.mark.parametrize(
    "name", ["flows", "store", "console", "tests", "json", "calendar", "dist", "late__trains", "late_"]
)
def test_a_name_that_shadows_a_module_or_that_no_wheel_can_have_is_refused(name: str) -> None:
    """Its folder is first on the path: it would be imported in the other's place."""
    with pytest.raises(InvalidInput, match=f"A pipeline cannot be named '{name}'"):
        source.checked_name(name)
    assert source.checked_name("late_trains") == "late_trains"


def test_the_commit_is_empty_outside_git(tmp_path: Path) -> None:
    """A folder that nobody versions has no commit, and none is made up."""
    assert source.commit(written(tmp_path / "bakery")) == ""


def test_the_commit_says_when_the_folder_differs_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean, then with a change in the folder; a change elsewhere in the repository is not its own."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.org")
    folder = written(tmp_path / "bakery")

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    head = git("rev-parse", "HEAD")
    assert source.commit(folder) == head
    (tmp_path / "elsewhere").write_text("x")
    assert source.commit(folder) == head
    (folder / "__init__.py").write_text("pipeline = 1\n")
    assert source.commit(folder) == f"{head}+dirty"


def test_the_date_that_other_builders_take_from_the_environment_changes_no_byte(monkeypatch):
    """SOURCE_DATE_EPOCH is somebody else's setting."""
    content = {"__init__.py": b"pipeline = None\n"}
    plain = source.wheel("bakery", "1.0.0", content)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert source.wheel("bakery", "1.0.0", content) == plain
