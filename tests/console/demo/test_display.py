"""What the demo says tells who says it."""

import logging
import threading

from console.demo.display import named_by


def test_work_side_by_side_is_told_apart_by_its_pipelines_name(caplog):
    """The name comes once, and only before what is said in a thread of that name."""
    logger = logging.getLogger("test-named-by")
    spoken = named_by({"trains"})
    logger.addFilter(spoken)

    def work() -> None:
        logger.warning("K02 %s", "future")
        logger.warning("trains 1.0.0 is published")

    thread = threading.Thread(target=work, name="trains")
    thread.start()
    thread.join()
    logger.warning("K04")
    assert caplog.messages == ["trains: K02 future", "trains 1.0.0 is published", "K04"]
