"""What the handler of stored covers remembers. Not covered here: covers themselves (tests/covers)."""

import asyncio
from typing import Any

from modelyard.web.api.covers import PublicCovers
from modelyard.web.cache import LRUCache
from modelyard.web.requests import Request


class Pictures:
    """Counts how often each picture is read."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def picture(self, path: str) -> tuple[str, bytes]:
        self.paths.append(path)
        return "ab" * 32, b"x" * 60


def ask(handler: PublicCovers, path: str, method: str = "GET") -> tuple[int, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    asyncio.run(handler.get(Request(scope, {}, "1", 0), receive, send))  # type: ignore[arg-type] # a scope of what is read
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def test_pictures_are_remembered_up_to_the_limit_with_their_paths() -> None:
    for limit, expected in ((138, "ab"), (137, "abab")):
        pictures = Pictures()
        handler = PublicCovers(pictures, LRUCache(limit))  # type: ignore[arg-type] # it asks for pictures only
        for name in "aabab":
            assert (200, b"x" * 60) == ask(handler, f"/covers/{name}")
        assert list(expected) == [path[-1] for path in pictures.paths]
