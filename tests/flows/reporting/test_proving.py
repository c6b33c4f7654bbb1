"""A proving's page stands alone, says its verdict first, and shows what a pipeline wrote as text."""

from __future__ import annotations

import re
from typing import Any

from flows.reporting import proving

CHECK = {
    "code": "K04", "title": "held-out poison", "verdict": "PASS", "severity": "blocks", "control": 1234.5, "seconds": 2.5,
    "sentence": "It <b>held</b>.", "numbers": {"test_rows": 100.0, "undefined": None}, "blocks": False,
}  # fmt: skip
FAULT = {
    "code": "F07", "title": "fitted on the test rows too", "check": "K04", "killed": True, "fate": "KILLED", "seconds": 4.0,
    "sentence": "4 values moved.", "numbers": {},
}  # fmt: skip


def proved(**changes: Any) -> dict[str, Any]:
    window = {"start": "2013-01-01T00:00:00+00:00", "end": "2013-02-01T00:00:00+00:00"}
    return {
        "pipeline": "flight_delay", "tree": "a" * 64, "window": window, "rows": 3000, "checks": [CHECK], "faults": [FAULT],
        "seconds": 9.0, "seconds_slice": 1.5, "failed": [],
    } | changes  # fmt: skip


def test_the_page_says_the_verdict_the_numbers_and_the_seconds() -> None:
    """Of every check and fault, and where the time went."""
    page = proving.page(proved())
    assert "<h1>flight_delay: Proved.</h1>" in page
    assert "3,000 rows of 2013-01-01T00:00 to 2013-02-01T00:00 UTC" in page
    assert "1 of 1 checks passed, 0 do not apply; 1 of 1 faults were killed, 0 do not apply." in page
    assert "test rows 100" in page
    assert "undefined –" in page
    assert (
        "9.0 s in all, 1.5 s of them for the slice; 6.5 s in checks and faults, several at once. The longest: F07 4.0 s, K04 2.5 s."
        in page
    )


def test_what_a_pipeline_wrote_is_text_and_nothing_is_fetched() -> None:
    """No tag of its own, no script, no link."""
    page = proving.page(proved(failed=["K04 FAIL: <script>alert(1)</script>"]))
    assert "Not proved." in page
    assert "&lt;script&gt;" in page
    assert "It &lt;b&gt;held&lt;/b&gt;." in page
    assert not re.findall(r"<script|<link|https?:", page)


def test_without_faults_it_says_so() -> None:
    """A fast proving has one table."""
    page = proving.page(proved(faults=[]))
    assert "no fault was planted" in page
    assert "Planted faults" not in page
