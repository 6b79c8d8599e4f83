"""A stream of Server-Sent Events that costs a task only while it sends.

The task of the request waits until the client is gone. What is sent is sent by a second task, which ends when the
client has everything: a thousand idle streams have neither timers nor tasks beside those of their requests.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.types import Message, Receive, Send

from modelyard import errors
from modelyard.web.bodies import Disconnected
from modelyard.web.requests import Header

_COMMENT = b": ping\n\n"
_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"connection", b"keep-alive"),
    # nginx would collect events.
    (b"x-accel-buffering", b"no"),
)

log = logging.getLogger(__name__)


class Frames(Protocol):
    """Events as they are sent, and whether there are more up to the revision ``newest``."""

    @property
    def content(self) -> bytes:
        """The bytes, in the form of the stream's source."""

    @property
    def newest(self) -> int:
        """The last revision that they include."""

    @property
    def has_more(self) -> bool:
        """Whether the source has more up to that revision."""


class Watch(Protocol):
    """What a stream watches."""

    is_over: bool

    @property
    def newest(self) -> int:
        """The last revision that there is."""


class EventStream:
    """One open stream. ``read_next`` begins to read the frames after others, which streams at the same place share;
    ``fill`` returns the bytes that this client gets."""

    __slots__ = ("_fill", "_frames", "_has_ended", "_is_closed", "_read_next", "_send", "_task", "_watch")

    def __init__(
        self,
        watch: Watch,
        frames: Frames,
        read_next: Callable[[Frames], "asyncio.Task[Any]"],
        fill: Callable[[bytes], bytes],
        send: Send,
    ) -> None:
        self._watch = watch
        self._frames = frames
        self._read_next = read_next
        self._fill = fill
        self._send = send
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._has_ended = False

    async def run(self, headers: Sequence[Header], receive: Receive) -> None:
        """Send the first frames and what comes, until the client is gone or the stream is over."""
        await self._send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *headers]})
        self._start(self._frames.content)
        try:
            # The end of the response reads as the end of the client, too.
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._is_closed = True
            if self._task is not None:
                self._task.cancel()
        if not self._has_ended:
            # Nobody is there, but a stream is whole when its client has enough of it.
            await self._send(_END)

    def wake(self) -> None:
        """Send what is new, or end the stream if it is over."""
        if self._task is not None:
            return  # it sends what is new before it ends
        if self._watch.is_over or self._watch.newest <= self._frames.newest:
            self._start(b"")
            return
        # A task that waited for the frames would cost each of a thousand streams twice as much.
        reading = self._read_next(self._frames)
        if reading.done():
            self._start(b"")
        else:
            reading.add_done_callback(self._start_after)

    def ping(self) -> None:
        """Send a comment, so that neither proxies nor clients take the connection for dead."""
        self._start(_COMMENT)

    def _start_after(self, _: "asyncio.Task[Any]") -> None:
        if not self._is_closed:
            self._start(b"")

    def _start(self, content: bytes) -> None:
        # A task that is running sends what is new before it ends.
        if self._task is None:
            self._task = asyncio.create_task(self._work(content))

    async def _work(self, content: bytes) -> None:
        try:
            is_over = not await self._send_all(content)
        except errors.FeedPruned:
            is_over = True  # the next request of the client is told so
        except Disconnected:
            is_over = True
        except Exception:
            log.exception("a stream of changes ends")
            is_over = True
        if is_over:
            self._has_ended = True
            await self._send(_END)
        self._task = None

    async def _send_all(self, content: bytes) -> bool:
        """Send bytes, then what is new; return whether the stream goes on."""
        watch = self._watch
        while not watch.is_over:
            if content:
                body = content if content is _COMMENT else self._fill(content)
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
            if not self._frames.has_more and watch.newest <= self._frames.newest:
                return True
            reading = self._read_next(self._frames)
            self._frames = reading.result() if reading.done() else await asyncio.shield(reading)
            content = self._frames.content
        return False
