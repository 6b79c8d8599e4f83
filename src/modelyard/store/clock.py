"""The clock of the database, which all nodes share: deadlines and leases are compared with it.

PostgreSQL answers its time together with the counters. SQLite is on the same machine, so its clock is that of the
process.
"""

import logging
import time
from collections.abc import Callable, Mapping

# The name of the database's time among the counters, in Unix milliseconds.
CLOCK = "clock"
# From this difference on, an operator is told.
WRONG_SECONDS = 5.0

log = logging.getLogger(__name__)


class DatabaseClock:
    """Says the time of the database without a query, from the last answer of it."""

    def __init__(self, own_clock: Callable[[], float]) -> None:
        self._own_clock = own_clock
        self._ahead_seconds = 0.0

    @property
    def wrong_seconds(self) -> float | None:
        """By how much the process's clock is ahead of the database's; None if the difference is small."""
        return self._ahead_seconds if abs(self._ahead_seconds) >= WRONG_SECONDS else None

    def now(self) -> float:
        """Return the database's time, in Unix seconds."""
        return self._own_clock() - self._ahead_seconds

    def note(self, counters: Mapping[str, int], asked_at: float) -> float:
        """Return the database's time from an answer with the counters; ``asked_at`` is by ``time.monotonic``.

        The answer may have waited for the network or for other writers. The difference of the clocks changes only as
        far as that cannot explain it.
        """
        own_time, waited_seconds = self._own_clock(), time.monotonic() - asked_at
        milliseconds = counters.get(CLOCK)
        if milliseconds is None:
            return own_time
        ahead_max = own_time - milliseconds / 1000
        was_wrong = self.wrong_seconds is not None
        self._ahead_seconds = min(max(self._ahead_seconds, ahead_max - waited_seconds), ahead_max)
        if (self.wrong_seconds is not None) != was_wrong:
            self._report(is_wrong=not was_wrong)
        return milliseconds / 1000

    def _report(self, *, is_wrong: bool) -> None:
        if is_wrong:
            log.warning("%s; deadlines follow the database; set the clock of this machine", self.describe())
        else:
            log.info("the clock of this machine agrees with the database's again")

    def describe(self) -> str:
        """Return how the process's clock differs from the database's."""
        side = "ahead of" if self._ahead_seconds > 0 else "behind"
        return f"the clock of this machine is {abs(self._ahead_seconds):.0f} s {side} the database's"
