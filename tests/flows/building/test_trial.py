"""A first load has limits, and is remembered."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.building import trial
from store.layout import Root

WORKSPACE = Path(__file__).parents[3]
DIGEST = "a" * 64


def child(code: str) -> subprocess.CompletedProcess[str]:
    """A process that has nothing but ``trial``."""
    code = f"from flows.building import trial\n{code}"
    return subprocess.run([sys.executable, "-c", code], cwd=WORKSPACE, capture_output=True, text=True, timeout=120)


def test_memory_is_limited_by_what_is_loaded_while_it_is_loaded_and_not_after() -> None:
    """A small model gets the base, a large one more."""
    most = trial.BASE_BYTES
    told = child(
        "def fits(data, size):\n"
        "    with trial.memory(data):\n"
        "        try: return bool(bytearray(size))\n"
        "        except MemoryError: return False\n"
        f"print(fits(b'', {most // 2}), fits(b'', {most * 2}), fits(bytes({most // 8}), {most * 2}), bool(bytearray({most * 2})))"
    )
    assert told.stdout.split() == ["True", "False", "True", "True"], told.stderr


def test_processor_time_is_limited() -> None:
    """A loop without end is ended by the system."""
    told = child("trial.processor(1)\nwhile True: pass")
    assert told.returncode == -signal.SIGKILL


def test_what_limits_memory_leaves_this_process_as_it_was() -> None:
    """Also when the block raises."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ZeroDivisionError), trial.memory(b""):
        raise ZeroDivisionError
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_model_that_passed_is_remembered_with_what_loaded_it(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model, other types that may be built, or other libraries: tried again."""
    assert not trial.passed(root, DIGEST, [])
    trial.remember(root, DIGEST, [])
    assert trial.passed(root, DIGEST, ())
    assert not trial.passed(root, "b" * 64, [])
    assert not trial.passed(root, DIGEST, ["lightgbm.sklearn.LGBMClassifier"])
    monkeypatch.setattr(trial.metadata, "version", lambda name: "99")
    assert not trial.passed(root, DIGEST, [])


def test_what_is_remembered_is_a_cache(root: Root) -> None:
    """It lies where things may be deleted at any time."""
    trial.remember(root, DIGEST, [])
    assert [path.parent.parent for path in root.path.rglob(f"{DIGEST}*")] == [root.cache]
