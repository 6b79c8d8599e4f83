"""The pieces in which a file is sent: how large, how many at once, and what happens if the file or the client stops."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard import errors
from modelyard.web import file_stream
from modelyard.web.file_stream import FileStream
from modelyard.web.range_header import ByteRange

KIB = 1024
CONTENT = bytes(range(251)) * 25_000


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """An open file of some six MB."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


class Client:
    """Takes pieces. ``wait_seconds`` is how long it takes until it has what was sent before."""

    def __init__(self, wait_seconds: float = 0.0, wait: Callable[[], Awaitable[None]] | None = None) -> None:
        self.pieces: list[bytes] = []
        self.wait_seconds = wait_seconds
        self.now = 0.0
        self._wait = wait

    async def send(self, message: Any) -> None:
        assert ("http.response.body", True) == (message["type"], message["more_body"])
        if message["body"]:
            self.pieces.append(bytes(message["body"]))
            if self._wait is not None:
                await self._wait()
        else:
            self.now += self.wait_seconds

    @property
    def sizes(self) -> list[int]:
        return [len(piece) // KIB for piece in self.pieces]


@pytest.mark.parametrize(
    ("wait_seconds", "sizes"), [(0.0, [128, 256, 512, 1024, 1024, 1024]), (0.04, [128, 256, 512]), (0.05, [64, 64, 64])]
)
def test_blocks_grow_while_the_client_reads_them_quickly(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, wait_seconds: float, sizes: list[int]
) -> None:
    client = Client(wait_seconds)
    monkeypatch.setattr(file_stream, "time", SimpleNamespace(monotonic=lambda: client.now))

    asyncio.run(FileStream().send(client.send, descriptor, ByteRange(0, 5 * 1024 * KIB)))

    assert sizes == client.sizes[: len(sizes)]
    assert CONTENT[: 5 * 1024 * KIB + 1] == b"".join(client.pieces)


def test_a_client_that_becomes_slow_gets_small_blocks_again(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    monkeypatch.setattr(file_stream, "time", SimpleNamespace(monotonic=lambda: client.now))

    async def wait() -> None:
        client.wait_seconds = 1.0 if len(client.pieces) == 3 else 0.0

    client._wait = wait
    asyncio.run(FileStream().send(client.send, descriptor, ByteRange(0, 1_200 * KIB)))

    assert [128, 256, 512, 64, 128] == client.sizes[:5]


@pytest.mark.parametrize(("first", "last"), [(0, 0), (5, 9), (len(CONTENT) - 1, len(CONTENT) - 1)])
def test_a_range_is_sent_to_the_byte(descriptor: int, first: int, last: int) -> None:
    client = Client()

    asyncio.run(FileStream().send(client.send, descriptor, ByteRange(first, last)))

    assert [CONTENT[first : last + 1]] == client.pieces


@pytest.mark.parametrize(("downloads", "size_max"), [(4, 1024), (8, 512), (100, 64)])
def test_many_downloads_share_the_bytes_of_blocks(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, downloads: int, size_max: int
) -> None:
    monkeypatch.setattr(file_stream, "time", SimpleNamespace(monotonic=lambda: 0.0))
    stream, clients = FileStream(), [Client() for _ in range(downloads)]
    whole = ByteRange(0, len(CONTENT) - 1)

    async def serve() -> None:
        all_there, started = asyncio.Event(), []

        async def send(client: Client, message: Any) -> None:
            if not client.pieces:
                started.append(client)
                if len(started) >= downloads:
                    all_there.set()
                await all_there.wait()
            await client.send(message)

        async def download(client: Client) -> None:
            with pytest.raises(EOFError):
                await stream.send(lambda message: stop_after(send, client, message), descriptor, whole)

        await asyncio.gather(*map(download, clients))

    async def stop_after(send: Any, client: Client, message: Any) -> None:
        if len(client.pieces) == 8:
            raise EOFError
        await send(client, message)
        await asyncio.sleep(0)

    asyncio.run(serve())
    alone = Client()
    asyncio.run(stream.send(alone.send, descriptor, whole))

    assert {size_max} == {max(client.sizes[:4]) for client in clients}
    assert 1024 == max(alone.sizes), "downloads that ended do not count"


def test_four_downloads_send_at_once(descriptor: int) -> None:
    sending = 0
    counts = set()

    async def wait() -> None:
        nonlocal sending
        sending += 1
        counts.add(sending)
        for _ in range(5):
            await asyncio.sleep(0)
        sending -= 1

    async def serve() -> None:
        stream = FileStream()
        clients = [Client(wait=wait) for _ in range(9)]
        await asyncio.gather(*(stream.send(client.send, descriptor, ByteRange(0, 9)) for client in clients))

    asyncio.run(serve())

    assert {1, 2, 3, 4} == counts


def test_a_file_that_became_shorter_ends_the_answer(tmp_path: Path) -> None:
    path, client = tmp_path / "short", Client()
    path.write_bytes(b"ten bytes.")
    opened = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(errors.Unavailable, match="the file became shorter while it was sent"):
            asyncio.run(FileStream().send(client.send, opened, ByteRange(0, 10)))
    finally:
        os.close(opened)

    assert [b"ten bytes."] == client.pieces


def test_a_client_that_takes_nothing_is_given_up(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_stream.STALLED_SECONDS_MAX == 120
    monkeypatch.setattr(file_stream, "STALLED_SECONDS_MAX", 0.01)
    started_at = time.monotonic()

    with pytest.raises(TimeoutError):
        asyncio.run(FileStream().send(lambda _: asyncio.sleep(60), descriptor, ByteRange(0, 9)))

    assert time.monotonic() - started_at < 50
