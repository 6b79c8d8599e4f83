"""One request while it is answered, and the answer: plain values that every handler speaks, and the two ways to send.

Must not know routes. Cost matters here: an Exchange is made for every request.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from blake3 import blake3
from starlette.types import Receive, Scope, Send

from modelyard import wire

Header = tuple[bytes, bytes]

# Where the exchange lies in the ASGI scope.
_KEY = "modelyard.exchange"
# A client that takes no byte for so long is gone.
_STALLED_SECONDS_MAX = 120.0
# No answer of ours is for everyone: the same address shows each team something else.
UNCACHED: tuple[Header, ...] = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept-Encoding"),
)


@dataclass(slots=True)
class Exchange:
    """A request, and what the log and the metrics will say of it. ``team`` and ``status`` are known later."""

    scope: Scope
    headers: Mapping[bytes, bytes]
    id: str
    started_ns: int
    team: str | None = None
    status: int = 0

    @property
    def method(self) -> str:
        """The HTTP method, upper case."""
        return cast("str", self.scope["method"])

    @property
    def path(self) -> str:
        """The path asked for, as it is spelled: what is percent-encoded stays so."""
        return cast("bytes", self.scope["raw_path"]).partition(b"?")[0].decode("latin-1")

    @property
    def query_string(self) -> bytes:
        """What the address says after its question mark."""
        return cast("bytes", self.scope["query_string"])

    @property
    def path_parameters(self) -> Mapping[str, str]:
        """What the path has in the place of its route's parameters."""
        return cast("Mapping[str, str]", self.scope.get("path_params", {}))

    @property
    def caller_address(self) -> str:
        """The address the request came from; empty over a Unix socket."""
        client = self.scope.get("client")
        return client[0] if client else ""


# What answers a request: it sends by one of the functions below, or raises one of our errors.
Handler = Callable[[Exchange, Receive, Send], Awaitable[None]]


def open_exchange(scope: Scope, request_id: str, started_ns: int) -> Exchange:
    """Begin an exchange and leave it in the scope for the handler."""
    pairs = list(scope["headers"])
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = _joined(pairs)
    exchange = Exchange(scope, headers, request_id, started_ns)
    scope[_KEY] = exchange
    return exchange


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that ``open_exchange`` left."""
    return cast("Exchange", scope[_KEY])


def _joined(pairs: list[Header]) -> dict[bytes, bytes]:
    # RFC 9110, 5.3: a repeated field means its values joined by commas. Two keys so joined are no key at all.
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reading route says: the identity body, without what HTTP makes of it."""

    body: bytes
    media_type: bytes = b"application/json"
    headers: tuple[Header, ...] = ()
    status: int = 200
    caching: tuple[Header, ...] = UNCACHED
    # Of the body, where it is known already.
    digest: bytes | None = None


def digest_of(body: bytes) -> bytes:
    """Return what identifies a body: 120 bits, so that two bodies never share an ETag."""
    return blake3(body).digest(15)


def answer_of(error: wire.ErrorAnswer) -> Answer:
    """Return an error in its one shape."""
    headers = tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers)
    return Answer(error.body, headers=headers, status=error.status)


async def send_response(
    exchange: Exchange, send: Send, status: int, headers: Sequence[Header], body: bytes = b""
) -> None:
    """Send a whole response; ``HEAD`` gets the same headers and no body."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = b"" if exchange.scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_stream(send: Send, status: int, headers: Sequence[Header], blocks: AsyncIterator[bytes]) -> None:
    """Send a response block by block. Raises TimeoutError for a client that stopped reading: the server cuts the
    connection. What ``blocks`` raises after the first one does the same.
    """
    await send({"type": "http.response.start", "status": status, "headers": headers})
    async for block in blocks:
        async with asyncio.timeout(_STALLED_SECONDS_MAX):
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
