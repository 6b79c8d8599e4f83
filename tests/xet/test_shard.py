"""Shards: the files they list, however the bytes arrive, and bytes that are no shard."""

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard import errors, xet
from tests.xet_files import shard

ONE, TWO = "1234567890abcdef" * 4, "fedcba0987654321" * 4


def files_of(content: bytes, piece_bytes: int = 1 << 20) -> list[xet.File]:
    section = xet.FileSection()
    for start in range(0, len(content), piece_bytes):
        section.feed(content[start : start + piece_bytes])
    return section.files()


@pytest.mark.parametrize("piece_bytes", [1, 47, 48, 1000, 1 << 20])
@pytest.mark.parametrize("is_verified", [True, False])
def test_files_have_their_segments_and_their_hash(piece_bytes: int, is_verified: bool) -> None:
    content = shard((b"abc", [(ONE, 2, 0, 1), (TWO, 1, 3, 5)]), (b"", []), is_verified=is_verified)

    first, second = files_of(content, piece_bytes)

    assert (xet.Segment(ONE, 2, 0, 1), xet.Segment(TWO, 1, 3, 5)) == first.segments
    assert hashlib.sha256(b"abc").hexdigest() == first.sha256
    assert (3, 0) == (first.size_bytes, second.size_bytes)


def test_a_file_without_a_hash_has_none() -> None:
    content = bytearray(shard((b"abc", [(ONE, 3, 0, 1)]), is_verified=False))
    content[48 + 32 : 48 + 36] = struct.pack("<I", 0)
    del content[48 * 3 : 48 * 4]

    assert [None] == [file.sha256 for file in files_of(bytes(content))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends before its list of files"),
        (shard((b"abc", [(ONE, 3, 0, 1)]))[: 48 * 3], "ends before its list of files"),
        (b"\0" * 32 + struct.pack("<QQ", 3, 0), "version 3; accepted: 2"),
        (shard((b"abc", [(ONE, 3, 1, 1)])), "a segment from chunk 1 to 1"),
    ],
)
def test_bytes_that_are_no_shard_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(errors.InvalidValue, match=message):
        files_of(content)


def test_a_list_of_files_over_its_limit_is_refused_before_it_arrives() -> None:
    head = shard()[:48] + b"\x11" * 32

    with pytest.raises(errors.TooLarge):
        files_of(head + struct.pack("<IIQ", 1 << 31, (1 << 32) - 1, 0))


def test_a_list_of_files_of_eight_mebibytes_is_the_longest() -> None:
    parts = xet.FILE_SECTION_BYTES_MAX // 48
    head = shard()[:48] + b"\x11" * 32

    for count, is_verified in ((parts - 1, False), ((parts - 1) // 2, True)):
        flags = 1 << 31 if is_verified else 0
        xet.FileSection().feed(head + struct.pack("<IIQ", flags, count, 0))
        with pytest.raises(errors.TooLarge):
            xet.FileSection().feed(head + struct.pack("<IIQ", flags | 1 << 30, count + 1, 0))


def test_a_list_of_files_that_is_long_in_pieces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.xet.shard.FILE_SECTION_BYTES_MAX", 432)
    files = [(b"", [])] * 4

    assert 4 == len(files_of(shard(*files), 48))
    with pytest.raises(errors.TooLarge):
        files_of(shard(*files, (b"", [])), 48)


def test_nothing_behind_the_list_of_files_takes_memory() -> None:
    section = xet.FileSection()
    section.feed(shard((b"abc", [(ONE, 3, 0, 1)])))
    for _ in range(100):
        section.feed(b"x" * 1_000_000)

    assert 1 == len(section.files())


@given(content=st.binary(max_size=300), cut=st.integers(0, 400), place=st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_files_or_an_error_of_ours(content: bytes, cut: int, place: int) -> None:
    whole = shard((b"abc", [(ONE, 2, 0, 1), (TWO, 1, 3, 5)]))
    try:
        files = files_of((whole[:place] + content + whole[place:])[: cut or None], 64)
    except errors.ModelyardError:
        return

    assert all(segment.first < segment.end for file in files for segment in file.segments)


def test_more_files_than_a_commit_has_are_refused() -> None:
    files = [(b"", [])] * xet.FILES_MAX

    assert xet.FILES_MAX == len(files_of(shard(*files)))
    with pytest.raises(errors.InvalidValue, match="more than 1,000 files"):
        files_of(shard(*files, (b"", [])))
