"""Verbs that run a flow: through Prefect where PREFECT_API_URL is set, and then only if somebody answers there."""

import pytest

from console.processes import free_port


@pytest.mark.parametrize("verb", [["ingest"], ["train", "flight_delay"]])
def test_a_prefect_that_does_not_answer_is_said_and_nothing_is_begun(assay, tmp_path, monkeypatch, verb):
    """With its address, and both ways out; exit code 4."""
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    code, out, err = assay(tmp_path / "root", *verb)
    said = " ".join(err.split())
    assert (code, out) == (4, "")
    assert f"{verb[0]} should run on Prefect, which does not answer (ConnectError)." in said
    assert f"PREFECT_API_URL is {url}." in said
    assert "Start it (`prefect server start`, `assay up`), or unset PREFECT_API_URL to run without it." in said
    assert not list((tmp_path / "root").rglob("*.parquet"))
