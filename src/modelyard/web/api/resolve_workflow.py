"""``POST /v3/model/resolve``: the models that a workflow, a picture or a block of parameters needs.

    <the file itself>  →  {"wanted": [{"name", "directory", "hash", "url", "nodes", "how", "models": [{…}]}],
                           "found": 1, "missing": 1, "unknown_nodes": [], "truncated": false}

The bytes decide what the file is, whatever ``Content-Type`` says. With ``?format=workflow`` the answer is the workflow
itself, with the address and the hash of each model that is here.
"""

from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Send

from modelyard import errors, resolution, wire
from modelyard.catalog import Catalog
from modelyard.domain import Viewer
from modelyard.web.auth import ViewerOf
from modelyard.web.consistency import MIN_REVISION, RevisionWait, revision_header
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, GzipCache, Response, send_response
from modelyard.web.urls import BaseOf, LinksFor
from modelyard.web.workflow_bodies import WorkflowBodies
from modelyard.workflows import ACCEPTED, declare_models, read_needs, read_page_graph


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
        self.bodies = WorkflowBodies()
        self._revision_wait = RevisionWait(catalog)

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Send the needs with their models. Refuses callers who may not read before it reads the body."""
        viewer = self._viewer_of(request)
        if MIN_REVISION in request.headers:
            await self._revision_wait.wait(request)
        async with self.bodies.read(request, receive) as body:
            if not body:
                raise errors.InvalidValue("the body is empty; accepted: " + ACCEPTED, field="body")
            answer = self._fill_in if _wants_workflow(request) else self._resolve
            response = await self._heavy_work.run(request, lambda: answer(viewer, request, body))
        await send_response(response, request, send, self._gzip_cache)

    def _resolve(self, viewer: Viewer, request: Request, body: bytes) -> Response:
        needs = read_needs(body)
        matches = resolution.resolve(self._catalog, viewer, needs)
        answer = resolution.join_matches(matches, needs)
        answer = wire.fill_holes(answer, self._links_for(request), self._base_of(request))
        return Response(answer, headers=(revision_header(self._catalog.revision),))

    def _fill_in(self, viewer: Viewer, request: Request, body: bytes) -> Response:
        """Return the workflow itself, with the address and the hash of each model that is here."""
        graph = read_page_graph(body)
        matches = resolution.resolve(self._catalog, viewer, read_needs(body))
        declare_models(graph, resolution.declare(matches, self._links_for(request)))
        headers = (revision_header(self._catalog.revision),)
        return Response(msgspec.json.encode(graph), headers=headers, caching=UNSTORED)


def _wants_workflow(request: Request) -> bool:
    values = parse_qs(request.query_string[:1024].decode("latin-1"), keep_blank_values=True).get("format", ["needs"])
    if values[-1] not in ("needs", "workflow"):
        raise errors.InvalidParameter("format", values[-1], ("needs", "workflow"))
    return values[-1] == "workflow"
