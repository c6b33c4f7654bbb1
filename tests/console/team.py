"""Another team's data: orders of three shops, and where they are laid out."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from console import new

START, DAY = datetime(2024, 3, 1), timedelta(days=1)  # noqa: DTZ001
SHOP = {
    "keys": ["Order ID", "Shop"], "time": "Ordered At", "known": "Told At", "label": "Outcome", "task": "classification",
    "positive": "late",
}  # fmt: skip


def orders(days: int = 50) -> pl.DataFrame:
    """Orders of three shops whose mood drifts; moody shops deliver late, and that is told five hours after."""
    random = np.random.default_rng(0)
    mood = np.clip(np.cumsum(random.normal(0, 0.8, (days, 3)), axis=0), -2, 2)
    rows = []
    for number in range(days * 24):
        place, size, asked = int(random.integers(3)), float(random.normal()), START + number * timedelta(hours=1)
        late = mood[number // 24, place] + size + random.normal(0, 0.7) > 0.3
        told = asked + timedelta(hours=5, minutes=int(random.integers(60)))
        kind = ["cake", "bread"][number % 2]
        rows.append((f"o{number}", ["amber", "birch", "cedar"][place], asked, size, kind, number % 5 == 0, f"note {number}", told,
                     "late" if late else "fine"))  # fmt: skip
    names = ["Order ID", "Shop", "Ordered At", "Size (kg)", "Kind", "Rush", "Note", "Told At", "Outcome"]
    return pl.DataFrame(rows, schema=names, orient="row")


def written(folder: Path) -> Path:
    """The orders as CSV."""
    file = folder / "orders.csv"
    orders().write_csv(file)
    return file


def folders(where: Path) -> dict[str, Path]:
    return {"features": where / "features", "pipelines": where / "pipelines", "tests": where / "tests"}


def lay_out(shop: Path, where: Path, name: str = "shop_late", **changed: Any) -> list[Path]:
    return new.lay_out(name, shop, **SHOP | folders(where) | changed)
