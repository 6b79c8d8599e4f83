"""The six hashes, against their definitions computed the slow way; progress, bounded memory, and files that change."""

import hashlib
import io
import os
import threading
import zlib
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.inspection import FileChanged, FileHashes, Hasher, hash_file
from modelyard.inspection.hashing import BLOCK_BYTES, check_unchanged, hash_reader
from tests.inspection.made_files import frame, header_bytes

MIB = 1 << 20


def slowly(content: bytes) -> FileHashes:
    """The definitions, read off."""
    sha256 = hashlib.sha256(content).hexdigest().upper()
    length = int.from_bytes(content[:8], "little")
    has_header = len(content) > 8 and content[8:9] == b"{" and 8 + length <= len(content)
    return FileHashes(
        sha256=sha256,
        autov1=hashlib.sha256(content[MIB : MIB + 65_536]).hexdigest()[:8].upper() if len(content) >= 2 * MIB else None,
        autov2=sha256[:10],
        autov3=hashlib.sha256(content[8 + length :]).hexdigest().upper() if has_header else None,
        blake3=blake3(content).hexdigest().upper(),
        crc32=f"{zlib.crc32(content):08X}",
    )


def sound(body: int) -> bytes:
    raw, _ = header_bytes({"a": ("U8", [body])})
    return frame(raw, (b"modelyard" * (body // 9 + 1))[:body])


@pytest.mark.parametrize(
    "size",
    [0, 1, 8, 9, 65_536, MIB - 1, MIB, MIB + 1, 2 * MIB - 200, 2 * MIB - 1, 2 * MIB, 2 * MIB + 65_537, 5 * MIB + 3],
)
def test_hashes_of_a_file_are_the_definitions(size: int, tmp_path: Path) -> None:
    for content in (sound(size), b"x" * size):
        path = tmp_path / "model"
        path.write_bytes(content)

        assert slowly(content) == hash_file(path)


def test_a_header_that_ends_behind_the_file_gives_no_autov3(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for length, has_header in ((2, True), (3, False), (100_000_001, False)):
        path.write_bytes(length.to_bytes(8, "little") + b"{}")

        assert has_header == (hash_file(path).autov3 is not None)


def test_no_more_bytes_are_hashed_than_were_asked_for() -> None:
    """A file may grow as fast as it is read."""
    content = sound(3 * MIB)

    assert slowly(content[: 2 * MIB + 5]) == hash_reader(io.BytesIO(content), 2 * MIB + 5)


def test_a_header_longer_than_a_block_is_left_out_of_autov3(tmp_path: Path) -> None:
    content = frame(b"{}" + b" " * (3 * BLOCK_BYTES + 77), b"")
    path = tmp_path / "model"
    path.write_bytes(content)

    assert slowly(content) == hash_file(path)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 700_000), max_size=8), head=st.sampled_from([b"", b"\x00" * 20, b"{}"]))
def test_pieces_of_any_size_give_the_hashes_of_the_whole(cuts: list[int], head: bytes) -> None:
    content = head + sound(3 * MIB)
    with Hasher() as hasher:
        at = 0
        for cut in cuts:
            hasher.update(memoryview(content)[at : at + cut])
            at += cut
        hasher.update(content[at:])

        assert len(content) == hasher.size_bytes
        assert slowly(content) == hasher.finish()


def test_the_threads_of_a_hasher_end_with_it() -> None:
    before = threading.active_count()
    with Hasher() as hasher:
        hasher.update(bytes(3 * BLOCK_BYTES))
        assert threading.active_count() > before

    assert before == threading.active_count()
    with pytest.raises(ValueError, match="no bytes after"):
        hasher.update(b"more")


def test_progress_adds_up_to_the_size(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(3 * MIB + 5))
    steps: list[int] = []

    hash_file(path, steps.append)

    assert 3 * MIB + 5 == sum(steps)
    assert len(steps) >= 4


def test_an_error_of_the_progress_callback_ends_the_threads(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(20 * MIB))
    before = threading.active_count()
    seen = []

    def stop(count: int) -> None:
        seen.append(count)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_file(path, stop)

    assert before == threading.active_count()


@pytest.mark.parametrize("change", ["grown", "cut", "rewritten", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_hashed_is_not_recorded(change: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(4 * MIB))
    os.utime(path, (1, 1))

    def disturb(_: int) -> None:
        if change == "grown":
            with path.open("ab") as file:
                file.write(b"more")
        elif change == "cut":
            os.truncate(path, 3 * MIB)
        elif change == "rewritten":
            with path.open("r+b") as file:
                file.write(b"other")
        elif change == "replaced":
            (tmp_path / "other").write_bytes(bytes(4 * MIB))
            os.utime(tmp_path / "other", (1, 1))
            (tmp_path / "other").rename(path)
        else:
            path.unlink(missing_ok=True)

    with pytest.raises(FileChanged, match="changed while it was read"):
        hash_file(path, disturb)


def test_a_file_that_was_only_read_meanwhile_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"abc")
    before = path.stat()
    path.read_bytes()

    check_unchanged(path, before)
