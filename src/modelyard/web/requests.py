"""One request while it is answered, and the answer: plain values that every handler speaks.

Must not know routes. Cost matters here: an Exchange is made for every request.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from blake3 import blake3
from litestar.types import Receive, Send
from litestar.types.asgi_types import HTTPScope

from modelyard import wire

Method = Callable[[HTTPScope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

# Where the exchange lies in the ASGI scope.
_KEY = "modelyard.exchange"
# No answer of ours is for everyone: the same address shows each team something else.
UNCACHED: tuple[Header, ...] = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept-Encoding"),
)


@dataclass(slots=True)
class Exchange:
    """A request, and what the log and the metrics will say of it. ``team`` and ``status`` are known later."""

    scope: HTTPScope
    headers: Mapping[bytes, bytes]
    id: str
    started_ns: int
    team: str | None = None
    status: int = 0

    @property
    def method(self) -> str:
        """The HTTP method, upper case."""
        return self.scope["method"]

    @property
    def caller_address(self) -> str:
        """The address the request came from; empty over a Unix socket."""
        client = self.scope.get("client")
        return client[0] if client else ""


def open_exchange(scope: HTTPScope, request_id: str, started_ns: int) -> Exchange:
    """Begin an exchange and leave it in the scope for the handler."""
    pairs = list(scope["headers"])
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = _joined(pairs)
    exchange = Exchange(scope, headers, request_id, started_ns)
    scope[_KEY] = exchange  # type: ignore[literal-required] # ASGI lets an application add keys of its own
    return exchange


def exchange_of(scope: HTTPScope) -> Exchange:
    """Return the exchange that ``open_exchange`` left."""
    return cast("Exchange", scope[_KEY])  # type: ignore[literal-required] # as above


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


async def send_error(error: wire.ErrorAnswer, scope: HTTPScope, send: Send) -> None:
    """Send an error in its one shape; ``HEAD`` gets the same headers."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(error.body)),
        *UNCACHED,
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else error.body
    await send({"type": "http.response.body", "body": body, "more_body": False})
