"""Sends the bytes of files in fair turns, so that other requests do not wait for downloads.

An event loop runs everything that is ready before it looks for new requests. Two hundred clients that can take bytes at
one moment would keep it busy for many milliseconds. So only a few downloads send a block in each round of the loop; the
others wait for their turn. A download waits for its client, and for a slow disk, without holding a turn.

Bytes in the page cache are read on the event loop, others in a thread. A download has at most two blocks in memory, and
small ones if its client reads slowly.
"""

import asyncio
import os
import time
from contextlib import suppress

import numpy as np
from starlette.types import Send

from modelyard import errors
from modelyard.web.range_header import ByteRange

# How long a client may take no byte at all.
STALLED_SECONDS_MAX = 120.0
# Measured (docs/decide/benchmarks.md): blocks of 1 MiB are four times as fast as blocks of 64 KiB. A block waits in
# memory for a slow client, so blocks start small, and grow while the client reads them quickly.
_BLOCK_BYTES_MIN, _BLOCK_BYTES_MAX = 64 * 1024, 1024 * 1024
_QUICK_SECONDS = 0.05
# How many downloads send in one round of the loop, and the bytes that all downloads share as blocks.
_TURNS = 4
_SHARED_BYTES = 4 * 1024 * 1024


class FileStream:
    """Sends files for all downloads of a process. Its turns belong to one event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_TURNS)
        self._active = 0

    async def send(self, send: Send, descriptor: int, part: ByteRange) -> None:
        """Send a range of an open file.

        Raises TimeoutError if the client stops reading, and Unavailable if the file became shorter.
        """
        offset, block_bytes = part.first, _BLOCK_BYTES_MIN
        self._active += 1
        try:
            while offset <= part.last:
                start = time.monotonic()
                await send_piece(send, b"")  # returns when the client has taken most of what was sent before
                is_quick = time.monotonic() - start < _QUICK_SECONDS
                block_bytes = min(block_bytes * 2, self._block_bytes_max) if is_quick else _BLOCK_BYTES_MIN
                offset += await self._send_block(send, descriptor, offset, min(block_bytes, part.last - offset + 1))
        finally:
            self._active -= 1

    @property
    def _block_bytes_max(self) -> int:
        """The largest block: the more downloads, the smaller, so that a round stays short."""
        return min(max(_SHARED_BYTES // self._active, _BLOCK_BYTES_MIN), _BLOCK_BYTES_MAX)

    async def _send_block(self, send: Send, descriptor: int, offset: int, size_bytes: int) -> int:
        async with self._turns:
            cached = _read_cached(descriptor, offset, size_bytes)
            if cached is not None:
                await send_piece(send, cached)
                return len(cached)
        block = await asyncio.to_thread(os.pread, descriptor, size_bytes, offset)
        if not block:
            raise errors.Unavailable("the file became shorter while it was sent")
        async with self._turns:
            await send_piece(send, block)
        return len(block)


async def send_piece(send: Send, piece: bytes | memoryview) -> None:
    """Send a piece of a body. Raises TimeoutError if the client takes nothing for a long time."""
    async with asyncio.timeout(STALLED_SECONDS_MAX):
        await send({"type": "http.response.body", "body": piece, "more_body": True})


def _read_cached(descriptor: int, offset: int, size_bytes: int) -> memoryview | None:
    """Return bytes that are in the page cache; None if they are not, or not all of them."""
    # A bytearray would be filled with zeros first, and asyncio would copy what a socket does not take of it.
    block = np.empty(size_bytes, np.uint8).data
    with suppress(BlockingIOError, OSError):
        # OSError: the file system does not support RWF_NOWAIT.
        if os.preadv(descriptor, [block], offset, os.RWF_NOWAIT) == size_bytes:
            return block  # nobody changes it, and uvicorn accepts any buffer
    return None
