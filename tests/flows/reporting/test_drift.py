"""The drift report: Evidently's plots, drawn for real once, in a child (importing it takes longer than every other test here), our
table above them, and what cannot be drawn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.reporting import drift
from store.errors import InvalidInput

CHILD = """
import json, sys
from flows.reporting.__main__ import main
for path in sys.argv[1:]:
    main(json.loads(open(path).read()))
"""
HOSTILE = "</script><script>alert(1)</script>"
TITLE = "flight_delay in <production>"
REFERENCE = pl.DataFrame(
    {
        "wind": np.random.default_rng(0).normal(10, 2, 800),
        "carrier": np.random.default_rng(1).choice(["UA", "B6", "DL"], 800),
        "calm": np.arange(800) % 7,
        "route": [f"route {at % 60}" for at in range(800)],
        "void": pl.Series([None] * 800, dtype=pl.Float64),
        "gone": np.arange(800),
    }
)
CURRENT = pl.DataFrame(
    {
        "wind": [float("inf"), None, *np.random.default_rng(2).normal(16, 2, 598).tolist()],
        "carrier": np.random.default_rng(3).choice(["UA", HOSTILE], 600),
        "calm": np.arange(600) % 7 * 1.0,
        "route": [f"route {at % 60}" for at in range(600)],
        "void": pl.Series([None] * 600, dtype=pl.Float64),
    }
)
FEATURES = ["calm", "wind", "carrier", "route", "void", "gone"]
SCORES = pl.DataFrame(
    {
        "feature": FEATURES,
        "score": [0.4123, 3.7654, 1.5432, 0.2, 0.0, 0.1],
        "threshold": [1.2345] * len(FEATURES),
        "drifted": [False, True, True, False, False, False],
        "null_share": [0.0, 0.002, 0.0, 0.0, 1.0, 0.0],
        "rows": [84_112] * len(FEATURES),
    }
)
EMPTY = CURRENT.clear()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one child made of five jobs: a page or an error each."""
    folder = tmp_path_factory.mktemp("drawn")
    jobs = {
        "page": (REFERENCE, CURRENT, SCORES),
        "again": (REFERENCE, CURRENT, SCORES),
        "plotless": (REFERENCE, CURRENT.select("void"), SCORES),
        "empty": (REFERENCE, EMPTY, SCORES),
    }
    paths = [_job(folder / name, *frames) for name, frames in jobs.items()]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONHASHSEED": "0"}
    subprocess.run([sys.executable, "-c", CHILD, *paths], env=environment, check=True, capture_output=True)
    return {name: _outcome(folder / name) for name in jobs}


def _job(folder: Path, reference: pl.DataFrame, current: pl.DataFrame, scores: pl.DataFrame) -> str:
    folder.mkdir()
    job = {"title": TITLE, "out": str(folder / "page.html"), "result": str(folder / "result.json")}
    for name, frame in {"reference": reference, "current": current, "scores": scores}.items():
        job[name] = str(folder / f"{name}.parquet")
        frame.write_parquet(job[name])
    (folder / "job.json").write_text(json.dumps(job))
    return str(folder / "job.json")


def _outcome(folder: Path) -> Any:
    page = folder / "page.html"
    return page.read_text() if page.exists() else json.loads((folder / "result.json").read_text())["error"]


def _lines(page: str) -> dict[str, str]:
    """Our table's lines by feature."""
    return {line.split("</th>")[0]: line for line in re.findall(r"<tr><th>(\w+</th>.*)</tr>", page)}


def test_the_table_holds_every_feature_with_our_score_threshold_and_flag(drawn: dict[str, Any]) -> None:
    lines = _lines(drawn["page"])
    assert set(lines) == set(FEATURES)
    for one in SCORES.to_dicts():
        assert f"{one['score']:.3f}" in lines[one["feature"]]
        assert "1.234" in lines[one["feature"]]
        assert ("▲ drifts" if one["drifted"] else "● calm") in lines[one["feature"]]


def test_the_verdict_stands_above_the_table_and_what_drifts_comes_first(drawn: dict[str, Any]) -> None:
    page = drawn["page"]
    assert "▲ Drift: 2 of 6 features are above their threshold; wind is furthest, 3.77 against 1.23." in page
    assert list(_lines(page))[:2] == ["wind", "carrier"]
    assert "84,112" in page


def test_evidently_itself_says_what_we_say(drawn: dict[str, Any]) -> None:
    page = drawn["page"]
    for name, state in {"wind": "fail", "carrier": "fail", "calm": "success", "route": "success"}.items():
        assert re.search(
            rf'"Value Drift for column {name}", "description": "[^"]*threshold is 1.23[^"]*", "state": "{state}"', page
        )
    assert page.count("Data drift detected.") == 2
    assert page.count("Data drift not detected.") == 2


def test_the_page_loads_nothing_from_anywhere(drawn: dict[str, Any]) -> None:
    assert not re.search(r"""<(script|link|img|iframe)\b[^>]*\b(src|href)\s*=""", drawn["page"])
    assert not re.search(r"""@import\s+(url|["'])|url\(\s*["']?(https?:)?//""", drawn["page"])


def test_text_that_applications_sent_cannot_become_script(drawn: dict[str, Any]) -> None:
    assert HOSTILE not in drawn["page"]
    assert "alert(1)" in drawn["page"]
    assert "flight_delay in &lt;production&gt;" in drawn["page"]


def test_a_feature_that_cannot_be_plotted_says_why_in_its_line(drawn: dict[str, Any]) -> None:
    lines = _lines(drawn["page"])
    assert "no plot: no values in this window" in lines["void"]
    assert "no plot: no such column in this window" in lines["gone"]


def test_rare_members_of_a_text_column_share_one_bar(drawn: dict[str, Any]) -> None:
    assert "(others)" in drawn["page"]


def test_the_same_window_gives_the_same_bytes(drawn: dict[str, Any]) -> None:
    assert drawn["page"] == drawn["again"]


def test_a_window_without_anything_to_plot_still_has_its_table(drawn: dict[str, Any]) -> None:
    assert set(_lines(drawn["plotless"])) == set(FEATURES)


def test_a_window_without_rows_is_refused_with_what_there_is(drawn: dict[str, Any]) -> None:
    assert drawn["empty"]["kind"] == "InvalidInput"
    assert "0 rows" in drawn["empty"]["exists"]


@pytest.mark.parametrize(
    ("frames", "there"),
    [
        ((REFERENCE, EMPTY, SCORES), "800 and 0 rows, and 6 scores"),
        ((REFERENCE.clear(), CURRENT, SCORES), "0 and 600 rows, and 6 scores"),
        ((REFERENCE, CURRENT, SCORES.clear()), "800 and 600 rows, and 0 scores"),
    ],
)
def test_without_rows_on_both_sides_and_scores_nothing_is_drawn(frames: tuple[pl.DataFrame, ...], there: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        drift.draw(*frames, title=TITLE, plots=_no_plots)
    assert refused.value.asked == "A drift report needs rows on both sides, and scores."
    assert refused.value.exists == f"There are {there}."
    assert refused.value.remedy == "Choose a window in which predictions were served."


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        drift.draw(REFERENCE, CURRENT, SCORES.drop("threshold", "rows"), title=TITLE, plots=_no_plots)
    assert refused.value.asked == "These are no drift scores: they lack ['threshold', 'rows']."
    assert refused.value.exists == "They have ['feature', 'score', 'drifted', 'null_share']."
    assert refused.value.remedy == "Pass what flows.deciding.drift.score gives."


def test_plots_that_are_no_page_are_refused() -> None:
    """As another Evidently may draw them: a page without the table would look like a calm window."""
    with pytest.raises(InvalidInput) as refused:
        drift.draw(
            REFERENCE, CURRENT, SCORES, title=TITLE, plots=lambda *_: "<html><head></head><body class=x></body></html>"
        )
    assert refused.value.asked == "Evidently's page has no <body> to put our table into."
    assert refused.value.remedy == "Use the Evidently that pyproject.toml names."


def _no_plots(*frames: pl.DataFrame) -> str:
    raise AssertionError("what is refused is refused before Evidently is asked")
