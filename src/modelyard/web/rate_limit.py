"""Limits of requests per minute, for all workers of a node: for each key, and for failures of each address.

    RateLimit-Policy: "key";q=600;w=60     the limit of a key, and its seconds
    RateLimit: "key";r=598;t=41            requests that are left, and seconds until there are more

The headers are those of draft-ietf-httpapi-ratelimit-headers-10. Each node counts its own requests, so the limit of all
is higher by the number of nodes. The limit protects the server from a client that is out of control; it is not made for
billing.
"""

import math
import time
from collections.abc import Callable

from modelyard import errors
from modelyard.web.caller_times import CallerTimes, LocalTimes
from modelyard.web.client_address import network_of
from modelyard.web.requests import Header, Request


def caller_of(request: Request) -> str:
    """Return the name under which callers take turns: the team, or the address of who has none."""
    return request.viewer.team or address_of(request)


def counter_of(request: Request) -> str:
    """Return the name under which requests are counted: the key, or the address of who has none."""
    return request.viewer.key_fingerprint or address_of(request)


def address_of(request: Request) -> str:
    """Return the name under which requests without a key are counted: an IPv4 address, or a /64 of IPv6."""
    return "address " + network_of(request.caller_address)


class Allowances:
    """The generic cell rate algorithm: it stores for each caller when its allowance will be full again.

    A caller may use the allowance of a minute at once; it refills evenly. A limit of 0 means no limit. ``times`` may be
    those of all workers of a node; ``name`` keeps several allowances in them apart.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float], times: CallerTimes, name: str = "") -> None:
        self.per_minute = per_minute
        self._interval_seconds = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._times = times
        self._name = name

    def take(self, caller: str) -> None:
        """Count one request of ``caller``, or raise RateLimited."""
        if not self._interval_seconds:
            return
        caller = self._name + caller
        with self._times.locked():
            now = self._clock()
            full_at = max(self._times.get(caller, now), now) + self._interval_seconds
            # The rounding of a float must not cost the last request of the allowance.
            over_seconds = full_at - now - 60 - 1e-6
            if over_seconds > 0:
                raise errors.RateLimited(math.ceil(over_seconds))
            self._times.put(caller, full_at, now)

    def refuse(self, caller: str) -> None:
        """Raise RateLimited if the caller has nothing left. Counts nothing."""
        left = self.left(caller)
        if left is not None and left[0] == 0:
            raise errors.RateLimited(left[1])

    def left(self, caller: str) -> tuple[int, int] | None:
        """Return how many requests the caller has left, and after how many seconds it has more.

        None if there is no limit.
        """
        if not self._interval_seconds:
            return None
        now = self._clock()
        used_seconds = max(self._times.get(self._name + caller, now) - now, 0.0)
        remaining = max(int((60 + 1e-6 - used_seconds) / self._interval_seconds), 0)
        more_in_seconds = used_seconds + self._interval_seconds - 60 if not remaining else used_seconds
        return remaining, math.ceil(max(more_in_seconds, 0.0))

    def charge(self, caller: str, requests: int) -> None:
        """Count a request that has been dear as so many more. They make the next ones wait, up to a minute."""
        if not (self._interval_seconds and requests):
            return
        caller = self._name + caller
        with self._times.locked():
            now = self._clock()
            full_at = max(self._times.get(caller, now), now) + requests * self._interval_seconds
            self._times.put(caller, min(full_at, now + 60), now)


class RateLimit:
    """The limits of each key, of its requests and of its new sessions, and of the failures of each address.

    A failure is a wrong key, or a sign-in that is refused.
    """

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        failures_per_minute: int = 0,
        times: CallerTimes | None = None,
    ) -> None:
        """Take the limits. With ``times`` of several workers, they hold for all of these together."""

        def open_times() -> CallerTimes:
            return LocalTimes() if times is None else times

        self._requests = Allowances(per_minute, clock, open_times())
        self._failures = Allowances(failures_per_minute, clock, open_times(), "failures of ")
        self._sessions = Allowances(failures_per_minute, clock, open_times(), "sessions of ")
        self._policy: Header = (b"ratelimit-policy", b'"key";q=%d;w=60' % per_minute)
        self.take = self._requests.take
        self.charge = self._requests.charge

    def __bool__(self) -> bool:
        """Whether keys have a limit."""
        return bool(self._requests.per_minute)

    def allowance(self, caller: str) -> tuple[int, int, int] | None:
        """Return the limit a minute, how many requests the caller has left, and after how many seconds it has more.

        None if there is no limit.
        """
        left = self._requests.left(caller)
        return None if left is None else (self._requests.per_minute, *left)

    def headers(self, request: Request) -> tuple[Header, ...]:
        """Return the headers of the limit for a request with a key."""
        left = self._requests.left(request.viewer.key_fingerprint) if request.viewer.key_fingerprint else None
        return () if left is None else (self._policy, (b"ratelimit", b'"key";r=%d;t=%d' % left))

    def count_failure(self, request: Request) -> None:
        """Count a wrong key or a refused sign-in. Raises RateLimited if the address has had too many.

        Correct keys keep working at such an address: many people may share it, and keys cannot be guessed.
        """
        self._failures.take(address_of(request))

    def count_session(self, fingerprint: str) -> None:
        """Count a session that a key begins. Raises RateLimited: each session is a row of the audit for good."""
        self._sessions.take(fingerprint)

    def refuse_failing(self, request: Request) -> None:
        """Raise RateLimited if the address has had too many failures, before work that costs something."""
        self._failures.refuse(address_of(request))
