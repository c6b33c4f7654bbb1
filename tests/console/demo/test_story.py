"""The demo's story stops where its loop does."""

from datetime import timedelta

import pytest

from console.demo import story
from console.demo.display import Story
from console.demo.replay import Replayer
from console.processes import Processes, free_port
from flows.pipeline import Window
from store import ledger
from store.errors import Unreachable
from store.registry import dues
from tests.conftest import NOW
from tests.store.registry import made

NIGHT = NOW + timedelta(hours=6)  # two in the morning in New York: nobody asks


def test_a_training_that_failed_ends_the_demo_with_the_runs_own_words(root, tmp_path):
    """A due of the monitor, claimed and closed by a run that failed: the story does not go on as if it had trained."""
    due = "d" * 64
    dues.open_due(
        root, due, pipeline=story.SERVED, environment="production", kinds=["drift"], reasons=["wind drifts."],
        window_end=NOW, champion=None, actor="monitor", now=NOW,
    )  # fmt: skip
    dues.claim(root, due, run="run", actor="train", by="automation", now=NOW)
    ending = {
        "outcome": "failed",
        "model": None,
        "sentence": "The disk was full.",
        "by": "automation",
        "actor": "train",
    }
    dues.close(root, due, run="run", now=NOW, **ending)
    decided = ledger.append(
        root, "monitor.decided", made.body("monitor.decided", due=due), subject=story.SERVED,
        environment="production", actor="monitor", now=NOW,
    )  # fmt: skip
    replayer = Replayer(
        root, f"http://127.0.0.1:{free_port()}", story.SERVED, Window(NIGHT, NIGHT + timedelta(hours=1)), lambda: None
    )
    with Processes(tmp_path / "logs") as processes, replayer, pytest.raises(Unreachable) as stopped:
        story.retrain(Story(), root, replayer, processes, decided)
    assert stopped.value.asked == "The training of flight_delay failed."
    assert stopped.value.exists == "The disk was full."
    assert stopped.value.remedy == "See the run in Prefect's UI."
