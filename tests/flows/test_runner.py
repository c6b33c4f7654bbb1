"""The runner: whose code runs, and how a child that fails comes back.

Children that only end badly run a module of the pipeline's own, which imports nothing and costs a moment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows import runner
from flows.building import source
from flows.runner import Code
from store.actions import PackagePublished
from store.errors import AssayError, GateFailed, InvalidInput, Refused
from store.layout import Root
from store.registry import packages
from store.registry.packages import Package
from tests.flows.certified import issued

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SOURCE = """
import polars as pl

from flows.pipeline import MAE, Pipeline, Serving

from .words import DESCRIPTION

print("imported")
print('{"step": no json at all')
pipeline = Pipeline(
    name="tiny", version="1.0.0", description=DESCRIPTION, owner="tests", task="regression", dataset=None, prepare=None,
    inputs=("x",), features=(), estimator=None, metric=MAE, floor=1.0, serving=Serving({"id": pl.String()}, {}, ("id",)),
)
"""


def written(folder: Path, description: str = "the first", **modules: str) -> Path:
    """A source folder; ``modules`` are more files of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.py").write_text(f"DESCRIPTION = {description!r}\n")
    (folder / "__init__.py").write_text(modules.pop("__init__", SOURCE))
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def published(root: Root, folder: Path, version: str = "1.0.0") -> Package:
    content = source.files(folder)
    wheel = source.wheel("tiny", version, content)
    body = PackagePublished(
        version=version, wheel="", contract=1, commit="", tree=source.tree(content), evidence="", manifest="", gate_model="",
        groups={}, metric="mean_absolute_error", value=0.5, certificate=issued(root, "tiny", version, wheel, NOW),
    )  # fmt: skip
    return packages.publish(root, "tiny", wheel, body, actor="test", now=NOW)


def described(code: Code, **options: Any) -> str:
    return runner.run(code, "flows.building", {"what": "describe"}, **options)["manifest"]["description"]


@pytest.fixture
def child(root: Root, tmp_path: Path):
    """Run a module of a pipeline in a process of its own."""

    def run(text: str, timeout_s: float = 60, progress: Any = None, **job: Any) -> dict[str, Any]:
        code = runner.stage(root, written(tmp_path / "tiny", __init__="", child=text))
        return runner.run(code, "tiny.child", job, timeout_s=timeout_s, progress=progress)

    return run


# ---- whose code runs ------------------------------------------------------------------------------------------------


def test_what_was_staged_or_published_runs_whatever_becomes_of_the_folder(root: Root, tmp_path: Path) -> None:
    """The staged first version after the folder was edited, and the published second one after it is gone: side by side, each
    its own code. Nothing is written beside it."""
    folder = written(tmp_path / "tiny")
    first = runner.stage(root, folder)
    second = runner.unpacked(root, published(root, written(folder, "the second")))
    third = runner.stage(root, written(folder, "the third"))
    shutil.rmtree(folder)
    steps: list[str] = []
    assert [described(first, progress=steps.append), described(second)] == ["the first", "the second"]
    assert len({first.path, second.path, third.path}) == 3
    assert steps == []
    for code in (first, second):
        assert sorted(path.name for path in code.path.rglob("*")) == ["__init__.py", "tiny", "words.py"]


def test_staging_and_unpacking_the_same_again_changes_nothing(root: Root, tmp_path: Path) -> None:
    """One content, one folder, one tree, from source and package alike."""
    folder = written(tmp_path / "tiny")
    code, package = runner.stage(root, folder), published(root, folder)
    assert runner.stage(root, folder) == code
    assert runner.unpacked(root, package) == runner.unpacked(root, package)
    assert runner.unpacked(root, package).tree == code.tree == package.body.tree
    shutil.rmtree(root.cache)
    assert runner.unpacked(root, package).tree == code.tree
    assert not [path for path in root.cache.rglob("*") if path.name.startswith(".")]


def test_the_same_files_under_another_name_are_another_pipeline(root: Root, tmp_path: Path) -> None:
    """A copied folder is staged under its own name, so that its contract can be told to change."""
    first = runner.stage(root, written(tmp_path / "tiny"))
    second = runner.stage(root, written(tmp_path / "small"))
    assert first.tree == second.tree
    assert (second.path / "small" / "__init__.py").is_file()


@pytest.mark.parametrize("change", ["edit", "remove", "add"])
def test_code_that_was_changed_in_the_cache_does_not_run(root: Root, tmp_path: Path, change: str) -> None:
    """What was proved is what runs, or nothing: the folder to delete is named."""
    folder = written(tmp_path / "tiny")
    package = published(root, folder)
    for again in (lambda: runner.unpacked(root, package), lambda: runner.stage(root, folder)):
        code = again()
        words = code.path / "tiny" / "words.py"
        if change == "remove":
            words.unlink()
        else:
            (words if change == "edit" else words.with_name("more.py")).write_text("DESCRIPTION = 'forged'\n")
        with pytest.raises(Refused, match=f"cached code of tiny was changed. It lies in {code.path}"):
            again()


def test_a_blob_that_was_changed_does_not_run(root: Root, tmp_path: Path) -> None:
    """A package's bytes are verified whenever they are unpacked."""
    package = published(root, written(tmp_path / "tiny"))
    blob = root.blobs / "sha256" / package.digest[:2] / package.digest
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes() + b"\0")
    with pytest.raises(Refused, match="has been changed"):
        runner.unpacked(root, package)


def test_the_code_is_first_on_the_path(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before what is there already, which keeps its meaning although the child starts elsewhere."""
    code = runner.stage(root, written(tmp_path / "tiny"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/elsewhere", "here", ""]))
    environment = runner.environment(code)
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(code.path), "/elsewhere", str(tmp_path / "here")]
    monkeypatch.delenv("PYTHONPATH")
    assert runner.environment(code)["PYTHONPATH"] == str(code.path)
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("name", ["flows", "store", "json"])
def test_a_pipeline_that_would_shadow_a_module_is_refused(root: Root, tmp_path: Path, name: str) -> None:
    """First on the path, it would be imported in the other's place."""
    with pytest.raises(InvalidInput, match=f"cannot be named '{name}'"):
        runner.stage(root, written(tmp_path / name))
    assert not root.cache.exists()


# ---- how it comes back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "raised"), [("Refused", Refused), ("GateFailed", GateFailed), ("Unheard", InvalidInput)]
)
def test_the_childs_own_error_comes_back_as_it_was_raised(child, kind: str, raised: type[AssayError]) -> None:
    """Kind, sentences and exit code; a kind that only the child knows is InvalidInput."""
    error = {"kind": kind, "asked": "No.", "exists": "There is one.", "remedy": "Take it."}
    answering = "import json, sys; job = json.load(open(sys.argv[1])); json.dump({'error': job['error']}, open(job['result'], 'w'))"
    with pytest.raises(raised) as back:
        child(answering, error=error)
    assert (back.value.asked, back.value.exists, back.value.remedy) == ("No.", "There is one.", "Take it.")
    assert type(back.value) is raised


def test_a_pipeline_that_raises_is_invalid_input_with_the_line(root: Root, tmp_path: Path) -> None:
    """The reason, and the place in the pipeline's own file."""
    raising = "def look():\n    return {}['hour']\n\nlook()\n"
    with pytest.raises(InvalidInput, match="tiny raised KeyError: 'hour'") as back:
        described(runner.stage(root, written(tmp_path / "tiny", __init__=raising)))
    assert 'tiny/__init__.py", line 2, in look' in back.value.exists


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import sys; print('digging'); sys.exit('no gold')", r"ended with code 1\. Its last words: digging\nno gold"),
        ("import sys; print('digging'); sys.exit(0)", r"ended with code 0\. Its last words: digging"),
        ("import os; print('digging', flush=True); os._exit(7)", r"ended with code 7\. Its last words: digging"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"ended with code -11\. Its last words: none"),
        (
            "print('digging'); raise MemoryError",
            r"ended with code 1\. Its last words: digging\nTraceback .*\nMemoryError",
        ),
        (
            "import json, sys; open(json.load(open(sys.argv[1]))['result'], 'w').write('{\"half'); print('digging')",
            r"ended with code 0\. Its last words: digging",
        ),
    ],
    ids=["exit", "quiet exit", "hard exit", "segmentation fault", "traceback", "half an answer"],
)
def test_a_child_that_ends_without_an_answer_is_a_failed_gate(child, text: str, how: str) -> None:
    """How it ended, and its last words."""
    with pytest.raises(GateFailed, match=f"(?s)tiny.child of tiny {how}"):
        child(text)


def test_only_the_last_thirty_lines_are_kept_and_none_is_long(child) -> None:
    """A pipeline that prints without end fills no message."""
    with pytest.raises(GateFailed) as back:
        child("for number in range(100): print(number, '.' * 2000)")
    words = back.value.exists.removeprefix("Its last words: ").splitlines()
    assert [int(line.split()[0]) for line in words] == list(range(70, 100))
    assert max(map(len, words)) == 500


HANGING = """
import subprocess, sys, time
helper = "import time; time.sleep(60); print('survived', flush=True)"
subprocess.Popen([sys.executable, "-c", helper])
time.sleep(60)
"""


def test_a_child_that_hangs_is_ended_with_everything_it_started(child) -> None:
    """Its time is told; a helper that holds the output open does not keep the parent waiting."""
    with pytest.raises(GateFailed, match=r"tiny.child of tiny was ended after 3 s") as back:
        child(HANGING, timeout_s=3)
    assert "survived" not in str(back.value)


ORPHANED = """
import os, time
from flows.building import job

def describe(pipeline, asked):
    open(asked["told"], "w").write(f"{os.getpid()} ")
    time.sleep(60)

job.pipeline = lambda name: None
job.main({"describe": describe})
"""
PARENT = """
import sys
from pathlib import Path
from flows import runner
code = runner.Code("tiny", Path(sys.argv[1]), "")
runner.run(code, "tiny.child", {"what": "describe", "told": sys.argv[2]})
"""


def test_a_child_ends_with_its_killed_parent(root: Root, tmp_path: Path) -> None:
    """A parent killed with SIGKILL can end nothing: the child notices, and its whole group goes."""
    told = tmp_path / "pid"
    code = runner.stage(root, written(tmp_path / "tiny", __init__="", child=ORPHANED))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(code.path), str(told)], stdout=subprocess.DEVNULL)
    pid = int(until(lambda: told.exists() and told.read_text().endswith(" ") and told.read_text()))
    parent.kill()
    parent.wait()
    assert until(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())


def until(condition: Any, seconds: float = 60) -> Any:
    """What the condition gives as soon as it gives anything."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def test_a_child_gets_its_job_and_its_progress_is_told(child) -> None:
    """Paths and ids go in as JSON, steps come out as they happen, and what else it prints is no step."""
    steps: list[str] = []
    answering = (
        "import json, sys\n"
        "job = json.load(open(sys.argv[1]))\n"
        'print(\'{"step": "one"}\'); print(\'{"step": broken\'); print(\'noise\'); print(\'{"step": "two"}\')\n'
        "json.dump({'job': job, 'input': sys.stdin.read()}, open(job['result'], 'w'))\n"
    )
    result = child(answering, progress=steps.append, what="it", day=3)
    assert steps == ["one", "two"]
    assert {name: result["job"][name] for name in ("what", "day", "pipeline")} == {
        "what": "it",
        "day": 3,
        "pipeline": "tiny",
    }
    assert result["input"] == ""
    assert not Path(result["job"]["result"]).parent.exists()
