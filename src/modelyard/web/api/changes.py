"""``GET /v3/model/changes``: the change feed as JSON, by a long poll, and as a stream of Server-Sent Events.

A stream reads a page after the one before was sent, so a slow client takes no memory. Streams of one team at the same
place share the page that was read for one of them.
"""

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import ModelQuery, Viewer, Visibility
from modelyard.feed import ChangePage
from modelyard.web.auth import ViewerOf
from modelyard.web.cache import LRUCache
from modelyard.web.disconnection import run_while_connected
from modelyard.web.event_stream import EventStream, Frames
from modelyard.web.feed_news import FeedNews
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.prefer_header import NOTHING, applied_header, read_preferences
from modelyard.web.requests import Header, Request
from modelyard.web.responses import GzipCache, Response, send_response
from modelyard.web.urls import BaseOf, LinksFor
from modelyard.wire.feed import FeedPosition, change_json, join_changes, parse_changes_query, parse_since
from modelyard.wire.records import has_holes

# Below the time after which proxies end a request without bytes, 60 s for nginx.
WAIT_SECONDS_MAX = 55
_STREAM_CHANGES = 100
_SHARED_PAGES_MAX = 8
_LAST_EVENT_ID = b"last-event-id"


@dataclass(frozen=True, slots=True)
class _Question:
    """What a request asks for, and the headers of its response."""

    viewer: Viewer
    since: FeedPosition
    limit: int
    query: ModelQuery
    wait_seconds: int
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class ChangesEndpoint:
    """Responds to requests for changes. ``pages`` are those that streams share, by their place."""

    catalog: Catalog
    viewer_of: ViewerOf
    links_for: LinksFor
    base_of: BaseOf
    gzip_cache: GzipCache
    heavy_work: HeavyWork
    news: FeedNews
    pages: LRUCache[object, "asyncio.Task[_Frames]"] = field(default_factory=lambda: LRUCache(_SHARED_PAGES_MAX))

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Respond with a page, or with a stream to a client that accepts one."""
        question = self._read_question(request)
        if b"text/event-stream" in request.headers.get(b"accept", b"").lower() and request.method == "GET":
            await self._stream(question, request, receive, send)
        else:
            page = await self._wait_for_page(question, request, receive)
            changes = [change_json(change.revision, change.model_id, change.record) for change in page.changes]
            body = join_changes(changes, page.following, page.newest, has_more=page.has_more)
            body = wire.fill_holes(body, self.links_for(request), self.base_of(request))
            await send_response(Response(body, headers=question.headers), request, send, self.gzip_cache)

    def _read_question(self, request: Request) -> _Question:
        viewer = self.viewer_of(request)
        since, limit, parsed = parse_changes_query(
            request.scope["query_string"], partial(self.catalog.known_types, viewer)
        )
        if last_id := request.headers.get(_LAST_EVENT_ID):
            since = parse_since(last_id.decode("latin-1"), "Last-Event-ID")
        prefer = request.headers.get(b"prefer")
        preferences = read_preferences(prefer) if prefer else NOTHING
        if parsed.ignored and preferences.strict:
            unknown = [name[:64] for name in parsed.ignored[:20]]
            raise errors.InvalidRequest(f"unknown: {', '.join(unknown)}", parameter=unknown[0], ignored=unknown)
        if parsed.query.visibility is Visibility.PRIVATE and viewer.team is None:
            raise errors.MissingKey
        seconds = min(preferences.wait_seconds, WAIT_SECONDS_MAX)
        headers: list[Header] = []
        applied = [applied_header(replace(preferences, exact_count=False)), b"wait=%d" % seconds if seconds else b""]
        if any(applied):
            headers.append((b"preference-applied", b", ".join(filter(None, applied))))
        if parsed.ignored:
            headers.append((wire.IGNORED_HEADER.lower().encode(), wire.ignored_header(parsed.ignored).encode()))
        return _Question(viewer, since, limit, parsed.query, seconds, tuple(headers))

    async def _read(self, question: _Question, request: Request, since: FeedPosition, limit: int) -> ChangePage:
        read = partial(self.catalog.changes, question.viewer, since, limit, question.query)
        if question.query == ModelQuery():
            return await asyncio.to_thread(read)
        # An index is made of the changes that a filter chooses from: 40 ms of CPU for 500 models (2026-11).
        return await self.heavy_work.run(request, read)

    async def _wait_for_page(self, question: _Question, request: Request, receive: Receive) -> ChangePage:
        """Return a page; if it has no change, wait for one as long as the client prefers, and is there."""
        page = await self._read(question, request, question.since, question.limit)
        if page.changes or page.has_more or not question.wait_seconds or request.method == "HEAD":
            return page
        return await run_while_connected(receive, self._wait_for_change(question, request, page))

    async def _wait_for_change(self, question: _Question, request: Request, page: ChangePage) -> ChangePage:
        deadline = asyncio.get_running_loop().time() + question.wait_seconds
        async with self.news.subscribe(question.viewer, request.caller_address) as subscription:
            while not page.changes:
                seconds = deadline - asyncio.get_running_loop().time()
                if not await subscription.wait(page.newest, seconds):
                    break
                page = await self._read(question, request, page.following, question.limit)
        if subscription.is_over and not self.news.is_stopping:
            raise errors.InvalidKey
        return page

    async def _stream(self, question: _Question, request: Request, receive: Receive, send: Send) -> None:
        async with self.news.subscribe(question.viewer, request.caller_address) as subscription:
            # An error is an answer of its own, so the first page is read before the stream begins.
            frames = _frames_of(await self._read(question, request, question.since, _STREAM_CHANGES))
            base = self.base_of(request)

            def fill(content: bytes) -> bytes:
                # A link is good for a time from when it is sent, not from when the stream began.
                return wire.fill_holes(content, self.links_for(request), base) if has_holes(content) else content

            # Texts keep their hash; that of a query takes longer than to send an event.
            place = repr((question.viewer.team, question.query))

            def read_next(before: Frames) -> "asyncio.Task[_Frames]":
                key = place, cast("_Frames", before).following, subscription.newest
                return self._shared(question, request, key)

            stream = EventStream(subscription, frames, read_next, fill, send)
            subscription.listener = stream
            await stream.run(question.headers, receive)

    def _shared(
        self, question: _Question, request: Request, key: tuple[str, FeedPosition, int]
    ) -> "asyncio.Task[_Frames]":
        """Return what reads the frames after a position; the last part of the key is a revision that they include."""
        task = self.pages.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._read_frames(question, request, key[1]))
            self.pages.put(key, task, 1)
        return task

    async def _read_frames(self, question: _Question, request: Request, since: FeedPosition) -> "_Frames":
        while True:
            try:
                return _frames_of(await self._read(question, request, since, _STREAM_CHANGES))
            except errors.Unavailable:
                await asyncio.sleep(1)


@dataclass(frozen=True, slots=True)
class _Frames:
    """The events of a page as they are sent, with the holes of their records."""

    content: bytes
    following: FeedPosition
    newest: int
    has_more: bool


def _frames_of(page: ChangePage) -> _Frames:
    """Return the events of a page.

    The id of an event is the position after it. Within a revision there is none, so a client that loses the stream
    there gets the revision again.
    """
    parts: list[bytes] = []
    changes = page.changes
    for number, change in enumerate(changes):
        position: FeedPosition | None = None
        if number + 1 == len(changes):
            position = page.following if page.following.model_id is None else None
        elif changes[number + 1].revision > change.revision:
            position = FeedPosition(change.revision, base=page.following.base)
        if position is not None:
            parts.append(b"id: %b\n" % str(position).encode())
        kind = b"put" if change.record is not None else b"removed"
        data = change_json(change.revision, change.model_id, change.record)
        parts.append(b"event: %b\ndata: %b\n\n" % (kind, data))
    if not changes and page.following.model_id is None:
        # No event: the client only notes where it is.
        parts.append(b"id: %b\n\n" % str(page.following).encode())
    return _Frames(b"".join(parts), page.following, page.newest, page.has_more)
