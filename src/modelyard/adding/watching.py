"""The same again whenever something changes: told by the operating system where it tells, and now and then anyway."""

import os
import time
from collections.abc import Callable, Sequence
from threading import Event

import watchfiles

from modelyard.ingest.folders import PARTIAL_SUFFIXES

# Network file systems tell nothing, and a queue of events can overflow.
RESCAN_SECONDS = 300.0
# A copy of many files is one change, not hundreds: how long it has to be quiet, and how long that is waited for.
_QUIET_MS, _TOGETHER_MS = 1_000, 5_000
# Between two scans: so many times what the last one took.
_REST_FACTOR = 4


def watch(
    paths: Sequence[bytes], rescan: Callable[[], object], ended: Event, *, rescan_seconds: float = RESCAN_SECONDS
) -> None:
    """Call ``rescan`` when something below the paths changes, and every ``rescan_seconds``, until ``ended`` is set."""
    while not ended.is_set():
        # What is not there, such as a disk that is not mounted, is looked for again at the next scan.
        there = [os.fsdecode(path) for path in paths if os.path.exists(path)]
        if there:
            _wait_for_change(there, ended, rescan_seconds)
        else:
            ended.wait(rescan_seconds)
        if ended.is_set():
            return
        began = time.monotonic()
        rescan()
        ended.wait(_REST_FACTOR * (time.monotonic() - began))


def _wait_for_change(paths: Sequence[str], ended: Event, seconds: float) -> None:
    due = time.monotonic() + seconds
    try:
        for changes in watchfiles.watch(
            *paths,
            watch_filter=_matters,
            debounce=_TOGETHER_MS,
            step=_QUIET_MS,
            stop_event=ended,
            rust_timeout=1_000,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        ):
            if changes or time.monotonic() >= due:
                return
    except OSError:
        # No watches are left, or the file system has none: the clock remains.
        ended.wait(max(due - time.monotonic(), 0))


def _matters(_: watchfiles.Change, path: str) -> bool:
    return not path.lower().endswith(PARTIAL_SUFFIXES)
