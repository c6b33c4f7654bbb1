"""Runs a package, or a source folder on its way to one, in a fresh process of its own: one package a process.

The code lies under ``<root>/cache``, in a folder named by its digest, and is first on the child's path. A source folder is staged there
the same way, so there is one way only, and editing or deleting the folder afterwards changes nothing that runs.
Parent and child pass paths and ids, as JSON files; the child reports its progress on standard output, one JSON line a step.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import certificate
from flows.building import source
from store import blobs, errors
from store.errors import AssayError, GateFailed, InvalidInput, Refused
from store.layout import Root
from store.registry.packages import Package

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Code:
    """Code that a child can activate: ``path`` holds one folder, the pipeline's name."""

    pipeline: str
    path: Path
    tree: str


def stage(root: Root, folder: Path) -> Code:
    """A copy of a source folder under the cache, named by its name and content."""
    content = source.files(folder)
    name = source.checked_name(folder.name)
    digest = source.tree(content)

    def fill(target: Path) -> None:
        for relative, data in content.items():
            path = target / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return _intact(Code(name, _cached(root.cache / "sources" / f"{name}-{digest}", fill), digest))


def unpacked(root: Root, package: Package) -> Code:
    """A published package, verified and unpacked under the cache, named by its wheel's digest.

    Refused without a certificate that speaks for these very bytes: every way to train, score, try or serve a package leads through here.
    """
    certificate.require(root, package)
    data = blobs.get(root, package.digest)
    path = _cached(
        root.cache / "packages" / package.digest, lambda target: source.unpack(data, package.pipeline, target)
    )
    return _intact(Code(package.pipeline, path, source.tree(source.held(data, package.pipeline))))


def environment(code: Code) -> dict[str, str]:
    """The environment of a child that runs this code: its folder first on the path, no bytecode written beside it."""
    known = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(code.path), *known]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }


def run(
    code: Code, module: str, job: dict[str, Any], *, progress: Progress | None = None, timeout_s: float = 1800,
) -> dict[str, Any]:  # fmt: skip
    """Run ``python -m module job.json`` with the code active, and return what it left in ``result.json``.

    ``progress`` hears what each step is called.

    The child's own errors come back as they were raised; a crash, a hang or a silent end is a GateFailed with its last words.
    The child has no standard input, and is ended with every process it started (they may hold its output open): at its timeout, and
    when this process ends, however that comes, which it learns from the pipe ``job["lifeline"]``.
    """
    with tempfile.TemporaryDirectory(prefix="assay-job-") as scratch, _lifeline() as lifeline:
        request, answer = Path(scratch) / "job.json", Path(scratch) / "result.json"
        request.write_text(json.dumps(job | {"pipeline": code.pipeline, "result": str(answer), "lifeline": lifeline}))
        last: deque[str] = deque(maxlen=30)
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(request)],
            env=environment(code), cwd=scratch, text=True, errors="replace", process_group=0, pass_fds=(lifeline,),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        timed_out = threading.Event()
        killer = threading.Timer(timeout_s, _end, (child, timed_out))
        killer.start()
        assert child.stdout is not None
        try:
            for line in child.stdout:
                _relay(line.rstrip("\n"), last, progress)
            child.wait()
        finally:
            killer.cancel()
            if child.poll() is None:
                _end(child)
                child.wait()
            child.stdout.close()
        result = _answer(answer)
        if result is None:
            how = f"was ended after {timeout_s:.0f} s" if timed_out.is_set() else f"ended with code {child.returncode}"
            raise GateFailed(
                f"{module} of {code.pipeline} {how}.",
                "Its last words: " + ("\n".join(last) or "none"),
                "Mend the pipeline, and run it again.",
            )
    if "error" in result:
        raise _raised(result["error"])
    return result


@contextmanager
def _lifeline() -> Iterator[int]:
    """The end of a pipe that a child reads from: it gives nothing until this process, which holds the other end, has gone."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def _end(child: subprocess.Popen[str], timed_out: threading.Event | None = None) -> None:
    """Kill the child and whatever it started."""
    if timed_out is not None:
        timed_out.set()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _answer(path: Path) -> dict[str, Any] | None:
    """The result, or None: not written, or not to its end."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    except (FileNotFoundError, ValueError):
        return None


def _relay(line: str, last: deque[str], progress: Progress | None) -> None:
    told = _step(line) if line.startswith('{"step":') else None
    if told is None:
        if line:
            last.append(line[:500])
    elif progress:
        progress(str(told["step"]))


def _step(line: str) -> dict[str, Any] | None:
    """What a progress line says; None for a line of the pipeline's own that only looks like one."""
    try:
        told: dict[str, Any] = json.loads(line)
        return told if "step" in told else None
    except ValueError:
        return None


def _raised(error: dict[str, Any]) -> AssayError:
    kind = getattr(errors, error["kind"], InvalidInput)
    return kind(error["asked"], error["exists"], error["remedy"])  # type: ignore[no-any-return]


def _intact(code: Code) -> Code:
    """The code, if the cache still holds it as it was filled. Refused: somebody edited or removed files there."""
    if source.tree(source.files(code.path / code.pipeline)) != code.tree:
        raise Refused(
            f"The cached code of {code.pipeline} was changed.",
            f"It lies in {code.path}.",
            "Delete that folder; it is rebuilt.",
        )
    return code


def _cached(path: Path, fill: Callable[[Path], None]) -> Path:
    """The folder at ``path``, filled once: built beside it and renamed, so nobody ever sees a half of it."""
    if path.is_dir():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".filling-", dir=path.parent))
    try:
        fill(scratch / "content")
        os.rename(scratch / "content", path)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path
