"""A serving process started by hand: what it says, and ends with, when the code on its path is not a pipeline's."""

import importlib
import sys

import pytest

from flows.serving import __main__ as serving


@pytest.fixture
def started(world, package, capsys):
    """The exit code of a process for the package, and what it said; with this process's own path."""
    interval = sys.getswitchinterval()

    def start():
        importlib.invalidate_caches()
        where = ["--root", str(world.root.path), "--pipeline", "tiny", "--environment", "production"]
        code = serving.main([*where, "--package", package.digest, "--port", "0"])
        out, err = capsys.readouterr()
        assert out == ""
        return code, err.strip()

    yield start
    sys.setswitchinterval(interval)
    sys.modules.pop("tiny", None)


def test_a_package_that_is_not_on_the_path_is_said_with_the_path_and_the_way_in(started):
    """`python -m flows.serving` by itself does not unpack anything."""
    code, said = started()
    assert code == 2
    assert said.startswith("NotFound: The module of tiny cannot be imported: No module named 'tiny'. Path: [")
    assert said.endswith("Start it through `assay serve`.")


def test_a_module_without_a_pipeline_is_said_with_what_it_has_instead(started, tmp_path, monkeypatch):
    """Another module of that name came first on the path."""
    (tmp_path / "tiny.py").write_text("pipeline = ['drill', 'weld']\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert started() == (
        2,
        "NotFound: tiny.pipeline is a list, not a Pipeline. A package's module ends with pipeline = Pipeline(…). "
        "Mend the module, and integrate again.",
    )
