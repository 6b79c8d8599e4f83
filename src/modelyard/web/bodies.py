"""Reads the body of a request: small JSON at once, a file block by block. A limit is checked before memory is used."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard.blobs.partial import PartialFile
from modelyard.domain import Viewer
from modelyard.registry.models import writing_team
from modelyard.web.auth import ViewerOf
from modelyard.web.requests import Handler, Request
from modelyard.web.responses import Response, send_response

# The fields of a model usually take a hundredth of this.
JSON_BYTES_MAX = 64 * 1024
# The limits of time count while the server waits for the client, not while it writes.
SMALL_BODY_SECONDS_MAX = 10.0
# A client that sends fewer bytes than this in a minute is gone. The bytes before that stay, and the client can resume.
RATE_SECONDS = 60.0
RATE_BYTES_MIN = 60 * 1024
# A block is handed to two threads. With 1 MiB, the whole upload took a third more CPU on a loaded machine (2026-11).
BLOCK_BYTES = 4 * 1024 * 1024
# After so many bytes the disk starts to write.
SYNC_BYTES = 32 * 1024 * 1024
# A block with more chunks has small ones.
_CHUNKS_MAX = 16

T = TypeVar("T")


class Disconnected(Exception):
    """The client disconnected, or sent too slowly, before the end of the body. The message says which."""

    def __init__(self, message: str = "the body ended early") -> None:
        super().__init__(message)


def json_endpoint(
    change: Callable[[Request, bytes], Response],
    caller_of: ViewerOf,
    require: Callable[[Viewer], object] = writing_team,
) -> Handler:
    """Return a handler that reads a small body, and sends the response of ``change``, which runs in a thread.

    ``require`` refuses callers who may not do it, by default those who may not write, before it reads the body.
    """

    async def handle(request: Request, receive: Receive, send: Send) -> None:
        require(caller_of(request))
        body = await read_small(request, receive)
        await send_response(await asyncio.to_thread(change, request, body), request, send)

    return handle


def content_length(request: Request) -> int | None:
    """Return the length of the body in the headers; None if they have none."""
    text = request.headers.get(b"content-length")
    if text is None:
        return None
    if not (text.isdigit() and len(text) <= 18):
        raise errors.InvalidValue("content-length: not a number", field="content-length")
    return int(text)


async def read_small(request: Request, receive: Receive) -> bytes:
    """Return a body of at most ``JSON_BYTES_MAX``. Raises TooLarge as ``read_up_to`` does."""
    return await read_up_to(JSON_BYTES_MAX, request, receive, "the request's body")


async def read_up_to(bytes_max: int, request: Request, receive: Receive, what: str) -> bytes:
    """Return a body of at most so many bytes. Raises TooLarge, before reading if the headers have the length.

    Raises Disconnected for a small body that is not complete in time; a larger one may take as long as an upload.
    """
    if (content_length(request) or 0) > bytes_max:
        raise errors.TooLarge(what, bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(SMALL_BODY_SECONDS_MAX if bytes_max <= JSON_BYTES_MAX else None):
            async for chunk in chunks(receive):
                body += chunk
                if len(body) > bytes_max:
                    raise errors.TooLarge(what, bytes_max)
    except TimeoutError:
        raise Disconnected(f"{what} took longer than {SMALL_BODY_SECONDS_MAX:g} seconds") from None
    return bytes(body)


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a body as it arrives. Raises Disconnected if the client disconnects, or sends too slowly, before the end.

    In each minute of waiting, a client has to send ``RATE_BYTES_MIN``. However long the whole body takes, a slow client
    that goes on is served.
    """
    now = asyncio.get_running_loop().time
    waited_seconds, minute_bytes, more = 0.0, 0, True
    while more:
        started_at = now()
        try:
            async with asyncio.timeout(RATE_SECONDS - waited_seconds):
                message = await receive()
        except TimeoutError:
            raise Disconnected(f"the body came slower than {RATE_BYTES_MIN:,} bytes a minute") from None
        if message["type"] != "http.request":
            raise Disconnected
        more = message.get("more_body", False)
        waited_seconds += now() - started_at
        if body := message.get("body", b""):
            yield body
        minute_bytes += len(body)
        if minute_bytes >= RATE_BYTES_MIN:
            waited_seconds, minute_bytes = 0.0, 0


async def blocks(receive: Receive) -> AsyncIterator[list[bytes]]:
    """Yield a body in blocks: lists of chunks of about ``BLOCK_BYTES``. Also yield the rest before a disconnection."""
    block: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in chunks(receive):
            block.append(chunk)
            size_bytes += len(chunk)
            if size_bytes >= BLOCK_BYTES:
                yield block
                block, size_bytes = [], 0
    except Disconnected:
        if block:
            yield block
        raise
    if block:
        yield block


async def append_body(partial: PartialFile, receive: Receive, check: Callable[[list[bytes]], None]) -> None:
    """Append a body as it arrives. ``check`` gets each block before it is written, and may raise an error.

    While the next block arrives, one thread hashes a block and another one writes it. The disk starts to write before
    the last block is there, so that the wait for the disk at the end is short. The bytes before an interruption are
    written.
    """
    write: asyncio.Future[None] | None = None
    sync: asyncio.Future[None] | None = None
    unsynced_bytes = 0
    try:
        async for block in blocks(receive):
            check(block)
            if write is not None:
                # A request that is stopped waits below until the threads are done with the file.
                await asyncio.shield(write)
            write = asyncio.ensure_future(_write(partial, block))
            unsynced_bytes += sum(map(len, block))
            if unsynced_bytes >= SYNC_BYTES and (sync is None or sync.done()):
                # The system reports a failed write only once, so this report must not be lost.
                if sync is not None:
                    sync.result()
                sync = asyncio.ensure_future(asyncio.to_thread(partial.sync))
                unsynced_bytes = 0
    finally:
        futures = [future for future in (write, sync) if future is not None]
        if futures:
            await asyncio.wait(futures)
    for future in futures:
        future.result()


async def _write(partial: PartialFile, block: list[bytes]) -> None:
    """Hash and write a block at the same time: both release Python's lock."""
    # Joining large chunks costs a tenth of hashing them; hashing many small chunks costs more than joining them.
    pieces = block if len(block) <= _CHUNKS_MAX else [b"".join(block)]
    steps = [asyncio.ensure_future(asyncio.to_thread(step, pieces)) for step in (partial.append, partial.hash)]
    await asyncio.wait(steps)
    for step in steps:
        step.result()


def decode_json(body: bytes, kind: type[T]) -> T:
    """Return a JSON body as a value of ``kind``. Raises InvalidValue, which says what is wrong where."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise errors.InvalidValue(f"the request's body cannot be used: {problem}") from None
    except RecursionError:
        raise errors.InvalidValue("the request's body cannot be used: it is nested too deeply") from None
