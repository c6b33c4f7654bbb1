"""An author's own checks and tests stand in the table with ours, and block like them."""

import importlib
import sys

import pytest

from flows.checks import own
from flows.checks.check import Verdict, judge
from store.errors import InvalidInput


@pytest.fixture
def folder(tmp_path, monkeypatch, clean):
    """The folder of a pipeline that is the shops', with nothing beside it yet."""
    name = clean.pipeline.name
    folder = tmp_path / "team" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(folder.parent))
    for module in (name, f"{name}.checks"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    importlib.invalidate_caches()
    yield folder
    for module in (name, f"{name}.checks"):
        sys.modules.pop(module, None)


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def findings(clean):
    return {check.code: judge(check, clean) for check in own.found(clean.pipeline)}


def test_with_nothing_of_the_authors_there_is_nothing(folder, clean):
    assert own.found(clean.pipeline) == []


def test_each_file_of_tests_is_a_line_with_its_numbers(folder, clean):
    write(
        folder,
        test_good="def test_a(): pass\n\n\ndef test_b(tmp_path): pass\n",
        test_wrong="def test_c(): assert 1 == 2\n",
    )
    good, wrong = findings(clean).values()
    assert (good.code, good.title, good.verdict, good.numbers["passed"]) == ("T01", "test_good.py", Verdict.PASS, 2)
    assert (wrong.code, wrong.verdict, wrong.blocks) == ("T02", Verdict.FAIL, True)
    assert "test_c: assert 1 == 2" in wrong.sentence


def test_tests_of_a_folder_below_are_found_too(folder, clean):
    (folder / "more").mkdir()
    write(folder, test_it="")
    write(folder / "more", test_it="")
    assert [(one.code, one.title) for one in own.found(clean.pipeline)] == [
        ("T01", "more/test_it.py"),
        ("T02", "test_it.py"),
    ]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("", Verdict.VACUOUS),
        ("import pytest\n\n\n@pytest.mark.skip\ndef test_a(): pass\n", Verdict.VACUOUS),
        ("import no_such_module\n", Verdict.FAIL),
        ("import os\n\n\ndef test_a(): os._exit(3)\n", Verdict.FAIL),
    ],
)
def test_a_file_in_which_no_test_passes_is_no_pass(folder, clean, text, verdict):
    write(folder, test_it=text)
    assert findings(clean)["T01"].verdict is verdict


def test_an_authors_check_looks_at_the_world_and_needs_a_control_like_ours(folder, clean):
    write(folder, checks=CHECKS)
    few, vacuous = findings(clean).values()
    assert (few.code, few.verdict, few.control) == ("A01", Verdict.PASS, clean.rows.height)
    assert (vacuous.code, vacuous.verdict) == ("A02", Verdict.VACUOUS)


CHECKS = """
from flows.checks.check import Check, Seen


def rows(world):
    return Seen(f"{world.rows.height} rows.", control=world.rows.height, failed=world.rows.height < 10)


CHECKS = (Check("A01", "rows", rows), Check("A02", "nothing", lambda world: Seen("It saw nothing.")))
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CHECKS = 3\n",
        "from flows.checks.k11_report import CHECK\nCHECKS = (CHECK,)\n",
        CHECKS.replace("A02", "A01"),
    ],
)
def test_checks_that_cannot_be_used_are_refused_with_how_to_write_them(folder, clean, text):
    write(folder, checks=text)
    with pytest.raises(InvalidInput, match=r"CHECKS|one code"):
        own.found(clean.pipeline)
