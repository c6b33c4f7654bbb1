"""Whatever a pipeline does while it is proved, only its own process is lost, and the finding says why."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from flows.checks import k18_spine, proving
from flows.checks.check import Check, Finding, Seen, Severity, Verdict
from flows.checks.crew import Budget, Crew
from tests.flows.checks import shop

SMALL = Budget(seconds=60, cpu_seconds=4, memory=600 * 1024**2, printed=100_000)


def _finding(clean, folder, prepare, budget=SMALL) -> Finding:
    """The finding of a check that prepares the dataset's rows, with a pipeline that prepares them in this way."""
    world = dataclasses.replace(clean, pipeline=dataclasses.replace(clean.pipeline, prepare=prepare), within=folder)
    check = Check("K99", "prepares", functools.partial(_prepares))
    with Crew(world, folder, workers=1, budget=budget) as crew:
        (finding,) = proving.findings(crew, [check], lambda one: None)
    assert not list(folder.iterdir())
    return finding


def _prepares(world):
    rows = world.pipeline.prepare(world.pipeline.dataset(world.read(), world.window))
    return Seen(f"{rows.height} rows", control=rows.height)


def raises(rows):
    raise ZeroDivisionError("one by nothing")


def hangs(rows):
    while True:
        time.sleep(0.05)


def spins(rows):
    while True:
        pass


def prints(rows):
    for number in range(200_000):
        print("all is well", number, flush=True)
    return shop.prepare(rows)


def eats_memory(rows):
    held = [bytearray(50 * 1024**2) for _ in range(40)]
    return shop.prepare(rows).head(len(held) and rows.height)


def writes_files(rows):
    with open("model-final-2.txt", "w") as file:
        file.write("everything")
    return shop.prepare(rows)


def forks(rows):
    subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return shop.prepare(rows)


def exits(rows):
    os._exit(7)


def is_killed(rows):
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (raises, "raised ZeroDivisionError: one by nothing"),
        (hangs, "did not end within 3 s"),
        (spins, "ended with signal SIG"),
        (prints, "printed more than 100,000 bytes"),
        (eats_memory, "MemoryError"),
        (writes_files, "wrote files where it ran: model-final-2.txt"),
        (forks, "left 1 processes running"),
        (exits, "ended with code 7"),
        (is_killed, "ended with signal SIGSEGV, as one that asks for more than"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_a_pipeline_may_not_do_is_a_fail_with_its_reason(clean, tmp_path, prepare, said):
    """And the next check runs as if nothing had been."""
    finding = _finding(clean, tmp_path, prepare, dataclasses.replace(SMALL, seconds=3) if prepare is hangs else SMALL)
    assert (finding.verdict, finding.severity) == (Verdict.FAIL, Severity.BLOCKS)
    assert said in finding.sentence
    assert _finding(clean, tmp_path, shop.prepare).verdict is Verdict.PASS


def test_findings_come_in_the_order_asked_whatever_ends_first(clean, tmp_path):
    """And each is told as soon as it is there."""
    told = []
    with Crew(clean, tmp_path, workers=2) as crew:
        slow = Check("K97", "slow", functools.partial(_after, 1.0))
        found = proving.findings(
            crew, [slow, k18_spine.CHECK, Check("K98", "quick", functools.partial(_after, 0))], told.append
        )
    assert [one.code for one in found] == ["K97", "K18", "K98"]
    assert sorted(one.code for one in told) == ["K18", "K97", "K98"]


def _after(seconds, world):
    time.sleep(seconds)
    return Seen("Well.", control=1)


def test_nothing_survives_a_proving_that_is_killed(tmp_path, shops):
    """Whatever its processes were doing: they end with it."""
    code = f"""
import pathlib, time
from tests.flows.checks import shop
from tests.flows.checks.test_crew import hangs
from flows.checks import proving
from flows.checks.crew import Crew
from tests.flows.checks.test_crew import _prepares
from flows.checks.check import Check
from store.layout import Root
import dataclasses, functools
if __name__ == "__main__":
    world = shop.world(Root.open(pathlib.Path({str(shops.path)!r})), dataclasses.replace(shop.PIPELINE, prepare=shop.prepare))
    world = dataclasses.replace(world, pipeline=dataclasses.replace(world.pipeline, prepare=hangs))
    with Crew(world, pathlib.Path({str(tmp_path)!r}), workers=2) as crew:
        print("begun", flush=True)
        proving.findings(crew, [Check("K99", "hangs", functools.partial(_prepares))] * 2, print)
"""
    script = tmp_path / "proving_to_be_killed.py"
    script.write_text(code)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(shop.__file__).partition("/tests/")[0], *sys.path])}
    with subprocess.Popen(
        [sys.executable, str(script)], env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout.readline() == "begun\n"
        _until(lambda: len(list(tmp_path.glob("work-*/home"))) == 2 and len(_inside(tmp_path)) == 2)
        os.kill(child.pid, signal.SIGKILL)
    _until(lambda: not _inside(tmp_path))


def _inside(folder) -> list[str]:
    """The processes that run in a folder."""
    found = []
    for process in os.listdir("/proc"):
        try:
            if os.readlink(f"/proc/{process}/cwd").startswith(f"{folder}/work-"):
                found.append(process)
        except OSError:
            continue
    return found


def _until(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
