"""How often a test of kills, races or loads does what it does: as usual, or, with ``make soak``, much longer."""

import os

SOAK = int(os.environ.get("ASSAY_SOAK", "0"))


def times(usual: int, soaked: int) -> int:
    """``usual``, or ``soaked`` as many times as ASSAY_SOAK says."""
    return soaked * SOAK or usual
