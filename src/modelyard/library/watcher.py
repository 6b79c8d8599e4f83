"""Scans again when the operating system reports a change, and regularly, because it does not report every change."""

import os
import time
from collections.abc import Callable, Sequence
from threading import Event

import watchfiles

from modelyard.library.walk import PARTIAL_SUFFIXES

# Network file systems report no changes, and a queue of events can overflow.
RESCAN_SECONDS = 300.0
# Copying many files is one change: a scan starts after this long without an event, and at the latest after so long.
_QUIET_MS, _TOGETHER_MS = 1_000, 5_000
# The pause between two scans, as a multiple of the duration of the last one.
_REST_FACTOR = 4


def watch_once(
    paths: Sequence[bytes], rescan: Callable[[], object], stop: Event, *, rescan_seconds: float = RESCAN_SECONDS
) -> float:
    """Call ``rescan`` at once, then when something below the paths changes, and every ``rescan_seconds``.

    The first call is immediate: the operating system reports no earlier changes. Return when ``stop`` is set, when a
    path appears or disappears, or when the system cannot watch the paths. The caller calls again after as many seconds
    as are returned.
    """
    try:
        if any(map(os.path.exists, paths)):
            _watch_paths(paths, rescan, stop, rescan_seconds)
            return 0.0
    except OSError:
        # The system has no watches left, or the file system has none: scan by the clock only.
        pass
    _rescan(rescan, stop)
    return rescan_seconds


def _watch_paths(paths: Sequence[bytes], rescan: Callable[[], object], stop: Event, seconds: float) -> None:
    """Watch until one of the paths appears or disappears, as when a disk is mounted.

    A change during a scan starts the next scan. Raises OSError if the system cannot watch the paths.
    """
    due = time.monotonic()
    present = [path for path in paths if os.path.exists(path)]
    for changes in watchfiles.watch(
        *map(os.fsdecode, present),
        watch_filter=_is_relevant,
        debounce=_TOGETHER_MS,
        step=_QUIET_MS,
        stop_event=stop,
        rust_timeout=1_000,
        yield_on_timeout=True,
        raise_interrupt=True,
        ignore_permission_denied=True,
    ):
        if changes or time.monotonic() >= due:
            _rescan(rescan, stop)
            due = time.monotonic() + seconds
        if stop.is_set() or present != [path for path in paths if os.path.exists(path)]:
            return


def _rescan(rescan: Callable[[], object], stop: Event) -> None:
    start = time.monotonic()
    rescan()
    stop.wait(_REST_FACTOR * (time.monotonic() - start))


def _is_relevant(_: watchfiles.Change, path: str) -> bool:
    return not path.lower().endswith(PARTIAL_SUFFIXES)
