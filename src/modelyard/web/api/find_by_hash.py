"""``POST /v3/model/by-hash``: the models of many hashes in one request.

    {"hashes": ["1A805277C8", …]}  →  {"matches": {"1A805277C8": [114600], …}, "models": [{…}, …]}

``matches`` has every hash as it was asked for, with the ids of the models that have a file with it, the most popular
first; ``models`` has the record of each of them once.
"""

import asyncio

import msgspec
from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import Viewer
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json, read_up_to
from modelyard.web.consistency import MIN_REVISION, RevisionWait, revision_header
from modelyard.web.requests import Request
from modelyard.web.responses import GzipCache, Response, send_response
from modelyard.web.urls import BaseOf, LinksFor

HASHES_MAX = 1_000
# A thousand SHA-256 with a prefix, quotes and spaces take 80 KB.
_BODY_BYTES_MAX = 128 * 1024


class Hashes(msgspec.Struct, frozen=True):
    """The hashes that are asked for, as ``filter.hash`` accepts them."""

    hashes: list[str]


class FindByHash:
    """Answers the route. The look-up runs in a thread: it takes some milliseconds for a thousand hashes."""

    def __init__(
        self, catalog: Catalog, viewer_of: ViewerOf, links_for: LinksFor, base_of: BaseOf, gzip_cache: GzipCache
    ) -> None:
        self._catalog = catalog
        self._viewer_of = viewer_of
        self._links_for = links_for
        self._base_of = base_of
        self._gzip_cache = gzip_cache
        self._revision_wait = RevisionWait(catalog)

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Send the models. Refuses callers who may not read before it reads the body."""
        viewer = self._viewer_of(request)
        if MIN_REVISION in request.headers:
            await self._revision_wait.wait(request)
        body = await read_up_to(_BODY_BYTES_MAX, request, receive, "the request's body")
        response = await asyncio.to_thread(self._find, viewer, request, body)
        await send_response(response, request, send, self._gzip_cache)

    def _find(self, viewer: Viewer, request: Request, body: bytes) -> Response:
        digits_by_text = _read_hashes(body)
        revision = self._catalog.refresh()
        ids, records = self._catalog.find_by_hash(viewer, dict.fromkeys(digits_by_text.values()))
        by_text = {text: ids[digits] for text, digits in digits_by_text.items()}
        answer = wire.join_matches(by_text, [*records.values()])
        answer = wire.fill_holes(answer, self._links_for(request), self._base_of(request))
        return Response(answer, headers=(revision_header(revision),))


def _read_hashes(body: bytes) -> dict[str, str]:
    """Return the digits of each hash, by the text that asks for it. Raises InvalidValue."""
    texts = decode_json(body, Hashes).hashes
    if len(texts) > HASHES_MAX:
        raise errors.InvalidValue(
            f"hashes: {len(texts):,} are too many; accepted: up to {HASHES_MAX:,}", field="hashes"
        )
    digits_by_text: dict[str, str] = {}
    for number, text in enumerate(texts):
        try:
            digits_by_text[text] = wire.parse_hash(text)
        except ValueError:
            excerpt = text if len(text) <= 80 else text[:80] + "…"
            raise errors.InvalidValue(
                f"hashes[{number}]: {excerpt!r} is not accepted; accepted: {wire.HASH_ALLOWED}",
                field=f"hashes[{number}]",
            ) from None
    return digits_by_text
