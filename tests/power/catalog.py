"""All kinds of clean pipelines, in the order they are proved."""

from __future__ import annotations

from tests.power import bundled, drawn, flights, series, unlike
from tests.power.kind import Kind

KINDS: tuple[Kind, ...] = (*bundled.KINDS, *drawn.KINDS, *series.KINDS, *unlike.KINDS, *flights.KINDS)
