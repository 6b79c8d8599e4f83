"""What is to be logged and counted of answered requests, done together a few times a second.

A line and three figures cost 4 µs one after the other while the processor has them at hand, and three times that
between two requests (2026-11).
"""

import asyncio
import time
from datetime import UTC, datetime

from modelyard.web.log import Log, RequestLine
from modelyard.web.metrics import Metrics
from modelyard.web.requests import Exchange

_WAIT_SECONDS = 0.2
# So many are done in a quarter of a millisecond: no request waits long behind them.
_WAITING_MAX = 64


class Observations:
    """The answered requests that wait. A crash of the process may lose those of the last fifth of a second."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._waiting: list[tuple[Exchange, int, float]] = []

    def add(self, exchange: Exchange) -> None:
        """Note that a request has been answered, now; called on the event loop."""
        self._waiting.append((exchange, time.perf_counter_ns() - exchange.started_ns, time.time()))
        if len(self._waiting) >= _WAITING_MAX:
            self.settle()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_WAIT_SECONDS, self.settle)

    def settle(self) -> None:
        """Log and count what waits."""
        answered, self._waiting = self._waiting, []
        lines = []
        for exchange, elapsed_ns, at in answered:
            route = exchange.scope.get("path_template")
            self._metrics.count(route, exchange.method, exchange.status, elapsed_ns / 1e9)
            lines.append(
                RequestLine(
                    timestamp=datetime.fromtimestamp(at, UTC),
                    method=exchange.method[:16],
                    route=route,
                    status=exchange.status,
                    us=elapsed_ns // 1000,
                    team=exchange.team,
                    request_id=exchange.id,
                )
            )
        self._log.requests(lines)
