"""Turns of requests to one host: so many at the same time, and some time between two of them.

Each process counts its own requests.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Host:
    running: int = 0
    waiting: int = 0
    next_at: float = 0.0


class HostTurns:
    """The turns of all hosts. Threads may share it."""

    def __init__(
        self,
        concurrent_max: int = 4,
        spacing_seconds: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._concurrent_max = concurrent_max
        self._spacing_seconds = spacing_seconds
        self._clock = clock
        self._sleep = sleep
        self._changed = threading.Condition()
        self._hosts: dict[str, _Host] = {}

    @contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Wait for a turn of a host, and hold it."""
        with self._changed:
            entry = self._hosts.setdefault(host, _Host())
            entry.waiting += 1
            self._changed.wait_for(lambda: entry.running < self._concurrent_max)
            entry.waiting -= 1
            entry.running += 1
            now = self._clock()
            wait_seconds = max(0.0, entry.next_at - now)
            entry.next_at = now + wait_seconds + self._spacing_seconds
        try:
            if wait_seconds:
                self._sleep(wait_seconds)
            yield
        finally:
            with self._changed:
                entry.running -= 1
                # Hosts come from outside, so those without a request are forgotten.
                now = self._clock()
                for name in [name for name, idle in self._hosts.items() if _is_idle(idle, now)]:
                    del self._hosts[name]
                self._changed.notify_all()


def _is_idle(entry: _Host, now: float) -> bool:
    return not entry.running and not entry.waiting and entry.next_at <= now
