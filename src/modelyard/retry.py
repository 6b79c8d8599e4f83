"""Retries: how long to wait before another attempt, and when to give up. One rule for every request that we make.

The library stamina is not used: here an attempt that makes progress starts the count again, the caller says how to
sleep, and a server's Retry-After goes before our own waits. That is all of this module.
"""

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts to make, and how long to wait between them.

    The waits double from ``wait_seconds_first`` to ``wait_seconds_max``. A random half of each keeps clients that fail
    at the same time from coming back at the same time.
    """

    attempts_max: int
    wait_seconds_first: float
    wait_seconds_max: float
    # Longer waits that a server asks for are cut to this.
    retry_after_seconds_max: float
    sleep: Callable[[float], object] = time.sleep
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def wait_seconds(self, failures: int, retry_after_seconds: float | None = None) -> float:
        """Return the wait after so many failures in a row: what the server asks for, otherwise our own."""
        if retry_after_seconds is not None:
            return min(retry_after_seconds, self.retry_after_seconds_max)
        longest_seconds = min(self.wait_seconds_max, self.wait_seconds_first * 2.0 ** (failures - 1))
        return longest_seconds * (0.5 + 0.5 * self.chance())


class Retry:
    """The failures in a row of one piece of work."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.failures = 0
        self._policy = policy

    def reset(self) -> None:
        """Forget the failures, because the work has made progress."""
        self.failures = 0

    def wait(
        self,
        retry_after_seconds: float | None = None,
        on_wait: Callable[[float], object] = lambda _seconds: None,
    ) -> bool:
        """Count a failure, and wait before the next attempt. Return False at once if no attempt is left."""
        self.failures += 1
        if self.failures >= self._policy.attempts_max:
            return False
        seconds = self._policy.wait_seconds(self.failures, retry_after_seconds)
        on_wait(seconds)
        self._policy.sleep(seconds)
        return True


def parse_retry_after(text: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, as a number or a date; None if it is neither."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    return max(0.0, seconds - now())
