"""``POST /v3/model/resolve``: the models that a workflow, a picture or a block of parameters needs.

    <the file itself>  →  {"wanted": [{"name", "directory", "hash", "url", "nodes", "how", "models": [{…}]}],
                           "found": 1, "missing": 1, "unknown_nodes": [], "truncated": false}

The bytes decide what the file is, whatever ``Content-Type`` says.
"""

import asyncio

from starlette.types import Receive, Send

from modelyard import errors, resolution, wire
from modelyard.catalog import Catalog
from modelyard.domain import Viewer
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import Disconnected, content_length, read_up_to
from modelyard.web.consistency import MIN_REVISION, RevisionWait, revision_header
from modelyard.web.heavy_work import FairTurns, HeavyWork
from modelyard.web.rate_limit import caller_of
from modelyard.web.requests import Request
from modelyard.web.responses import GzipCache, Response, send_response
from modelyard.web.urls import BaseOf, LinksFor
from modelyard.workflows import ACCEPTED, BODY_BYTES_MAX, read_needs

# Workflows are smaller; larger bodies, pictures, arrive a few at a time, so that they take little memory together.
_SMALL_BYTES = 1024 * 1024
_LARGE_AT_ONCE = 4
_BODY_SECONDS_MAX = 60.0


class ResolveWorkflow:
    """Answers the route."""

    def __init__(
        self,
        catalog: Catalog,
        viewer_of: ViewerOf,
        links_for: LinksFor,
        base_of: BaseOf,
        gzip_cache: GzipCache,
        heavy_work: HeavyWork,
    ) -> None:
        self._catalog = catalog
        self._viewer_of = viewer_of
        self._links_for = links_for
        self._base_of = base_of
        self._gzip_cache = gzip_cache
        self._heavy_work = heavy_work
        self._large_bodies = FairTurns(_LARGE_AT_ONCE)
        self._revision_wait = RevisionWait(catalog)

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Send the needs with their models. Refuses callers who may not read before it reads the body."""
        viewer = self._viewer_of(request)
        if MIN_REVISION in request.headers:
            await self._revision_wait.wait(request)
        if (content_length(request) or BODY_BYTES_MAX) <= _SMALL_BYTES:
            response = await self._answer(viewer, request, receive)
        else:
            async with self._large_bodies.turn(caller_of(request)):
                response = await self._answer(viewer, request, receive)
        await send_response(response, request, send, self._gzip_cache)

    async def _answer(self, viewer: Viewer, request: Request, receive: Receive) -> Response:
        try:
            async with asyncio.timeout(_BODY_SECONDS_MAX):
                body = await read_up_to(BODY_BYTES_MAX, request, receive, "the file")
        except TimeoutError:
            raise Disconnected(f"the file took longer than {_BODY_SECONDS_MAX:g} seconds") from None
        if not body:
            raise errors.InvalidValue("the body is empty; accepted: " + ACCEPTED, field="body")
        return await self._heavy_work.run(request, lambda: self._resolve(viewer, request, body))

    def _resolve(self, viewer: Viewer, request: Request, body: bytes) -> Response:
        needs = read_needs(body)
        matches = resolution.resolve(self._catalog, viewer, needs)
        answer = resolution.join_matches(matches, needs)
        answer = wire.fill_holes(answer, self._links_for(request), self._base_of(request))
        return Response(answer, headers=(revision_header(self._catalog.revision),))
