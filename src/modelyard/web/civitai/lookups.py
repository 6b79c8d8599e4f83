"""``/models/{id}`` and ``/model-versions``: one model or version, by id or by the hashes of its files."""

import asyncio
from dataclasses import dataclass

import msgspec
from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import Viewer
from modelyard.store import version_groups
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json, read_up_to
from modelyard.web.civitai.parameters import is_digits
from modelyard.web.civitai.versions import Versions, make_version_alone
from modelyard.web.requests import Request
from modelyard.web.responses import GzipCache, Response, send_response
from modelyard.web.urls import BaseOf

HASHES_MAX, HASHES_FOR_IDS_MAX = 100, 10_000
# A hash of 64 digits with its quotes, comma and some space.
_HASH_BYTES_MAX = 80
_encode = msgspec.json.Encoder().encode


class VersionHash(msgspec.Struct, frozen=True, rename={"version_id": "modelVersionId"}):
    """The version that has a file with a hash."""

    version_id: int
    hash: str


@dataclass(frozen=True, slots=True)
class Lookups:
    """The handlers of the routes. They run in threads, because they ask the database."""

    catalog: Catalog
    versions: Versions
    viewer_of: ViewerOf
    base_of: BaseOf
    gzip_cache: GzipCache

    def get_model(self, request: Request) -> Response:
        """Return a model with the versions that the caller may see."""
        viewer, model_id = self.viewer_of(request), read_id(request)
        with self.catalog.store.reading() as connection:
            ids = version_groups.find_model(connection, model_id, viewer.team)
        for _, body in self.versions.render_models(viewer, ids[:1], self.base_of(request)):
            return Response(body)
        raise errors.ModelNotFound(str(model_id))

    def get_version(self, request: Request) -> Response:
        """Return a version with its model's name, type and permissions."""
        viewer = self.viewer_of(request)
        version = self.versions.find(viewer, read_id(request))
        return Response(_encode(make_version_alone(version, self.base_of(request))))

    def get_by_hash(self, request: Request) -> Response:
        """Return the best version that has a file with a hash, of any kind."""
        viewer, text = self.viewer_of(request), request.path_parameters["hash"]
        digits = _parse_hash(text, "hash")
        ids = self.catalog.find_by_hash(viewer, [digits])[0].get(digits)
        if not ids:
            raise errors.ModelNotFound(text)
        return Response(_encode(make_version_alone(self.versions.find(viewer, ids[0]), self.base_of(request))))

    async def list_by_hash(self, request: Request, receive: Receive, send: Send) -> None:
        """Send the versions that have files with these hashes; a hash without one is left out."""

        def answer(viewer: Viewer, digits: list[str]) -> Response:
            ids = [id_ for _, id_ in self._find_all(viewer, digits)]
            versions = self.versions.load(viewer, list(dict.fromkeys(ids)))
            return Response(_encode([make_version_alone(version, self.base_of(request)) for version in versions]))

        viewer, digits = await self._read_hashes(request, receive, HASHES_MAX)
        await send_response(await asyncio.to_thread(answer, viewer, digits), request, send, self.gzip_cache)

    async def list_ids_by_hash(self, request: Request, receive: Receive, send: Send) -> None:
        """Send the ids of the versions that have files with these hashes; a hash without one is left out."""

        def answer(viewer: Viewer, digits: list[str]) -> Response:
            return Response(_encode([VersionHash(id_, text) for text, id_ in self._find_all(viewer, digits)]))

        viewer, digits = await self._read_hashes(request, receive, HASHES_FOR_IDS_MAX)
        await send_response(await asyncio.to_thread(answer, viewer, digits), request, send, self.gzip_cache)

    async def _read_hashes(self, request: Request, receive: Receive, count_max: int) -> tuple[Viewer, list[str]]:
        """Return the caller and the hashes of a body. Refuses callers who may not read before it reads the body."""
        viewer = self.viewer_of(request)
        body = await read_up_to(count_max * _HASH_BYTES_MAX + 1024, request, receive, "the request's body")
        texts = decode_json(body, list[str])
        if len(texts) > count_max:
            raise errors.InvalidValue(f"{len(texts):,} hashes are too many; accepted: up to {count_max:,}")
        return viewer, list(dict.fromkeys(_parse_hash(text, f"hash {at}") for at, text in enumerate(texts)))

    def _find_all(self, viewer: Viewer, digits: list[str]) -> list[tuple[str, int]]:
        """Return the best version of each hash that has one."""
        ids = self.catalog.find_by_hash(viewer, digits)[0]
        return [(text, ids[text][0]) for text in digits if ids.get(text)]


def read_id(request: Request) -> int:
    """Return the id of the path. Raises ModelNotFound for what is no id."""
    text = request.path_parameters["id"]
    if not is_digits(text):
        raise errors.ModelNotFound(text)
    return int(text)


def _parse_hash(text: str, place: str) -> str:
    try:
        return wire.parse_hash(text)
    except ValueError:
        raise errors.InvalidValue(f"{place}: {text[:80]!r} is not accepted; accepted: {wire.HASH_ALLOWED}") from None
