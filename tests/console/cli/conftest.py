"""The command line as a person runs it."""

from __future__ import annotations

import sys

import pytest

from console import cli
from store.layout import Root


@pytest.fixture
def assay(monkeypatch, capsys):
    """The command as a person runs it, in this process: exit code, standard output, standard error."""

    def run(root, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ASSAY_ROOT", str(root.path if isinstance(root, Root) else root))
        monkeypatch.setattr(sys, "argv", ["assay", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run
