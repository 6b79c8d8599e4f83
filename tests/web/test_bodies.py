"""The body of a request: its length, its limits, and the blocks in which a file arrives."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard import errors
from modelyard.blobs import IncomingFiles
from modelyard.web import bodies
from modelyard.web.bodies import Disconnected
from modelyard.web.requests import Request

UPLOAD = "0" * 32


def request(length: bytes | None = None) -> Request:
    return Request({"method": "POST"}, {} if length is None else {b"content-length": length}, "1", 0)


class Sender:
    """Sends a body in pieces; then it disconnects, unless the last piece ends the body."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": not ends or number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]
        self.sent = 0

    async def receive(self) -> dict[str, Any]:
        self.sent += 1
        return self.messages[self.sent - 1] if self.sent <= len(self.messages) else {"type": "http.disconnect"}


@pytest.mark.parametrize(("text", "number"), [(None, None), (b"0", 0), (b"12", 12), (b"9" * 18, 10**18 - 1)])
def test_a_length_is_a_number_of_up_to_eighteen_digits(text: bytes | None, number: int | None) -> None:
    assert number == bodies.content_length(request(text))


@pytest.mark.parametrize("text", [b"", b"-1", b"+1", b"1.5", b"1e3", b"9" * 19, "²".encode("latin-1")])
def test_another_length_is_refused(text: bytes) -> None:
    with pytest.raises(errors.InvalidValue, match="content-length: not a number"):
        bodies.content_length(request(text))


def read(bytes_max: int, sender: Sender, length: bytes | None = None) -> bytes:
    return asyncio.run(bodies.read_up_to(bytes_max, request(length), sender.receive, "the thing"))


def test_a_body_up_to_its_limit_is_read_whole() -> None:
    assert b"abcde" == read(5, Sender(b"ab", b"", b"cde"), b"5")
    assert b"" == read(0, Sender(b""))


def test_a_body_over_its_limit_is_refused_as_soon_as_that_is_known() -> None:
    announced, unannounced = Sender(b"abcdef"), Sender(b"ab", b"cdef", b"g", b"h")

    for sender, length in ((announced, b"6"), (unannounced, None)):
        with pytest.raises(errors.TooLarge) as caught:
            read(5, sender, length)
        assert 5 == caught.value.facts["limit_bytes"]
    assert (0, 2) == (announced.sent, unannounced.sent)


def test_a_body_that_ends_early_is_a_disconnection() -> None:
    with pytest.raises(Disconnected, match="the body ended early"):
        read(5, Sender(b"ab", ends=False))


def test_small_json_has_64_kib() -> None:
    assert 65_536 == len(asyncio.run(bodies.read_small(request(), Sender(bytes(65_536)).receive)))
    with pytest.raises(errors.TooLarge):
        asyncio.run(bodies.read_small(request(), Sender(bytes(65_537)).receive))


async def sizes_of_blocks(sender: Sender, sizes: list[list[int]]) -> None:
    async for block in bodies.blocks(sender.receive):
        sizes += [[len(piece) for piece in block]]


def test_a_block_is_full_from_four_mebibytes_on_and_the_rest_comes_too() -> None:
    half, sizes = bytes(2**21), list[list[int]]()

    asyncio.run(sizes_of_blocks(Sender(half, half, half[1:], b"a", half, b"b"), sizes))

    assert [[2**21, 2**21], [2**21 - 1, 1, 2**21], [1]] == sizes


def test_what_came_before_a_disconnection_is_a_block() -> None:
    sizes: list[list[int]] = []

    with pytest.raises(Disconnected):
        asyncio.run(sizes_of_blocks(Sender(b"ab", b"c", ends=False), sizes))
    with pytest.raises(Disconnected):
        asyncio.run(sizes_of_blocks(Sender(ends=False), sizes))

    assert [[2, 1]] == sizes


def append(folder: Path, sender: Sender, refuse: bool = False) -> tuple[list[int], bytes, str | None]:
    """Append a body to a new upload; return the sizes that were checked, the bytes, and their hash."""
    incoming, sizes = IncomingFiles(folder), list[int]()
    incoming.create(UPLOAD)

    def check(block: Sequence[bytes]) -> None:
        sizes.append(sum(map(len, block)))
        if refuse and len(sizes) == 2:
            raise errors.LinkRevoked

    with incoming.open(UPLOAD) as partial:
        try:
            asyncio.run(bodies.append_body(partial, sender.receive, check))
        except (Disconnected, errors.LinkRevoked):
            sizes.append(-1)
    content = incoming.path(UPLOAD).read_bytes()
    return sizes, content, incoming.sha256(UPLOAD, len(content))


def test_a_body_is_written_and_hashed_block_by_block(tmp_path: Path) -> None:
    pieces = [bytes([number]) * 1_200_000 for number in range(9)]

    sizes, content, sha256 = append(tmp_path, Sender(*pieces))

    assert [4_800_000, 4_800_000, 1_200_000] == sizes
    assert b"".join(pieces) == content
    assert sha256 is not None


def test_a_body_of_many_small_pieces_is_written_whole(tmp_path: Path) -> None:
    pieces = [b"%d," % number for number in range(3_000)]

    assert b"".join(pieces) == append(tmp_path, Sender(*pieces))[1]


def test_bytes_before_an_interruption_stay(tmp_path: Path) -> None:
    assert ([2, -1], b"ab") == append(tmp_path / "a", Sender(b"ab", ends=False))[:2]
    sizes, content, _ = append(tmp_path / "b", Sender(bytes(2**22), b"b" * 2**22), refuse=True)
    assert ([2**22, 2**22, -1], bytes(2**22)) == (sizes, content)


class Point(msgspec.Struct):
    x: int


def test_json_that_is_not_of_the_kind_is_refused_with_the_place() -> None:
    assert Point(1) == bodies.decode_json(b'{"x":1}', Point)
    for body, problem in ((b'{"x":"a"}', r"Expected `int`, got `str` - at `\$\.x`"), (b"{", ""), (b'"\xff"', "")):
        with pytest.raises(errors.InvalidValue, match="the request's body cannot be used: .*" + problem):
            bodies.decode_json(body, Point)


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(errors.InvalidValue, match="nested too deeply"):
        bodies.decode_json(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, dict)
