"""Frames by instant, in files: built once, read by every process of a proving."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from datetime import datetime
from pathlib import Path

import polars as pl


class Futures:
    """A folder of parquet files. The folder goes when the object that made it goes; copies in other processes leave it."""

    def __init__(self, within: Path | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="assay-futures-", dir=within))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def get(self, instant: datetime) -> pl.DataFrame | None:
        """The frame of an instant, if somebody has built it."""
        path = self._path(instant)
        return pl.read_parquet(path) if path.exists() else None

    def put(self, instant: datetime, frame: pl.DataFrame) -> pl.DataFrame:
        """Keep it; of two that are put at once either stays, for they are the same."""
        half = self.folder / f"{self._path(instant).stem}-{os.getpid()}"
        frame.write_parquet(half)
        half.rename(self._path(instant))
        return frame

    def _path(self, instant: datetime) -> Path:
        return self.folder / f"{instant:%Y%m%dT%H%M%S.%f}.parquet"
