"""Reads workflows and pictures that are to be resolved. Large ones arrive a few at a time, for the API and the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from modelyard import errors
from modelyard.web.bodies import Disconnected, content_length, read_up_to
from modelyard.web.heavy_work import FairTurns
from modelyard.web.rate_limit import caller_of
from modelyard.web.requests import Request
from modelyard.workflows import BODY_BYTES_MAX

# Workflows are smaller; larger bodies, pictures, arrive a few at a time, so that they take little memory together.
_SMALL_BYTES = 1024 * 1024
_LARGE_AT_ONCE = 4
_SECONDS_MAX = 60.0


class WorkflowBodies:
    """Gives out turns to those who send large files."""

    def __init__(self) -> None:
        self._turns = FairTurns(_LARGE_AT_ONCE)

    @asynccontextmanager
    async def read(self, request: Request, receive: Receive, form_bytes: int = 0) -> AsyncIterator[bytes]:
        """Read the body: a file, with up to ``form_bytes`` of a form around it. A turn lasts until the block ends.

        Raises TooLarge, before reading if the headers have the length, and Disconnected.
        """
        if (content_length(request) or BODY_BYTES_MAX) <= _SMALL_BYTES:
            yield await _read(request, receive, form_bytes)
        else:
            async with self._turns.turn(caller_of(request)):
                yield await _read(request, receive, form_bytes)


async def _read(request: Request, receive: Receive, form_bytes: int) -> bytes:
    try:
        async with asyncio.timeout(_SECONDS_MAX):
            return await read_up_to(BODY_BYTES_MAX + form_bytes, request, receive, "the file")
    except TimeoutError:
        raise Disconnected(f"the file took longer than {_SECONDS_MAX:g} seconds") from None
    except errors.TooLarge:
        raise errors.TooLarge("the file", BODY_BYTES_MAX) from None
