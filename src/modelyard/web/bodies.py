"""Reading what a request brings: a small JSON body whole, a file block by block. Limits come before memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard.blobs.partial import PartialFile
from modelyard.web.requests import Answer, Exchange, Handler
from modelyard.web.routing import send_answer

# What a client says of a model fits in a hundredth of this.
JSON_BYTES_MAX = 64 * 1024
# A client that sends no byte for so long is gone; what came of it stays, and it can go on where that ends.
STALLED_SECONDS_MAX = 60.0
BLOCK_BYTES = 1024 * 1024
# How much arrives until the disk is told to write what it has.
SYNC_BYTES = 32 * 1024 * 1024
# Of a block: beyond, they are small.
_PIECES_MAX = 16

T = TypeVar("T")


class Disconnected(Exception):
    """The client went away, or fell silent, in the middle of its body."""


def changing(change: Callable[[Exchange, bytes], Answer]) -> Handler:
    """Return what reads a small body and sends the answer of ``change``, which runs in a thread."""

    async def handle(exchange: Exchange, receive: Receive, send: Send) -> None:
        body = await read_small(exchange, receive)
        await send_answer(await asyncio.to_thread(change, exchange, body), exchange, send)

    return handle


def content_length(exchange: Exchange) -> int | None:
    """Return how long a body says it is; None where it does not."""
    text = exchange.headers.get(b"content-length")
    if text is None:
        return None
    if not (text.isdigit() and len(text) <= 18):
        raise errors.InvalidValue("content-length: not a number", field="content-length")
    return int(text)


async def read_small(exchange: Exchange, receive: Receive) -> bytes:
    """Return a body of at most ``JSON_BYTES_MAX``. Raises TooLarge as ``read_up_to`` does."""
    return await read_up_to(JSON_BYTES_MAX, exchange, receive, "the request's body")


async def read_up_to(bytes_max: int, exchange: Exchange, receive: Receive, what: str) -> bytes:
    """Return a body of at most so many bytes. Raises TooLarge, of ``what``, before it is read if it says its length."""
    if (content_length(exchange) or 0) > bytes_max:
        raise errors.TooLarge(what, bytes_max)
    body = bytearray()
    async for chunk in chunks(receive):
        body += chunk
        if len(body) > bytes_max:
            raise errors.TooLarge(what, bytes_max)
    return bytes(body)


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a body as it comes. Raises Disconnected where the client goes or falls silent before its end."""
    more = True
    while more:
        try:
            async with asyncio.timeout(STALLED_SECONDS_MAX):
                message = await receive()
        except TimeoutError:
            raise Disconnected from None
        if message["type"] != "http.request":
            raise Disconnected
        more = message.get("more_body", False)
        if body := message.get("body", b""):
            yield body


async def blocks(receive: Receive) -> AsyncIterator[list[bytes]]:
    """Yield a body in lists of chunks of about ``BLOCK_BYTES`` together; what came before a disconnection too."""
    gathered: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in chunks(receive):
            gathered.append(chunk)
            size_bytes += len(chunk)
            if size_bytes >= BLOCK_BYTES:
                yield gathered
                gathered, size_bytes = [], 0
    except Disconnected:
        if gathered:
            yield gathered
        raise
    if gathered:
        yield gathered


async def append_body(appending: PartialFile, receive: Receive, look: Callable[[list[bytes]], None]) -> None:
    """Append a body as it comes; ``look`` sees each block before it is written, and may refuse it.

    The next block arrives while one is hashed and written in a thread, and the disk begins to write before the last
    one is there: the wait for it at the end is then a short one. What came before an interruption is written.
    """
    writing: asyncio.Future[None] | None = None
    syncing: asyncio.Future[None] | None = None
    unsynced_bytes = 0
    try:
        async for gathered in blocks(receive):
            look(gathered)
            if writing is not None:
                await writing
            writing = asyncio.ensure_future(asyncio.to_thread(_write, appending, gathered))
            unsynced_bytes += sum(map(len, gathered))
            if unsynced_bytes >= SYNC_BYTES and (syncing is None or syncing.done()):
                # The system tells of a failed write once: whoever hears of it has to pass it on.
                if syncing is not None:
                    syncing.result()
                syncing = asyncio.ensure_future(asyncio.to_thread(appending.sync))
                unsynced_bytes = 0
    finally:
        done = [future for future in (writing, syncing) if future is not None]
        if done:
            await asyncio.wait(done)
    for future in done:
        future.result()


def _write(appending: PartialFile, gathered: list[bytes]) -> None:
    # Copying large pieces together costs a tenth of what hashing them does; writing small ones singly costs more.
    for piece in gathered if len(gathered) <= _PIECES_MAX else (b"".join(gathered),):
        appending.write(piece)


def decoded(body: bytes, kind: type[T]) -> T:
    """Return a JSON body as a value of ``kind``, or raise InvalidValue with what is wrong where."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise errors.InvalidValue(f"the request's body cannot be used: {problem}") from None
