"""The child's side of ``flows.runner.run``: reads its job, reports progress, leaves a result or its error.

Every ``__main__`` that runs a package's code uses it, so that a pipeline which raises, exits or prints is told apart the same way
everywhere.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.pipeline import Pipeline
from store.errors import AssayError, InvalidInput

Job = dict[str, Any]


def step(what: str) -> None:
    """Tell the parent what happens now."""
    print(json.dumps({"step": what}), flush=True)


def pipeline(name: str) -> Pipeline:
    """The value ``pipeline`` of the active code. InvalidInput says what the folder lacks."""
    module = importlib.import_module(name)
    found = getattr(module, "pipeline", None)
    if not isinstance(found, Pipeline):
        raise InvalidInput(
            f"{name}/__init__.py has no `pipeline`.", remedy="End it with pipeline = Pipeline(name=…, …)."
        )
    if found.name != name:
        raise InvalidInput(
            f"The pipeline in the folder {name} calls itself {found.name!r}.", remedy="Give both one name."
        )
    return found


def main(handlers: dict[str, Callable[[Pipeline, Job], Job]]) -> None:
    """Run the job named on the command line. An AssayError keeps its kind; any other becomes InvalidInput with its last frames."""
    job: Job = json.loads(Path(sys.argv[1]).read_text())
    if "lifeline" in job:
        threading.Thread(target=_end_with_parent, args=(job["lifeline"],), name="assay-lifeline", daemon=True).start()
    try:
        result = handlers[job["what"]](pipeline(job["pipeline"]), job)
    except AssayError as error:
        result = {
            "error": {
                "kind": type(error).__name__,
                "asked": error.asked,
                "exists": error.exists,
                "remedy": error.remedy,
            }
        }
    except Exception as error:  # whatever a user's code raises becomes a refusal with its reason, never a crash of ours
        frames = "".join(traceback.format_exception(error)[-4:])
        asked = f"{job['pipeline']} raised {type(error).__name__}: {error}"
        result = {
            "error": {
                "kind": "InvalidInput",
                "asked": asked,
                "exists": frames,
                "remedy": "Mend the pipeline, and run it again.",
            }
        }
    Path(job["result"]).write_text(json.dumps(finite(result), allow_nan=False))


def _end_with_parent(lifeline: int) -> None:
    """When the parent is gone nobody waits for the answer: end, with every process of the group."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def finite(value: Any) -> Any:
    """The value with every number that is not finite as None: what is undefined (the AUC of one class) has no JSON number."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
