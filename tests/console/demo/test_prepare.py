"""The demo begins anew, and deletes nothing that is not its own."""

import pytest

from console.demo import prepare
from store.errors import InvalidInput


def test_a_second_run_starts_anew(tmp_path):
    """What an earlier demo left is gone."""
    home = prepare.anew(tmp_path / "demo")
    (home / "root").mkdir()
    assert prepare.anew(tmp_path / "demo") == home
    assert not (home / "root").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    """The error says that nothing was deleted."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInput, match="nothing was deleted"):
        prepare.anew(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
