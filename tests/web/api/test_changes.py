"""The change feed over HTTP: pages, long polls, and streams of Server-Sent Events.

What a reader holds after any interleaving of writes is in tests/test_feed.py.
"""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain import MODEL_TYPES, Scope, Viewer
from modelyard.feed import ChangePage
from modelyard.store import withdrawals
from modelyard.web import feed_news
from modelyard.web.api.changes import ChangesEndpoint
from modelyard.web.feed_news import FeedNews
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Request, open_request
from modelyard.web.responses import GzipCache
from modelyard.wire.feed import FeedPosition
from tests.app_fixture import Address, App, a_model, a_private, listening, open_app

CHANGES = "/v3/model/changes"
COVER = f"/covers/{'ab' * 32}/320.webp"


def lines(page: Any) -> list[tuple[int, int, str]]:
    return [(change["revision"], change["id"], change["change"]) for change in page["changes"]]


def test_a_page_has_what_changed_for_the_caller(yard: App) -> None:
    yard.put(a_model(1), a_model(2))
    yard.put(a_private(3, "red"), a_private(4, "blue"))
    yard.remove(2)

    page = yard.ask(f"{CHANGES}?since=0").json

    assert [(1, 1, "put"), (2, 3, "put")] == lines(page)
    assert yard.ask("/v3/model?filter.model_version_id=1").json["models"] == [page["changes"][0]["model"]]
    assert (3, 3, False) == (page["next"], page["newest"], page["more"])
    assert {"revision": 3, "id": 2, "change": "removed"} == yard.ask(f"{CHANGES}?since=2").json["changes"][0]
    assert [(2, 3, "put"), (3, 2, "removed")] == lines(yard.ask(f"{CHANGES}?since=1").json)


def test_pages_end_within_a_revision_and_continue_there(yard: App) -> None:
    yard.put(*(a_model(id_) for id_ in range(1, 6)))

    first = yard.ask(f"{CHANGES}?limit=2").json
    second = yard.ask(f"{CHANGES}?limit=2&since={first['next']}").json
    third = yard.ask(f"{CHANGES}?limit=2&since={second['next']}").json

    assert ["1-2", "1-4", 1] == [page["next"] for page in (first, second, third)]
    assert [1, 2, 3, 4, 5] == [change["id"] for page in (first, second, third) for change in page["changes"]]
    assert [True, True, False] == [page["more"] for page in (first, second, third)]


def test_a_model_that_becomes_private_is_removed_for_all_others(yard: App) -> None:
    yard.put(a_model(1, team="red"))
    yard.put(a_private(1, "red"))

    assert [(2, 1, "removed")] == lines(yard.ask(f"{CHANGES}?since=1", "blue").json)
    assert [(2, 1, "put")] == lines(yard.ask(f"{CHANGES}?since=1", "red").json)


def test_changes_of_another_team_show_in_no_field(yard: App) -> None:
    yard.put(a_model(1))
    before = yard.ask(f"{CHANGES}?since=0", "blue").json
    yard.put(a_private(2, "red"))
    yard.remove(2)

    assert before == yard.ask(f"{CHANGES}?since=0", "blue").json


def test_a_model_that_stops_matching_the_filter_is_removed(yard: App) -> None:
    yard.put(a_model(1, type=MODEL_TYPES["lora"]), a_model(2))
    first = yard.ask(f"{CHANGES}?filter.types=lora").json
    yard.put(a_model(1))

    page = yard.ask(f"{CHANGES}?filter.types=lora&since={first['next']}").json

    assert [(1, 1, "put")] == lines(first)
    assert [(2, 1, "removed")] == lines(page)


def test_a_reader_from_before_the_pruned_changes_is_sent_to_the_beginning(yard: App) -> None:
    yard.put(a_model(1), a_model(2))
    yard.remove(1)
    with yard.store.transaction() as writing:
        withdrawals.prune(writing.connection, writing.now + 1)

    refused = yard.ask(f"{CHANGES}?since=1")

    assert (410, "GONE", {"oldest": 2}) == (refused.status, refused.json["reason"], refused.json["metadata"])
    assert 200 == yard.ask(f"{CHANGES}?since=2").status
    assert "the feed has all changes since revision 2 only" in refused.json["message"]


def test_a_position_that_the_catalogue_has_not_reached_is_named(yard: App) -> None:
    yard.put(a_model(1))

    refused = yard.ask(f"{CHANGES}?since=3")

    assert (410, "GONE", {"oldest": 0}) == (refused.status, refused.json["reason"], refused.json["metadata"])
    assert "the catalogue has not reached revision 3" in refused.json["message"]
    assert "begin again with since=0" in refused.json["message"]


@pytest.mark.parametrize(
    "query",
    ["since=x", "since=-1", "since=1-2-3-4", f"since={10**18}", "limit=0", "limit=1001", "limit=x", "since=1&since=2"],
)
def test_what_is_not_accepted_is_refused_with_the_accepted_values(yard: App, query: str) -> None:
    reply = yard.ask(f"{CHANGES}?{query}")

    assert (400, "INVALID_ARGUMENT") == (reply.status, reply.json["reason"])
    assert reply.json["metadata"]["parameter"] == query.partition("=")[0]


def test_parameters_of_paging_are_named_as_ignored(yard: App) -> None:
    reply = yard.ask(f"{CHANGES}?pagination.limit=5&sort=name&nothing=1")

    assert "nothing, pagination.limit, sort" == reply.headers["modelyard-ignored-parameters"]
    assert 400 == yard.ask(f"{CHANGES}?sort=name", prefer="handling=strict").status


def test_a_long_poll_ends_without_a_change_after_its_time(yard: App) -> None:
    yard.put(a_model(1))

    reply = yard.ask(f"{CHANGES}?since=1", prefer="wait=1")

    assert ("wait=1", [], 1) == (reply.headers["preference-applied"], reply.json["changes"], reply.json["next"])


def test_a_long_poll_hears_of_a_change_and_not_of_those_of_others(yard: App) -> None:
    yard.put(a_model(1))
    yard.key("red")
    replies: list[Any] = []
    reader = threading.Thread(target=lambda: replies.append(yard.ask(f"{CHANGES}?since=1", prefer="wait=50").json))
    reader.start()

    yard.put(a_private(2, "blue"))
    time.sleep(0.1)
    waited = reader.is_alive()
    yard.put(a_private(3, "red"))
    reader.join(30)

    assert waited
    assert [(3, 3, "put")] == lines(replies[0])


def test_a_long_poll_whose_client_is_gone_does_not_count(tmp_path: Path) -> None:
    with open_app(tmp_path, key_streams_max=1) as yard:
        headers = {"Authorization": f"Bearer {yard.key()}"}
        with listening(yard) as address:

            def begin(seconds: int) -> http.client.HTTPConnection:
                connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
                connection.request("GET", CHANGES, headers={**headers, "Prefer": f"wait={seconds}"})
                return connection

            def is_refused() -> bool:
                with closing(begin(1)) as connection:
                    return connection.getresponse().status == 429

            end_at = time.monotonic() + 20
            during = False
            while not during and time.monotonic() < end_at:
                with closing(begin(50)):
                    during = is_refused()
            end_at = time.monotonic() + 20
            after = True
            while after and time.monotonic() < end_at:
                after = is_refused()

    assert (True, False) == (during, after)


class MeetingCatalog:
    """A catalogue that notes how many readers come at the same time."""

    def __init__(self) -> None:
        self.meetings = 0
        self._barrier = threading.Barrier(2)

    def known_types(self, _viewer: Viewer) -> set[str]:
        return set()

    def changes(self, _viewer: Viewer, since: FeedPosition, *_: object) -> ChangePage:
        with suppress(threading.BrokenBarrierError):
            self._barrier.wait(0.2)
            self.meetings += 1
        return ChangePage([], since, 0, has_more=False)


@pytest.mark.parametrize(("query", "meetings"), [(b"", 2), (b"filter.types=lora", 0)])
def test_readers_with_a_filter_take_turns(query: bytes, meetings: int) -> None:
    catalog: Any = MeetingCatalog()
    nobody: Any = None
    endpoint = ChangesEndpoint(
        catalog, lambda _: Viewer("red"), lambda _: nobody, lambda _: "", GzipCache(), HeavyWork(RateLimit(0)), nobody
    )

    async def ask(sent: list[Any]) -> None:
        scope = {"type": "http", "method": "HEAD", "path": CHANGES, "query_string": query, "headers": []}
        request = open_request(scope, "1", 0)
        request.viewer = Viewer("red")

        async def send(message: Any) -> None:
            sent.append(message)

        await endpoint.handle(request, nobody, send)

    async def ask_twice() -> list[Any]:
        sent: list[Any] = []
        await asyncio.gather(ask(sent), ask(sent))
        return sent

    sent = asyncio.run(ask_twice())

    assert [200, 200] == [message["status"] for message in sent if "status" in message]
    assert meetings == catalog.meetings


# --- streams


class Stream:
    """An open stream, read by line."""

    def __init__(self, address: Address, key: str, query: str = "", **headers: str) -> None:
        self._connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(
            "GET",
            f"{CHANGES}?{query}",
            headers={"Authorization": f"Bearer {key}", "Accept": "text/event-stream", **names},
        )
        self.answer = self._connection.getresponse()

    def event(self) -> dict[str, str]:
        """The fields of the next event; empty at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self.answer.readline():
            if line == b"\n":
                return fields
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value
        return {}

    def close(self) -> None:
        self._connection.close()


@contextmanager
def streaming(address: Address, key: str, query: str = "", **headers: str) -> Iterator[Stream]:
    stream = Stream(address, key, query, **headers)
    try:
        yield stream
    finally:
        stream.close()


def test_a_stream_sends_each_change_and_continues_after_the_last_event(yard: App) -> None:
    yard.put(a_model(1), a_model(2))
    key = yard.key()
    with listening(yard) as address:
        with streaming(address, key) as stream:
            media_type, buffering = (stream.answer.headers[name] for name in ("content-type", "x-accel-buffering"))
            first, second = stream.event(), stream.event()
            yard.put(a_private(7, "blue"))
            yard.put(a_private(3, "red"))
            third = stream.event()
            yard.remove(1)
            fourth = stream.event()
        with streaming(address, key, last_event_id=third["id"]) as stream:
            again = stream.event()
    lines = [line for line in yard.lines() if line.get("route") == CHANGES]

    # A client that has enough of a stream cuts nothing off.
    assert [(200, False)] * 2 == [(line["status"], "cut_off_by" in line) for line in lines]
    assert ("text/event-stream; charset=utf-8", "no") == (media_type, buffering)
    assert ["put", "put", "put", "removed"] == [event["event"] for event in (first, second, third, fourth)]
    assert [None, "1", "3", "4"] == [event.get("id") for event in (first, second, third, fourth)]
    assert {"revision": 4, "id": 1, "change": "removed"} == json.loads(fourth["data"])
    assert fourth == again


def test_a_change_by_another_worker_reaches_streams_and_long_polls(url: str, tmp_path: Path) -> None:
    with open_app(tmp_path, database_url=url) as reading, open_app(tmp_path, database_url=url) as writing:
        key = reading.key()
        with listening(reading) as address, streaming(address, key) as stream:
            opened = stream.event()
            writing.put(a_private(1, "blue"))
            writing.put(a_private(2, "red"))
            event = stream.event()

    assert {"id": "0"} == opened
    assert ("2", "put") == (event["id"], event["event"])


def test_the_links_of_a_stream_are_made_when_they_are_sent(tmp_path: Path) -> None:
    makers: list[Request] = []
    sent: list[bytes] = []

    def links_for(request: Request) -> Callable[[str, str], str]:
        makers.append(request)
        return lambda *_: ""

    is_gone = asyncio.Event()

    async def receive() -> dict[str, str]:
        await is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if b"event: put" in message.get("body", b""):
            sent.append(message["body"])
            if len(sent) == 2:
                is_gone.set()
            else:
                await asyncio.to_thread(yard.put, a_model(2, cover_url=COVER))

    async def follow() -> None:
        headers = [(b"accept", b"text/event-stream")]
        scope = {"type": "http", "method": "GET", "path": CHANGES, "query_string": b"", "headers": headers}
        request = open_request(scope, "1", 0)
        async with asyncio.timeout(30):
            await endpoint.handle(request, receive, send)

    with open_app(tmp_path, anonymous_access="public") as yard:
        news, turns = FeedNews(yard.store, yard.access, 1), HeavyWork(RateLimit(0))
        endpoint = ChangesEndpoint(
            yard.catalog, lambda _: Viewer(None), links_for, lambda _: "", GzipCache(), turns, news
        )
        yard.put(a_model(1, cover_url=COVER))
        asyncio.run(follow())

    assert (2, 2) == (len(sent), len(makers))


def test_a_stream_ends_when_its_key_is_revoked(yard: App) -> None:
    key = yard.key()
    with listening(yard) as address, streaming(address, key) as stream:
        opened = stream.event()
        yard.access.revoke_key(key)
        yard.put(a_private(1, "red"))
        events = [stream.event()]
        while events[-1]:
            events.append(stream.event())

    assert {"id": "0"} == opened
    assert {} == events[-1]


def test_a_stream_ends_when_its_key_expires(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    with open_app(tmp_path, clock=lambda: now[0]) as yard:
        key, _ = yard.access.create_key("red", [Scope.READ], expires_in_seconds=60)
        with listening(yard) as address, streaming(address, key) as stream:
            opened = stream.event()
            now[0] += 61
            end = stream.event()

    assert {"id": "0"} == opened
    assert {} == end


def test_a_stream_gets_a_comment_after_some_seconds(yard: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_news, "PING_SECONDS", 0.05)
    key = yard.key()
    with listening(yard) as address, streaming(address, key) as stream:
        opened = stream.event()
        comments = [stream.answer.readline() for _ in range(4)]
        yard.put(a_model(1))
        event = stream.event()
        while "event" not in event:
            event = stream.event()

    assert {"id": "0"} == opened
    assert [b": ping\n", b"\n"] * 2 == comments
    assert "put" == event["event"]


def test_a_server_that_stops_ends_its_streams(yard: App) -> None:
    key = yard.key()
    yard.put(a_model(1))
    with ExitStack() as stack:
        with listening(yard) as address:
            streams = [stack.enter_context(streaming(address, key)) for _ in range(3)]
            opened = [stream.event()["event"] for stream in streams]
            began = time.monotonic()
        seconds = time.monotonic() - began
        ends = [stream.event() for stream in streams]

    assert ["put"] * 3 == opened
    assert [{}] * 3 == ends
    assert seconds < 20, "uvicorn ends what it waits for after 30 s"


def test_a_server_that_stops_answers_its_long_polls(tmp_path: Path) -> None:
    bodies: list[bytes] = []
    is_gone = asyncio.Event()

    async def receive() -> dict[str, str]:
        await is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        bodies.append(message.get("body", b""))

    async def wait_and_stop() -> None:
        scope = {"type": "http", "method": "GET", "path": CHANGES, "query_string": b"since=1", "headers": []}
        request = open_request({**scope, "headers": [(b"prefer", b"wait=50")]}, "1", 0)
        stop_when_it_waits()
        async with asyncio.timeout(30):
            await endpoint.handle(request, receive, send)

    def stop_when_it_waits() -> None:
        if news.count:
            news.stop()
        else:
            asyncio.get_running_loop().call_later(0.001, stop_when_it_waits)

    with open_app(tmp_path, anonymous_access="public") as yard:
        yard.put(a_model(1))
        news, turns = FeedNews(yard.store, yard.access, 1), HeavyWork(RateLimit(0))
        answers = (lambda _: lambda *_: "", lambda _: "", GzipCache(), turns, news)
        endpoint = ChangesEndpoint(yard.catalog, lambda _: Viewer(None), *answers)
        asyncio.run(wait_and_stop())

    assert b'{"changes":[],"next":1,"newest":1,"more":false}' == b"".join(bodies)


def test_one_key_has_a_limited_number_of_streams(tmp_path: Path) -> None:
    with open_app(tmp_path, key_streams_max=1) as yard:
        key = yard.key()
        with listening(yard) as address, streaming(address, key) as stream:
            stream.event()
            with streaming(address, key) as refused:
                reply = json.loads(refused.answer.read())
            with streaming(address, yard.key("blue")) as other:
                status = other.answer.status

    assert (429, "TOO_MANY_STREAMS") == (reply["code"], reply["reason"])
    assert 200 == status


def test_an_error_is_an_answer_and_no_stream(yard: App) -> None:
    key = yard.key()
    with listening(yard) as address, streaming(address, key, "since=9") as stream:
        reply = json.loads(stream.answer.read())

    assert (410, "GONE") == (stream.answer.status, reply["reason"])
