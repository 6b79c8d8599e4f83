"""uvicorn's HTTP protocol with limits on connections and on the head of a request, and with errors as the API has them.

uvicorn has no setting for these limits and for the response to a request that it cannot parse, so ``HTTPProtocol`` is a
subclass. This is the only module that depends on the inside of uvicorn. It was checked with uvicorn 0.54.0, and
``tests/web/test_http_protocol.py`` fails if uvicorn changes a part that this module relies on:

- asyncio calls ``connection_made``, ``connection_lost`` and ``data_received``;
- httptools calls ``on_message_begin``, ``on_headers_complete`` and ``on_message_complete``;
- a request calls ``on_response_complete`` after its response;
- ``send`` of a cycle returns, and does nothing, where the client has closed the connection (``disconnected``);
- ``data_received`` calls ``send_400_response`` if it cannot parse a request;
- fields of the head and trailers are appended to ``headers``, which each message begins with a new list;
- ``on_body`` adds to the ``body`` of its cycle, which ``receive`` takes as bytes, and replaces by an empty one;
- ``on_body`` pauses the connection if more than ``HIGH_WATER_LIMIT`` bytes wait for the application.
"""

import asyncio
from typing import Self

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelyard import wire
from modelyard.web.bodies import Disconnected
from modelyard.web.connection_limits import ConnectionLimits

# The head of a request that is not complete yet. nginx accepts 32 KiB by default, and a query string may have 8 KiB.
HEAD_BYTES_MAX = 65_536
HEAD_SECONDS_MAX = 30
# How many bytes of a body may wait for the application. uvicorn pauses the connection at 64 KiB, and pausing costs more
# time than hashing that many bytes.
WAITING_BODY_BYTES_MAX = 1024 * 1024
# A client may send the rest of a body that nobody needs, for example after 401, for so long.
DRAIN_SECONDS_MAX = 10
# How many refused connections linger at once; others are closed before the client has sent its request.
LINGERING_MAX = 64
# How long a connection stays open after an error, so that a client that is still sending can read the response.
LINGER_SECONDS = 2
_RETRY_LATER = (("Retry-After", "5"),)
_HEAD_LIMIT = {"limit_bytes": HEAD_BYTES_MAX}


class WaitingBody:
    """The pieces of a body that wait for the application.

    uvicorn's own is a ``bytearray``: each byte is copied into it and out of it.
    """

    __slots__ = ("_pieces", "_size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def __iadd__(self, piece: bytes) -> Self:
        """Add a piece."""
        self._pieces.append(piece)
        self._size_bytes += len(piece)
        return self

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self._size_bytes

    def __bytes__(self) -> bytes:
        """Return all bytes; a piece that is alone is not copied."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class Cycle(RequestResponseCycle):
    """A request and its response. uvicorn replaces the body by an empty one when the application takes it."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message. Raises Disconnected if nobody is there for a body that is to be continued.

        uvicorn drops what it is given then, so a large file would be read to its end for nobody.
        """
        await super().send(message)
        if self.disconnected and message["type"] == "http.response.body" and message.get("more_body"):
            raise Disconnected("the client closed the connection")

    @property  # type: ignore[override] # uvicorn adds to it, measures it and takes its bytes
    def body(self) -> WaitingBody:
        """What waits for the application."""
        return self._body

    @body.setter
    def body(self, body: WaitingBody | bytearray) -> None:
        self._body = body if isinstance(body, WaitingBody) else WaitingBody()


httptools_impl.HIGH_WATER_LIMIT = WAITING_BODY_BYTES_MAX  # type: ignore[attr-defined] # imported there, not exported
httptools_impl.RequestResponseCycle = Cycle  # type: ignore[misc] # the protocol makes one for each request


class _NoFields(list[tuple[bytes, bytes]]):
    """Where uvicorn appends trailers: it keeps none of them, however many arrive."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        pass


_TRAILERS = _NoFields()


class HTTPProtocol(HttpToolsProtocol):
    """One connection of a client."""

    limits: ConnectionLimits
    address: str | None = None
    head_bytes = 0
    timer: asyncio.TimerHandle | None = None
    is_reading_head = False
    is_reading_body = False
    is_rejected = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Wait for the first request, or refuse the connection if there are too many."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if problem := self.limits.add(self.address):
            self._reject(wire.error_answer(503, "UNAVAILABLE", problem, {}, _RETRY_LATER))
            if self.limits.count_excess(self.address) > LINGERING_MAX:
                self.transport.close()
            return
        self.timer = self.loop.call_later(HEAD_SECONDS_MAX, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        if self.address is not None:
            self.limits.remove(self.address)
            self.address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, and reject a head that is too large. Bytes after that are dropped."""
        if self.is_rejected:
            return
        super().data_received(data)
        if self.is_reading_head and not self.is_rejected:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES_MAX:
                self._reject(wire.error_answer(431, "INVALID_ARGUMENT", "the request's head is too large", _HEAD_LIMIT))
            elif self.timer is None:
                self.timer = self.loop.call_later(HEAD_SECONDS_MAX, self._close)

    def on_message_begin(self) -> None:
        """Start to count the bytes of a head."""
        self.is_reading_head = True
        self.head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop to count: the head is complete. Drop what would be added to it."""
        self.is_reading_head = False
        self.is_reading_body = True
        self._stop_timer()
        super().on_headers_complete()
        # uvicorn appends trailers to the list of headers that the application has. A proxy that removes headers which
        # only it may send, such as the name of a person, does not remove trailers.
        self.headers = _TRAILERS

    def on_message_complete(self) -> None:
        """Wait for the next request if the response to this one is sent already."""
        self.is_reading_body = False
        super().on_message_complete()
        if self.cycle.response_complete:
            self._stop_timer()
            self.timer = self.loop.call_later(HEAD_SECONDS_MAX, self._close)

    def on_response_complete(self) -> None:
        """Give the client a limited time for the rest of a body that nobody needs."""
        super().on_response_complete()
        if self.is_reading_body and self.cycle.response_complete and self.timer is None:
            self.timer = self.loop.call_later(DRAIN_SECONDS_MAX, self._close)

    def send_400_response(self, msg: str) -> None:
        """Respond to a request that uvicorn cannot parse; ``msg`` is uvicorn's message."""
        self._reject(wire.error_answer(400, "INVALID_ARGUMENT", msg, {}))

    def _reject(self, error: wire.ErrorAnswer) -> None:
        head = [
            STATUS_LINE[error.status],
            b"content-type: application/json\r\n",
            b"content-length: %d\r\n" % len(error.body),
            b"access-control-allow-origin: *\r\n",
            b"x-content-type-options: nosniff\r\n",
            *(b"%s: %s\r\n" % (name.lower().encode(), value.encode()) for name, value in error.headers),
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join(head) + error.body)
        self.is_rejected = True
        self._stop_timer()
        # Closing now would reset the connection if the client is still sending, and the client could lose the response.
        self.transport.write_eof()
        self.timer = self.loop.call_later(LINGER_SECONDS, self._close)

    def _close(self) -> None:
        self.timer = None
        self.transport.close()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
