"""One mutant before its tests, in a fork of this process and a copy of the workspace.

The fork has the heavy libraries loaded and nothing of ours, so that a trial costs the tests and not the imports. Whatever the tests
start belongs to its process group and ends with it.
"""

from __future__ import annotations

import compileall
import importlib
import os
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest

from tests import workspaces
from tests.mutants.target import Target

PRELOADED = (
    "duckdb", "deltalake", "hatchling.builders.wheel", "numpy", "obstore", "polars.testing", "prefect.deployments", "pyarrow.parquet",
    "skops.io", "sklearn.ensemble", "sklearn.metrics",
)  # fmt: skip
QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # what is preloaded cannot be rewritten
MEMORY = 6 * 2**30
SURVIVED, KILLED, HUNG = "survived", "killed", "hung"
"""``hung``: not done long after the tests of the original were, which is noticed as well."""


def copied(folder: Path) -> Path:
    """The workspace, to err in."""
    compileall.compile_dir(workspaces.copied(folder), quiet=1)
    return folder


def preload() -> None:
    """Import what takes long, once, with one thread each: a fork has none of its parent's."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    for name in PRELOADED:
        importlib.import_module(name)


def limit(tree: Path, target: Target) -> float:
    """Seconds that a trial may take: many times those of the original, which must pass. RuntimeError when it does not."""
    begun = time.monotonic()
    fate = tried(tree, target, (tree / target.path).read_text(), seconds=600)
    if fate != SURVIVED:
        raise RuntimeError(f"The tests of {target.path} do not pass as it is:\n{_log(tree).read_text()[-3000:]}")
    return 3 * (time.monotonic() - begun) + 10


def tried(tree: Path, target: Target, text: str, seconds: float) -> str:
    """What came of ``text`` in the target's place."""
    path = tree / target.path
    original = path.read_text()
    path.write_text(text)
    try:
        child = os.fork()
        if child == 0:
            _judge(tree, target)
        return _fate(child, seconds)
    finally:
        path.write_text(original)


def _judge(tree: Path, target: Target) -> None:
    """In the fork: end with pytest's exit code."""
    code = 1
    try:
        os.setsid()
        log = os.open(_log(tree), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os.chdir(tree)
        sys.path[0] = os.environ["PYTHONPATH"] = str(tree)
        sys.dont_write_bytecode = True  # a mutant of the same size and second would be taken for the one before
        for name in [name for name in sys.modules if name.partition(".")[0] in workspaces.PARTS]:
            del sys.modules[name]
        plugins = ["no:cacheprovider", "no:xdist", "tests.mutants.unshrunk", "tests.conftest", *target.plugins]
        given = [word for plugin in plugins for word in ("-p", plugin)]
        code = pytest.main([*given, *QUIET, "--noconftest", "-x", "--basetemp", str(tree / "tmp"), *target.tests])
    except BaseException:  # a fork must not go on with what its parent was about
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _fate(child: int, seconds: float) -> str:
    ended = os.pidfd_open(child)
    try:
        in_time = bool(select.select([ended], [], [], seconds)[0])
        os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(ended)
    if not in_time:
        return HUNG
    return SURVIVED if os.waitstatus_to_exitcode(status) == 0 else KILLED


def _log(tree: Path) -> Path:
    return tree / "tests.log"
