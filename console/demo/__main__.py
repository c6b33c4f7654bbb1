"""The demo's own process: see ``console.demo.prepare.start``."""

import json
import sys
from pathlib import Path

from console.cli import ending, progress
from console.demo import story

asked = json.loads(sys.argv[1])
progress()
with ending():
    sys.exit(story.run(Path(asked["home"]), asked["ports"], once=asked["once"], weeks=asked["weeks"]))
