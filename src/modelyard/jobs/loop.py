"""The loop of background work, with the rules for errors, back-off and stopping."""

import logging
from collections.abc import Callable
from threading import Event

from modelyard import errors

BACKOFF_SECONDS_MIN = 1.0
BACKOFF_SECONDS_MAX = 30.0

log = logging.getLogger(__name__)


def backoff_seconds(failures: int) -> float:
    """Return the wait after so many failures in a row: one second, doubled each time, up to the limit."""
    return min(BACKOFF_SECONDS_MIN * 2.0 ** min(failures - 1, 16), BACKOFF_SECONDS_MAX)


def run_loop(label: str, step: Callable[[], float | None], stopping: Event) -> None:
    """Call ``step`` until ``stopping`` is set or it returns None; in between, wait for as many seconds as it returns.

    If ``step`` raises Unavailable, the loop tries again with longer and longer waits. Other errors leave the loop.
    """
    failures = 0
    while not stopping.is_set():
        try:
            wait_seconds = step()
            failures = 0
        except (errors.Unavailable, errors.DatabaseUnavailable) as problem:
            failures += 1
            wait_seconds = backoff_seconds(failures)
            log.warning("%s paused, retrying in %.0f s: %s", label, wait_seconds, problem)
        if wait_seconds is None:
            return
        if wait_seconds > 0:
            stopping.wait(wait_seconds)
