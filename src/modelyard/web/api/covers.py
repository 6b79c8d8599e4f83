"""``/covers/<name>/<width>.webp``: covers that are kept here, for whoever has the address; and a model's own, sent.

An address means the same picture for ever: browsers and caches need not ask again for a year. Popular ones are answered
from memory.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.covers import BYTES_MAX, Covers, render
from modelyard.domain import Entry, Facts, Viewer, cover_path
from modelyard.registry.models import Edit, Models
from modelyard.web.bodies import read_up_to
from modelyard.web.cache import Kept
from modelyard.web.requests import Answer, Exchange, Header, send_response
from modelyard.web.routing import has_already, send_answer

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

    async def answer(self, exchange: Exchange, _: Receive, send: Send) -> None:
        """Answer GET or HEAD of a cover. Raises RouteNotFound where there is none."""
        path = exchange.path
        found = self.kept.get(path)
        if found is None:
            found = await asyncio.to_thread(self.covers.picture, path)
            if found is None:
                raise errors.RouteNotFound(path)
            self.kept.put(path, found, len(found[1]) + len(path))
        sha256, webp = found
        headers = [(b"etag", f'"{sha256}"'.encode()), *_HEADERS]
        if has_already(exchange, sha256.encode()):
            await send_response(exchange, send, 304, headers)
        else:
            headers.append((b"content-length", b"%d" % len(webp)))
            await send_response(exchange, send, 200, headers, webp)


@dataclass(frozen=True, slots=True)
class Sending:
    """What takes a model's cover from its owner."""

    models: Models
    covers: Covers
    caller_of: Callable[[Exchange], Viewer]
    answer_with: Callable[[Exchange, Entry], Answer]
    id_of: Callable[[Exchange], int]

    async def put(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Take a picture as the cover of a model of the caller's team, and answer the model."""
        viewer, model_id = self.caller_of(exchange), self.id_of(exchange)
        # Who may not change the model has nothing of a picture read.
        await asyncio.to_thread(self.models.get_owned, viewer, model_id)
        picture = await _whole(exchange, receive)
        await send_answer(await asyncio.to_thread(self._set, exchange, viewer, model_id, picture), exchange, send)

    def remove(self, exchange: Exchange, _: bytes) -> Answer:
        """Take a model's cover away, wherever it came from, and answer the model."""
        viewer, model_id = self.caller_of(exchange), self.id_of(exchange)
        return self.answer_with(exchange, self.models.edit(viewer, model_id, Edit(Facts(cover_url=""))))

    def _set(self, exchange: Exchange, viewer: Viewer, model_id: int, picture: bytes) -> Answer:
        name = self.covers.keep(render(picture))
        facts = Facts(cover_url=cover_path(name))
        return self.answer_with(exchange, self.models.edit(viewer, model_id, Edit(facts)))


async def _whole(exchange: Exchange, receive: Receive) -> bytes:
    """Return a picture's bytes. Raises TooLarge before they are read, where their length is said."""
    picture = await read_up_to(BYTES_MAX, exchange, receive, "the picture")
    if not picture:
        raise errors.InvalidValue("the request's body is empty; accepted: a picture's bytes")
    return picture
