"""``/covers/<name>/<width>.webp``: covers that are kept here, for whoever has the address; and a model's own, sent.

An address means the same picture for ever: browsers and caches need not ask again for a year. Popular ones are answered
from memory.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from litestar.types import Receive, Send
from litestar.types.asgi_types import HTTPScope

from modelyard import errors
from modelyard.covers import BYTES_MAX, Covers, render
from modelyard.domain import COVERS, Entry, Facts, Viewer, cover_path
from modelyard.uploads.uploads import Edit, Uploads
from modelyard.web.bodies import read_up_to
from modelyard.web.cache import Kept
from modelyard.web.requests import Answer, Exchange, Header, exchange_of

PATH = COVERS.rstrip("/")
TEMPLATE = COVERS + "{name}/{width}"
SEND_PATH = "/v3/model/cover"
# Some thousand small ones.
_KEPT_BYTES_MAX = 32 * 1024 * 1024
_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"image/webp"),
    (b"cache-control", b"public, max-age=31536000, immutable"),
    (b"x-content-type-options", b"nosniff"),
    # Opened by itself it is a picture, whatever a decoder can be led to believe.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)


@dataclass(frozen=True, slots=True)
class Showing:
    """What answers with covers."""

    covers: Covers
    kept: Kept[str, tuple[str, bytes]] = field(default_factory=lambda: Kept(_KEPT_BYTES_MAX))

    async def answer(self, scope: HTTPScope, _: Receive, send: Send) -> None:
        """Answer GET or HEAD of a cover. Raises RouteNotFound where there is none."""
        path = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        found = self.kept.get(path)
        if found is None:
            found = await asyncio.to_thread(self.covers.picture, path)
            if found is None:
                raise errors.RouteNotFound(path)
            self.kept.put(path, found, len(found[1]) + len(path))
        sha256, webp = found
        tag = f'"{sha256}"'.encode()
        headers = [(b"etag", tag), *_HEADERS]
        condition = exchange_of(scope).headers.get(b"if-none-match", b"")
        if condition.strip() == b"*" or tag in condition:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            webp = b""
        else:
            headers.append((b"content-length", b"%d" % len(webp)))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = webp if scope["method"] == "GET" else b""
        await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass(frozen=True, slots=True)
class Sending:
    """What takes a model's cover from its owner."""

    uploading: Uploads
    covers: Covers
    caller_of: Callable[[Exchange], Viewer]
    answer_with: Callable[[Exchange, Entry], Answer]
    id_of: Callable[[Exchange], int]

    async def put(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Take a picture as the cover of a model of the caller's team, and answer the model."""
        exchange = exchange_of(scope)
        viewer, model_id = self.caller_of(exchange), self.id_of(exchange)
        # Who may not change the model has nothing of a picture read.
        await asyncio.to_thread(self.uploading.get_owned, viewer, model_id)
        picture = await _whole(exchange, receive)
        answered = await asyncio.to_thread(self._set, exchange, viewer, model_id, picture)
        headers = [
            (b"content-type", answered.media_type),
            (b"content-length", b"%d" % len(answered.body)),
            *answered.caching,
        ]
        await send({"type": "http.response.start", "status": answered.status, "headers": headers})
        await send({"type": "http.response.body", "body": answered.body, "more_body": False})

    def remove(self, exchange: Exchange, _: bytes) -> Answer:
        """Take a model's cover away, wherever it came from, and answer the model."""
        viewer, model_id = self.caller_of(exchange), self.id_of(exchange)
        return self.answer_with(exchange, self.uploading.edit(viewer, model_id, Edit(Facts(cover_url=""))))

    def _set(self, exchange: Exchange, viewer: Viewer, model_id: int, picture: bytes) -> Answer:
        name = self.covers.keep(render(picture))
        facts = Facts(cover_url=cover_path(name))
        return self.answer_with(exchange, self.uploading.edit(viewer, model_id, Edit(facts)))


async def _whole(exchange: Exchange, receive: Receive) -> bytes:
    """Return a picture's bytes. Raises TooLarge before they are read, where their length is said."""
    picture = await read_up_to(BYTES_MAX, exchange, receive, "the picture")
    if not picture:
        raise errors.InvalidValue("the request's body is empty; accepted: a picture's bytes")
    return picture
