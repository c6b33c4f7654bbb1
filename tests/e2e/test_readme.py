"""README's tour runs as it stands there, in a shell, from nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from console.processes import WORKSPACE, free_port
from store.layout import Root
from store.registry import models
from store.traffic import predictions

pytestmark = pytest.mark.e2e


def test_the_tour_goes_from_nothing_to_a_served_and_collected_prediction(tmp_path):
    """Every command ends well, the prediction is answered by the champion and is in the store."""
    (script,) = re.findall(r"```sh\n(.*?)```", (WORKSPACE / "README.md").read_text(), re.DOTALL)
    script = script.replace("8000", str(free_port())).replace("$PWD/.venv/bin", str(Path(sys.executable).parent))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "ASSAY"))}
    done = subprocess.run(
        ["bash", "-c", f"set -e\n{script}"], cwd=tmp_path, env=env | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=900
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    root = Root.open(tmp_path / ".tour")
    champion = models.champion(root, "arrival_minutes", "production")
    answer = next(
        json.loads(line) for line in re.findall(r'\{"pipeline".*?\]\}', done.stdout) if '"predictions"' in line
    )
    (told,) = answer["predictions"]
    (kept,) = predictions.read(root, "production", "arrival_minutes").to_dicts()
    assert (kept["prediction_id"], kept["prediction"], kept["model"]) == (
        told["id"],
        told["prediction"],
        champion.digest,
    )
