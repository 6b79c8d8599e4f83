"""``/covers/<name>/<width>.webp``: the stored covers, for everybody; ``/v3/model/cover``: sets the cover of a model.

The picture of a URL never changes, so browsers and caches may store it for a year. Popular pictures are in memory.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.covers import BYTES_MAX, Covers, render
from modelyard.domain import Viewer
from modelyard.facts import Entry, Facts
from modelyard.registry.models import Edit, Models
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import read_up_to
from modelyard.web.cache import LRUCache
from modelyard.web.requests import Header, Request
from modelyard.web.responses import Response, matches_if_none_match, send_bytes, send_response

# Some thousand small pictures.
_CACHE_BYTES_MAX = 32 * 1024 * 1024
_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"image/webp"),
    (b"cache-control", b"public, max-age=31536000, immutable"),
    # A browser that opens the URL must not run anything in it.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)


@dataclass(frozen=True, slots=True)
class PublicCovers:
    """The handler of stored covers."""

    covers: Covers
    cache: LRUCache[str, tuple[str, bytes]] = field(default_factory=lambda: LRUCache(_CACHE_BYTES_MAX))

    async def get(self, request: Request, _: Receive, send: Send) -> None:
        """Respond to GET or HEAD of a cover. Raises RouteNotFound if there is none."""
        path = request.path
        picture = self.cache.get(path)
        if picture is None:
            picture = await asyncio.to_thread(self.covers.picture, path)
            if picture is None:
                raise errors.RouteNotFound(path)
            self.cache.put(path, picture, len(picture[1]) + len(path))
        sha256, webp = picture
        headers = [(b"etag", f'"{sha256}"'.encode()), *_HEADERS]
        if matches_if_none_match(request, sha256.encode()):
            await send_bytes(request, send, 304, headers)
        else:
            headers.append((b"content-length", b"%d" % len(webp)))
            await send_bytes(request, send, 200, headers, webp)


@dataclass(frozen=True, slots=True)
class CoverEndpoints:
    """The handlers of the cover of a model."""

    models: Models
    covers: Covers
    caller_of: ViewerOf
    response_with: Callable[[Request, Entry], Response]
    id_of: Callable[[Request], int]
    # Pictures are rendered one after the other. Those that wait must not occupy the threads of other requests.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def put(self, request: Request, receive: Receive, send: Send) -> None:
        """Set a picture as the cover of a model of the caller's team, and return the model."""
        viewer, model_id = self.caller_of(request), self.id_of(request)
        # Check the permission before reading the picture.
        await asyncio.to_thread(self.models.get_owned, viewer, model_id)
        picture = await _read_picture(request, receive)
        async with self.turn:
            response = await asyncio.to_thread(self._set, request, viewer, model_id, picture)
        await send_response(response, request, send)

    def remove(self, request: Request, _: bytes) -> Response:
        """Remove the cover of a model, wherever it came from, and return the model."""
        viewer, model_id = self.caller_of(request), self.id_of(request)
        return self.response_with(request, self.models.edit(viewer, model_id, Edit(Facts(cover_url=""))))

    def _set(self, request: Request, viewer: Viewer, model_id: int, picture: bytes) -> Response:
        edited = self.covers.keep_and_use(
            render(picture), lambda name: self.models.edit(viewer, model_id, Edit(cover=name))
        )
        return self.response_with(request, edited)


async def _read_picture(request: Request, receive: Receive) -> bytes:
    """Return the bytes of a picture. Raises TooLarge, before reading if the request has its length."""
    picture = await read_up_to(BYTES_MAX, request, receive, "the picture")
    if not picture:
        raise errors.InvalidValue("the request's body is empty; accepted: a picture's bytes")
    return picture
