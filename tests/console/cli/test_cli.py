"""The command line is a thin skin: every verb explains itself, every error is three sentences and an exit code."""

import subprocess
import sys

import pytest

from console import cli

VERBS = {
    *("demo", "ingest", "explore", "integrate", "deliver", "train", "monitor", "report", "collect", "serve", "console"),
    *(
        "packages",
        "models",
        "ledger",
        "promote",
        "rollback",
        "sql",
        "dues",
        "status",
        "doctor",
        "why",
        "history",
        "up",
        "down",
    ),
}


def test_every_verb_is_there_and_explains_itself():
    """`assay --help` lists them all with a sentence."""
    known = {command.name or command.callback.__name__: command for command in cli.app.registered_commands}
    groups = {group.name for group in cli.app.registered_groups}
    assert set(known) | groups >= VERBS
    assert all(command.callback.__doc__ for command in known.values())


def test_help_imports_neither_prefect_nor_evidently_nor_scikit_learn(tmp_path):
    """What takes seconds to import is imported by the verb that needs it."""
    code = "import sys, console.cli; print([m for m in ('prefect', 'evidently', 'sklearn', 'streamlit', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_root_says_that_there_is_nothing_yet(assay, tmp_path):
    """Reading verbs succeed on nothing, and say so on standard error."""
    for verb in ("packages", "models", "dues", "ledger"):
        code, out, err = assay(tmp_path / "root", verb)
        assert (code, out) == (0, "")
        assert "yet" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "flight_delay"], "Run `assay integrate flight_delay`"),
        (["deliver", "flight_delay"], "Run `assay integrate flight_delay`"),
        (["integrate", "flight_dely"], "Did you mean flight_delay"),
        (["monitor", "flight_delay"], "Run `assay train flight_delay`"),
        (["collect", "flight_delay"], "Run `assay integrate flight_delay`"),
        (["rollback", "flight_delay", "modl"], "Did you mean model?"),
        (["why", "nobody"], "There is no model named 'nobody'"),
        (["history", "flight_delay", "--at", "2013-01-01"], "It never had one"),
        (["ledger", "row", "7"], "The ledger holds rows 1 to 0"),
        (["rollback", "flight_delay", "model"], "nothing to roll champion"),
        (["promote", "flight_delay", "nobody"], "has no model in production yet"),
        (["ingest", "--from", "yesterday"], "Times are ISO 8601"),
        (["sql", "SELECT nonsense"], "Views:"),
        (["train", "flight_delay", "-e", "moon"], "Environments: test, production"),
    ],
)
def test_an_error_says_what_to_do_with_exit_code_2(assay, tmp_path, words, said):
    """No traceback, nothing on standard output, nothing in the ledger."""
    code, out, err = assay(tmp_path / "root", *words)
    assert code == 2, err
    assert said in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
    assert not list((tmp_path / "root" / "ledger").glob("*.parquet"))


def test_a_changed_ledger_is_refused_with_exit_code_3(assay, delivered_copy):
    """Integrity has an exit code of its own."""
    victim = sorted(delivered_copy.ledger.glob("*.parquet"))[3]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    code, _, err = assay(delivered_copy, "ledger", "verify")
    assert code == 3
    assert victim.name in err or "row 4" in err
