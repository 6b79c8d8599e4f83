"""Runs dear questions in a thread, one at a time, so that no other request waits for them.

A question starts on the event loop with a small budget. If that is used, it is asked again here, with the budget of a
whole question. Callers take turns: who sends many dear questions waits for the own ones, not the others.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from modelyard.index import question_budget
from modelyard.web.rate_limit import RateLimit, caller_of, counter_of
from modelyard.web.requests import Request

T = TypeVar("T")

# Two threads answer no more questions than one, because both need the interpreter's lock, and pages wait for both: at a
# million models a page's p99 was 10 to 28 ms beside two threads, and 1 to 3 ms beside one, in two runs one after the
# other on a loaded machine (2 cores, 2026-11).
AT_ONCE = 1
# A hundred pages take as long as this much work; a question costs one request more for each.
_UNITS_A_REQUEST = 4_000


class FairTurns:
    """Gives out turns, up to a number at once. Those who wait are served caller by caller."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, caller: str) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # the turn came, and nobody is there to use it
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            caller = next(iter(self._waiting))
            queue = self._waiting.pop(caller)
            future = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # at the end: the other callers come first
            if not future.done():
                future.set_result(None)
                return
        self._free += 1


class HeavyWork:
    """Answers questions that are too dear for the event loop, and counts them against the rate limit."""

    def __init__(self, rate_limit: RateLimit, at_once: int = AT_ONCE) -> None:
        self._rate_limit = rate_limit
        self._turns = FairTurns(at_once)

    async def run(self, request: Request, answer: Callable[[], T]) -> T:
        """Return the answer, made in a thread with the budget of a whole question."""
        request.budget = budget = question_budget()
        async with self._turns.turn(caller_of(request)):
            try:
                return await asyncio.to_thread(answer)
            finally:
                self._rate_limit.charge(counter_of(request), budget.used // _UNITS_A_REQUEST)
