"""The same again whenever something changes: told by the operating system where it tells, and now and then anyway."""

import os
import time
from collections.abc import Callable, Sequence
from threading import Event

import watchfiles

from modelyard.library.walk import PARTIAL_SUFFIXES

# Network file systems tell nothing, and a queue of events can overflow.
RESCAN_SECONDS = 300.0
# A copy of many files is one change, not hundreds: how long it has to be quiet, and how long that is waited for.
_QUIET_MS, _TOGETHER_MS = 1_000, 5_000
# Between two scans: so many times what the last one took.
_REST_FACTOR = 4


def watch_once(
    paths: Sequence[bytes], rescan: Callable[[], object], ended: Event, *, rescan_seconds: float = RESCAN_SECONDS
) -> float:
    """Call ``rescan`` at once, and again when something below the paths changes, and every ``rescan_seconds``.

    Return, to be called again, when ``ended`` is set, when a path has come or gone, or when nothing can be watched:
    then after so many seconds as it returns. The first scan is at once: what changed before anybody watched is told
    by nobody.
    """
    try:
        if any(map(os.path.exists, paths)):
            _watch_what_is_there(paths, rescan, ended, rescan_seconds)
            return 0.0
    except OSError:
        # No watches are left, or the file system has none: the clock remains.
        pass
    _rescan(rescan, ended)
    return rescan_seconds


def _watch_what_is_there(paths: Sequence[bytes], rescan: Callable[[], object], ended: Event, seconds: float) -> None:
    """Watch until a path comes or goes, such as a disk that is mounted. What changes during a scan starts the next one.

    Raises OSError where nothing can be watched.
    """
    due = time.monotonic()
    there = [path for path in paths if os.path.exists(path)]
    for changes in watchfiles.watch(
        *map(os.fsdecode, there),
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
            _rescan(rescan, ended)
            due = time.monotonic() + seconds
        if ended.is_set() or there != [path for path in paths if os.path.exists(path)]:
            return


def _rescan(rescan: Callable[[], object], ended: Event) -> None:
    began = time.monotonic()
    rescan()
    ended.wait(_REST_FACTOR * (time.monotonic() - began))


def _matters(_: watchfiles.Change, path: str) -> bool:
    return not path.lower().endswith(PARTIAL_SUFFIXES)
