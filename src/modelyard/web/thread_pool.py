"""Threads of one kind of work that waits for another server, so that it does not occupy those of all requests."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from modelyard import errors

T = TypeVar("T")


class ThreadPool:
    """Runs functions in a few threads. Further ones wait, up to a number. Only the event loop may use it."""

    def __init__(self, name: str, threads: int, waiting_max: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._size_max = threads + waiting_max
        self._size = 0

    async def run(self, function: Callable[[], T], problem: str) -> T:
        """Run a function and return its result. Raises Unavailable with the problem if too many wait."""
        if self._size >= self._size_max:
            raise errors.Unavailable(problem)
        self._size += 1
        work = asyncio.get_running_loop().run_in_executor(self._executor, contextvars.copy_context().run, function)
        # A request that is cancelled leaves its thread at work.
        work.add_done_callback(self._release)
        return await asyncio.shield(work)

    def _release(self, _: object) -> None:
        self._size -= 1
