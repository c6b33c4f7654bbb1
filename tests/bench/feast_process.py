"""Feast's side of the benches: runs in Feast's own environment, takes one request a line and gives one answer a line, as JSON.

    python -P tests/bench/feast_process.py FOLDER

``-P``, for the folder of this file holds a ``feast.py`` too.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig
from feast.infra.registry.registry import RegistryConfig
from feast.types import Float64

KEY = Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)


class Feast:
    """A feature store in a folder: history on DuckDB, online on SQLite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FeatureStore(
            config=RepoConfig(
                project="bench",
                provider="local",
                registry=RegistryConfig(path=str(folder / "registry.db"), cache_ttl_seconds=0),
                offline_store=DuckDBOfflineStoreConfig(),
                online_store=SqliteOnlineStoreConfig(path=str(folder / "online.db")),
                entity_key_serialization_version=3,
            )
        )
        self.names: list[str] = []
        self.features: list[str] = []

    def declare(self, groups: list[str], features: list[str]) -> None:
        """A view of each group: its facts are in ``GROUP.parquet``."""
        self.names, self.features = groups, features
        views = [self.view(group, features, f"{group}.parquet") for group in groups]
        self.store.apply([KEY, *views])
        self.spine = pq.read_table(self.folder / "spine.parquet").to_pandas()

    def view(self, name: str, features: list[str], file: str) -> FeatureView:
        source = FileSource(
            path=str(self.folder / file), timestamp_field="event_time", created_timestamp_column="known_time"
        )
        schema = [Field(name=feature, dtype=Float64) for feature in features]
        return FeatureView(name=name, entities=[KEY], ttl=timedelta(0), schema=schema, source=source)

    def join(self, out: str | None = None) -> float:
        """CPU seconds of a historical retrieval that looks at when a fact was known; written to ``out``."""
        wanted = [f"{name}:{feature}" for name in self.names for feature in self.features]
        began = time.process_time()
        found = self.store.get_historical_features(
            self.spine, wanted, full_feature_names=True, filter_by_created_timestamp=True
        ).to_arrow()
        seconds = time.process_time() - began
        if out:
            pq.write_table(found, self.folder / out)
        return seconds

    def write(self, features: list[str]) -> None:
        """Put ``rows.parquet`` into the online store."""
        self.features = features
        self.store.apply([KEY, self.view("rows", features, "rows.parquet")])
        rows = pd.read_parquet(self.folder / "rows.parquet")
        self.store.write_to_online_store("rows", rows)

    def look_up(self, keys: list[int]) -> list[dict[str, float]]:
        return [self.look_up_one(key) for key in keys]

    def look_up_one(self, key: int) -> dict[str, float]:
        wanted = [f"rows:{feature}" for feature in self.features]
        found = self.store.get_online_features(wanted, [{"k": key}]).to_dict()
        return {feature: found[feature][0] for feature in self.features}

    def time_look_ups(self, keys: list[int]) -> list[float]:
        """CPU seconds of each."""
        seconds = []
        for key in keys:
            began = time.process_time_ns()
            self.look_up_one(key)
            seconds.append((time.process_time_ns() - began) / 1e9)
        return seconds


def main() -> None:
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # whatever Feast prints is no answer
        feast = Feast(Path(sys.argv[1]))
        requests: dict[str, Callable[..., Any]] = {
            way.__name__: way for way in (feast.declare, feast.join, feast.write, feast.look_up, feast.time_look_ups)
        }
        print("{}", file=answers, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(requests[request.pop("what")](**request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
