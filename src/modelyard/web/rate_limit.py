"""How many requests a caller may make: a limit per minute, kept in this process.

With several workers each counts what reaches it, so the limit of the whole is up to that many times higher: it guards
the server against a runaway client, it does not bill.
"""

import math
import time
from collections.abc import Callable

from modelyard import errors

_CALLERS_MAX = 10_000


class RateLimit:
    """The generic cell rate algorithm: one number a caller, the time at which its allowance would be whole again.

    A minute's allowance may be used at once; it comes back evenly. A limit of 0 is none.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_seconds = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._whole_at_by_caller: dict[str, float] = {}

    def take(self, caller: str) -> None:
        """Count one request of ``caller``, or raise RateLimited."""
        if not self._interval_seconds:
            return
        now = self._clock()
        whole_at = max(self._whole_at_by_caller.get(caller, now), now) + self._interval_seconds
        # A float's rounding must not cost the last request of the allowance.
        over_seconds = whole_at - now - 60 - 1e-6
        if over_seconds > 0:
            raise errors.RateLimited(math.ceil(over_seconds))
        if len(self._whole_at_by_caller) >= _CALLERS_MAX:
            self._forget(now)
        self._whole_at_by_caller[caller] = whole_at

    def _forget(self, now: float) -> None:
        kept = {caller: whole_at for caller, whole_at in self._whole_at_by_caller.items() if whole_at > now}
        # Ten thousand addresses at once is an attack, and remembering them all is what it wants.
        self._whole_at_by_caller = kept if len(kept) < _CALLERS_MAX else {}
