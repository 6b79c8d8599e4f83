"""A limit of bytes in a second for all transfers of a program together."""

import threading
import time
from collections.abc import Callable


class BandwidthLimit:
    """Spreads bytes over time. Threads may share it.

        now ──▶ |── block 1 ──|── block 2 ──|── block 3 ──|     each block takes its bytes / rate

    A caller waits until the blocks before its own are over.
    """

    def __init__(
        self,
        bytes_per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def take(self, count: int) -> None:
        """Wait until so many bytes may be sent or received."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + count / self._bytes_per_second
        if start > now:
            self._sleep(start - now)
