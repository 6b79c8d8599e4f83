"""A limit of requests per minute for each caller, counted in this process.

With several workers, each worker counts its own requests, so the limit of all is higher by the number of workers. The
limit protects the server from a client that is out of control; it is not made for billing.
"""

import math
import time
from collections.abc import Callable

from modelyard import errors
from modelyard.web.requests import Request

_CALLERS_MAX = 10_000


def caller_of(request: Request) -> str:
    """Return the name under which the requests of a caller are counted: the team, or the address of who has none."""
    return request.viewer.team or "address " + request.caller_address


class RateLimit:
    """The generic cell rate algorithm: it stores for each caller when its allowance will be full again.

    A caller may use the allowance of a minute at once; it refills evenly. A limit of 0 means no limit.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._interval_seconds = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._full_at_by_caller: dict[str, float] = {}

    def take(self, caller: str) -> None:
        """Count one request of ``caller``, or raise RateLimited."""
        if not self._interval_seconds:
            return
        now = self._clock()
        full_at = max(self._full_at_by_caller.get(caller, now), now) + self._interval_seconds
        # The rounding of a float must not cost the last request of the allowance.
        over_seconds = full_at - now - 60 - 1e-6
        if over_seconds > 0:
            raise errors.RateLimited(math.ceil(over_seconds))
        if len(self._full_at_by_caller) >= _CALLERS_MAX:
            self._forget(now)
        self._full_at_by_caller[caller] = full_at

    def allowance(self, caller: str) -> tuple[int, int, int] | None:
        """Return the limit a minute, how many requests the caller has left, and after how many seconds it has more.

        None if there is no limit.
        """
        if not self._interval_seconds:
            return None
        now = self._clock()
        used_seconds = max(self._full_at_by_caller.get(caller, now) - now, 0.0)
        remaining = max(int((60 + 1e-6 - used_seconds) / self._interval_seconds), 0)
        more_in_seconds = used_seconds + self._interval_seconds - 60 if not remaining else used_seconds
        return self._per_minute, remaining, math.ceil(max(more_in_seconds, 0.0))

    def charge(self, caller: str, requests: int) -> None:
        """Count a request that has been dear as so many more. They make the next ones wait, up to a minute."""
        if self._interval_seconds and requests:
            now = self._clock()
            full_at = max(self._full_at_by_caller.get(caller, now), now) + requests * self._interval_seconds
            self._full_at_by_caller[caller] = min(full_at, now + 60)

    def _forget(self, now: float) -> None:
        active = {caller: full_at for caller, full_at in self._full_at_by_caller.items() if full_at > now}
        # Ten thousand callers at once are an attack, which wants to fill the memory: forget them all.
        self._full_at_by_caller = active if len(active) < _CALLERS_MAX else {}
