"""Notices that a client has closed the connection while the server still works for it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from starlette.types import Receive

from modelyard.web.bodies import Disconnected

T = TypeVar("T")


@asynccontextmanager
async def watch_connection(receive: Receive) -> "AsyncIterator[asyncio.Task[None]]":
    """Give a task that is done when the client has closed the connection."""

    async def wait() -> None:
        # The first message is the request's body, which a GET does not have.
        for _ in range(2):
            if (await receive())["type"] == "http.disconnect":
                return
        await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def run_while_connected(receive: Receive, work: Coroutine[object, None, T]) -> T:
    """Return the result of work; end it, and raise Disconnected, if the client closes the connection before."""
    task = asyncio.create_task(work)
    try:
        async with watch_connection(receive) as is_gone:
            await asyncio.wait({task, is_gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Disconnected("the client closed the connection")
        return task.result()
    finally:
        task.cancel()
