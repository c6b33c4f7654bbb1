"""How often a test of kills, races or loads does what it does: as usual, or, with ``make soak``, much longer."""

import os

import pytest

SOAK = int(os.environ.get("ASSAY_SOAK", "0"))


def times(usual: int, soaked: int) -> int:
    """``usual``, or ``soaked`` as many times as ASSAY_SOAK says."""
    return soaked * SOAK or usual


takes_minutes = pytest.mark.skipif(not SOAK, reason="takes minutes: make soak")
"""For what a whole road takes, so that ``make test`` stays under ten minutes on two cores."""
