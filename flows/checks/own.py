"""An author's own checks and tests, from the pipeline's folder, in the table with ours.

``checks.py`` may hold ``CHECKS``, a tuple of ``flows.checks.check.Check`` with codes A01, A02, …: each looks at a
``World`` as ours do, has a control of its own, and blocks. Every ``test_*.py`` is run by pytest in a process of its own, as
T01, T02, … in order of path: it fails with its first failing test, and is VACUOUS when no test of it passed (all were
skipped, or there is none).

No fault is planted for them: what they are worth is their author's to say.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from flows.checks.check import Check, Seen
from flows.checks.world import World
from flows.pipeline import Pipeline
from store.errors import InvalidInput

CODE = re.compile(r"A\d\d")
LONGEST = 300


def found(pipeline: Pipeline) -> list[Check]:
    """What the folder of the active pipeline holds besides it; nothing, if it is no module of that name.

    InvalidInput when ``checks.py`` is not as it should be.
    """
    if importlib.util.find_spec(pipeline.name) is None:
        return []
    folder = _folder(pipeline)
    checks = _checks(pipeline.name) if (folder / "checks.py").exists() else []
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("test_*.py"))
    tests = [Check(f"T{number:02}", file, functools.partial(look, file)) for number, file in enumerate(files, start=1)]
    return [*checks, *tests]


def look(file: str, world: World) -> Seen:
    """Run one file of tests."""
    folder = _folder(world.pipeline)
    with tempfile.TemporaryDirectory(prefix="assay-tests-", dir=world.within) as scratch:
        report = Path(scratch) / "report.xml"
        ran = subprocess.run(
            [
                sys.executable, "-m", "pytest", str(folder / file), "-q", "-c", "/dev/null", "--rootdir", str(folder),
                "--import-mode=importlib", "-p", "no:cacheprovider", "--basetemp", str(Path(scratch) / "temp"),
                f"--junitxml={report}",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    failing = [(case, case.find("failure"), case.find("error")) for case in cases]
    failed = [(case, why if why is not None else other) for case, why, other in failing if (why, other) != (None, None)]
    passed = sum(case.find("skipped") is None for case in cases) - len(failed)
    numbers = {"tests": len(cases), "passed": passed, "failed": len(failed)}
    if failed:
        case, why = failed[0]
        said = "" if why is None else (why.get("message") or why.text or "")
        return Seen(
            f"{len(failed)} of {len(cases)} tests failed: {case.get('name')}: {said}"[:LONGEST],
            passed,
            numbers,
            failed=True,
        )
    if ran.returncode not in (0, 5):  # 5: no test was collected
        words = " ".join(ran.stdout.split())[-LONGEST:]
        return Seen(f"pytest ended with code {ran.returncode}: {words}", passed, numbers, failed=True)
    return Seen(f"{passed} of {len(cases)} tests of {file} passed.", passed, numbers)


def _folder(pipeline: Pipeline) -> Path:
    module = importlib.import_module(pipeline.name)
    assert module.__file__ is not None
    return Path(module.__file__).parent


def _checks(name: str) -> list[Check]:
    own = getattr(importlib.import_module(f"{name}.checks"), "CHECKS", None)
    if not isinstance(own, tuple) or not all(isinstance(one, Check) and CODE.fullmatch(one.code) for one in own):
        raise InvalidInput(
            f"{name}/checks.py has no usable CHECKS.",
            f"It is {own!r}."[:LONGEST],
            'End it with CHECKS = (Check("A01", "what it checks", look), …), from flows.checks.check; look(world) gives a Seen.',
        )
    if len({one.code for one in own}) < len(own):
        raise InvalidInput(
            f"Two checks of {name}/checks.py have one code.", f"{sorted(one.code for one in own)}.", "Number them."
        )
    return list(own)
