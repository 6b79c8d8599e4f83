"""Xorbs: every scheme, every limit, and bytes that are no xorb."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard import errors, xet
from tests.xet_files import GROUPED, LZ4, RAW, chunk, xorb


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno()


def read(content: bytes) -> list[bytes]:
    with opened(content) as descriptor:
        return [xet.read_chunk(descriptor, part) for part in xet.read_chunks(descriptor)]


@given(contents=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=7))
@settings(max_examples=50, deadline=None)
def test_chunks_of_every_scheme_come_out_as_they_went_in(contents: list[bytes]) -> None:
    assert contents == read(xorb(*contents))


def test_the_largest_chunk_is_read() -> None:
    content = os.urandom(1000) * 131 + b"x" * 72

    assert [content] == read(chunk(content, GROUPED))
    assert xet.CHUNK_BYTES_MAX == len(content)


def test_a_footer_of_an_older_client_is_not_read() -> None:
    assert [b"one", b"two"] == read(xorb(b"one", b"two") + b"XETBLOB\1" + b"\0" * 200)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no chunk"),
        (b"XETBLOB\1", "has version 88"),
        (b"\0\0", "no complete header"),
        (b"\1" + chunk(b"abc")[1:], "has version 1"),
        (chunk(b"abc")[:4] + b"\3" + chunk(b"abc")[5:], "has compression scheme 3"),
        (chunk(b"abc", size=0), "has 0 bytes"),
        (chunk(b"abc", LZ4, size=xet.CHUNK_BYTES_MAX + 1), "has 131,073 bytes; accepted: 1 to 131,072"),
        (chunk(b"abc", size=2), "stores 2 bytes in 3"),
        (chunk(b"abc", LZ4, size=3, stored=b"x" * 100), "stores 3 bytes in 100"),
        (chunk(b"abcdef")[:-1], "behind the xorb's 13 bytes"),
        (chunk(b"abc", LZ4, stored=b"no frame"), "is no LZ4 frame"),
        (chunk(b"abc", LZ4, stored=lz4.frame.compress(b"abcd")), "does not decompress to its 3 bytes"),
        (chunk(b"abc", LZ4, stored=lz4.frame.compress(b"ab")), "does not decompress to its 3 bytes"),
        (chunk(b"abc", LZ4, stored=lz4.frame.compress(b"abc")[:-4]), "does not decompress to its 3 bytes"),
    ],
)
def test_bytes_that_are_no_xorb_are_refused_with_the_place(content: bytes, message: str) -> None:
    with pytest.raises(errors.InvalidValue, match=message):
        read(content)


def test_a_frame_that_expands_takes_no_more_memory_than_its_chunk_says() -> None:
    bomb = lz4.frame.compress(b"\0" * (64 << 20), block_size=lz4.frame.BLOCKSIZE_MAX4MB)

    with opened(b"\0" + (70_000).to_bytes(3, "little") + b"\1" + (70_000).to_bytes(3, "little") + bomb[:70_000]) as fd:
        (part,) = xet.read_chunks(fd)
        with pytest.raises(errors.InvalidValue, match="does not decompress to its 70,000 bytes"):
            xet.read_chunk(fd, part)


def test_a_xorb_over_its_limits_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(xet.XORB_BYTES_MAX + 1)
        with pytest.raises(errors.TooLarge):
            xet.read_chunks(file.fileno())
    with pytest.raises(errors.InvalidValue, match="more than 65,536 chunks"):
        read(chunk(b"x") * (xet.CHUNKS_MAX + 1))


def test_a_chunk_of_a_file_that_became_shorter_is_refused() -> None:
    with opened(b"abc") as descriptor, pytest.raises(errors.InvalidValue, match="xorb: a chunk ends early"):
        xet.read_chunk(descriptor, xet.Chunk(1, 3, RAW, 3))


def test_bytes_that_cannot_be_compressed_have_a_frame_of_up_to_64_bytes_more() -> None:
    for more, message in ((64, "no LZ4 frame"), (65, "stores 3 bytes in 68")):
        with pytest.raises(errors.InvalidValue, match=message):
            read(chunk(b"abc", LZ4, size=3, stored=b"x" * (3 + more)))


def test_the_limits_of_a_xorb() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(xet.XORB_BYTES_MAX)
        with pytest.raises(errors.InvalidValue, match="chunk 0 has 0 bytes"):
            xet.read_chunks(file.fileno())
    assert (65 << 20, 128 << 10) == (xet.XORB_BYTES_MAX, xet.CHUNK_BYTES_MAX)
    assert xet.CHUNKS_MAX == len(read(chunk(b"x") * xet.CHUNKS_MAX))


@given(content=st.binary(max_size=200) | st.builds(bytes.__add__, st.just(chunk(b"abcd", RAW)), st.binary(max_size=60)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_chunks_or_an_error_of_ours(content: bytes) -> None:
    try:
        parts = read(content)
    except errors.ModelyardError:
        return

    assert all(0 < len(part) <= xet.CHUNK_BYTES_MAX for part in parts)
