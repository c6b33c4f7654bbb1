"""The outside world, replayed: applications that ask and tell the service over HTTP, and a weather office that drops files.

It moves the store's clock an hour at a time. At the hour ``h`` it tells what happened in the hour before, lets the
publication run if ``h`` is on its grid (as the schedules of ``ingest`` and ``collect`` would), and asks for the flights
whose question time lies in the hour. It knows the archive; the store learns of it only through these doors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import polars as pl

from flows.building import catalog
from flows.pipeline import Window
from store import clock
from store.errors import Unreachable
from store.layout import Root

HOUR = timedelta(hours=1)
WEATHER_IS_LATE = timedelta(hours=8)
"""An observation an hour old waits up to six hours for its publication."""


@dataclass
class Traffic:
    """What the service answered so far."""

    asked: int = 0
    told: int = 0
    failed: int = 0
    models: dict[str, int] = field(default_factory=dict)


class Replayer:
    """Replays ``window`` against the service at ``url``; ``publish`` runs whenever the publication grid is reached."""

    def __init__(self, root: Root, url: str, pipeline: str, window: Window, publish: Callable[[], None]) -> None:
        facts = catalog.load().facts
        self.root, self.pipeline, self.publish = root, pipeline, publish
        self.client = httpx.Client(base_url=url, timeout=30)
        self.now, self.traffic = window.start, Traffic()
        event = pl.col("event_time")
        self.schedule = _by_hour(facts["flight_schedule"].read, window, event.dt.truncate("1h"))
        self.events = _by_hour(facts["flight_events"].read, window, _next_hour(event))
        earlier = Window(window.start - WEATHER_IS_LATE, window.end)
        told_at = pl.max_horizontal(event + HOUR, pl.lit(window.start))
        self.weather = _by_hour(facts["weather"].read, earlier, told_at, pl.col("known_time") >= window.start)

    def __enter__(self) -> Replayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def begin(self) -> None:
        """The window's first instant: what the archive, which ends before it, does not have yet."""
        self.tell()
        self.drop_weather()
        self.publish()
        self.ask()

    def until(self, end: datetime, told: Callable[[datetime], None]) -> None:
        """Replay hour by hour until store time is ``end``; ``told`` hears of each hour."""
        while self.now < end:
            self.now += HOUR
            clock.move(self.root, self.now)
            self.tell()
            self.drop_weather()
            if self.now.hour % 6 == 0:
                self.publish()
            self.ask()
            told(self.now)

    def tell(self) -> None:
        """What happened in the hour before now."""
        events = self.events.get(self.now)
        if events is None:
            return
        rows = events.with_columns(pl.col("event_time").dt.strftime("%Y-%m-%dT%H:%M:%S+00:00").alias("moment"))
        outcomes = rows.select("flight_id", "kind", "moment", "delay_minutes").to_dicts()
        answer = self._post("outcomes", {"outcomes": outcomes})
        self.traffic.told += len(outcomes) if answer else 0

    def drop_weather(self) -> None:
        """A file in the inbox with the observations an hour old, without a known_time: it is known when it is taken."""
        rows = self.weather.get(self.now)
        if rows is None:
            return
        folder = self.root.inbox / "weather"
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{self.now:%Y%m%dT%H}.tmp"
        rows.drop("known_time").write_parquet(unfinished)
        unfinished.rename(folder / f"{self.now:%Y%m%dT%H}.parquet")

    def ask(self, *, dry_run: bool = False) -> str | None:
        """The flights that are asked about in the hour that begins now; the digest of the model that answered."""
        rows = self.schedule.get(self.now)
        if rows is None:
            return None
        answer = self._post("predict", {"rows": _requests(rows), "dry_run": dry_run})
        if answer is None:
            return None
        self.traffic.asked += 0 if dry_run else rows.height
        return self._counted(answer["model"])

    def probe(self) -> str | None:
        """Traffic while the clock is held: asked like any other, recorded nowhere."""
        hour = next((hour for hour in self.schedule if hour <= self.now), self.now)
        rows = self.schedule.get(self.now, self.schedule[hour])
        answer = self._post("predict", {"rows": _requests(rows.head(5)), "dry_run": True})
        return self._counted(answer["model"]) if answer else None

    def _counted(self, model: str) -> str:
        self.traffic.models[model] = self.traffic.models.get(model, 0) + 1
        return model

    def _post(self, what: str, body: dict[str, object]) -> dict[str, str] | None:
        try:
            answer = self.client.post(f"/v1/{self.pipeline}/{what}", json=body)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"The service does not answer: {error}.", f"Asked {self.client.base_url}.", "Look into its log."
            ) from error
        if not answer.is_success:
            self.traffic.failed += 1
            raise Unreachable(
                f"The service answered {answer.status_code} to {what}.", answer.text[:500], "Look into its log."
            )
        found: dict[str, str] = answer.json()
        return found


def _next_hour(event: pl.Expr) -> pl.Expr:
    return (event - timedelta(microseconds=1)).dt.truncate("1h") + HOUR


def _by_hour(
    read: Callable[[Window], pl.DataFrame] | None, window: Window, hour: pl.Expr, wanted: pl.Expr | None = None
) -> dict[datetime, pl.DataFrame]:
    assert read is not None
    rows = read(window)
    rows = (rows if wanted is None else rows.filter(wanted)).with_columns(hour.alias("_hour"))
    parts = rows.sort("_hour", "event_time").partition_by("_hour", as_dict=True, include_key=False)
    return {key[0]: part for key, part in parts.items()}  # type: ignore[misc]


def _requests(rows: pl.DataFrame) -> list[dict[str, object]]:
    times = [
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S+00:00") for name in ("scheduled_departure", "scheduled_arrival")
    ]
    return rows.drop("event_time").with_columns(times).to_dicts()
