"""Files that are assembled of chunks: in order, from many xorbs, from another machine, within limits.

Not covered here: the formats (tests/xet), and how the chunks come (tests/web/hub/test_writes.py).
"""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard import errors
from modelyard.blobs import IncomingFiles
from modelyard.store.uploads import Upload
from modelyard.uploads.assembly import SEGMENTS, Assembler, encode_segments, xorb_upload_id
from modelyard.xet import Segment
from tests.xet_files import xorb

TEAM = "red"
FILE = "f" * 32


class SharedFiles:
    """A store that all machines share, with the uploads that other machines received."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def uploaded_size(self, name: str) -> int | None:
        return len(self.contents[name]) if name in self.contents else None

    def fetch_uploaded(self, name: str, path: Path) -> None:
        self.fetched.append(name)
        path.write_bytes(self.contents[name])


class Bench:
    def __init__(self, folder: Path) -> None:
        self.incoming = IncomingFiles(folder)
        self.shared = SharedFiles()
        self.folder = folder

    def receive(self, name: str, *chunks: bytes) -> None:
        upload_id = xorb_upload_id(TEAM, name)
        self.incoming.create(upload_id, 0)
        self.incoming.path(upload_id).write_bytes(xorb(*chunks))

    def assemble(self, *segments: Segment, allow: Callable[[int], Any] = lambda _: None) -> bytes:
        upload = Upload(
            id=FILE,
            team=TEAM,
            kind="hub",
            declared={SEGMENTS: encode_segments(segments)},
            created_at=0,
            expires_at=0,
            length_bytes=sum(segment.size_bytes for segment in segments),
        )
        Assembler(self.shared, self.incoming).assemble(upload, allow)  # type: ignore[arg-type] # it asks for uploads only
        return self.incoming.path(FILE).read_bytes()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def name_of(number: int) -> str:
    return f"{number:064x}"


def test_a_file_of_more_xorbs_than_are_open_at_once_is_in_order(bench: Bench) -> None:
    chance = random.Random(7)
    contents = {n: [bytes([n]) * (k + 1) for k in range(5)] for n in range(7)}
    for number, chunks in contents.items():
        bench.receive(name_of(number), *chunks)
    segments, expected = [], b""
    for _ in range(40):
        number, first = chance.randrange(7), chance.randrange(5)
        end = chance.randrange(first + 1, 6)
        part = b"".join(contents[number][first:end])
        segments.append(Segment(name_of(number), len(part), first, end))
        expected += part
    before = len([*Path("/proc/self/fd").iterdir()])

    assert expected == bench.assemble(*segments) == bench.assemble(*segments)
    assert before == len([*Path("/proc/self/fd").iterdir()])


def test_a_segment_of_several_megabytes_is_written_whole(bench: Bench) -> None:
    chunks = [os.urandom(1 << 17) for _ in range(20)]
    bench.receive(name_of(1), *chunks)

    assert b"".join(chunks[1:]) == bench.assemble(Segment(name_of(1), 19 << 17, 1, 20))


def test_an_assembled_file_has_no_hash_before_it_is_verified(bench: Bench) -> None:
    bench.receive(name_of(1), b"abc")
    bench.assemble(Segment(name_of(1), 3, 0, 1))

    assert bench.incoming.sha256(FILE, 3) is None


def test_a_xorb_that_another_machine_received_is_fetched_once(bench: Bench) -> None:
    upload_id = xorb_upload_id(TEAM, name_of(1))
    bench.shared.contents[upload_id] = xorb(b"abc", b"de")
    bench.receive(name_of(2), b"x")
    segments = [Segment(name_of(1), 3, 0, 1), Segment(name_of(2), 1, 0, 1), Segment(name_of(1), 2, 1, 2)]

    assert b"abcxde" == bench.assemble(*segments)
    assert [upload_id] == bench.shared.fetched


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (Segment(name_of(2), 3, 0, 1), f"the xorb {name_of(2)} is not here any more; upload the file again"),
        (
            Segment(name_of(1), 3, 0, 3),
            f"shard: a segment ends at chunk 3; the xorb {name_of(1)} has 2",
        ),
        (Segment(name_of(1), 6, 0, 2), "shard: a segment of 6 bytes, whose chunks have 5"),
        (Segment(name_of(1), 4, 0, 2), "shard: a segment of 4 bytes, whose chunks have 5"),
    ],
)
def test_segments_that_do_not_fit_are_refused_before_their_bytes_are_written(
    bench: Bench, segment: Segment, message: str
) -> None:
    bench.receive(name_of(1), b"abc", b"de")
    with pytest.raises(errors.InvalidValue) as refused:
        bench.assemble(Segment(name_of(1), 5, 0, 2), segment)

    assert message == refused.value.message
    assert b"abcde" == bench.incoming.path(FILE).read_bytes()


def test_the_bytes_of_each_segment_are_allowed_before_they_are_written(bench: Bench) -> None:
    bench.receive(name_of(1), b"abc", b"de")
    sizes: list[int] = []

    def allow(size_bytes: int) -> None:
        sizes.append(size_bytes)
        if len(sizes) == 2:
            raise errors.TooLarge("the file", 3)

    with pytest.raises(errors.TooLarge):
        bench.assemble(Segment(name_of(1), 3, 0, 1), Segment(name_of(1), 2, 1, 2), allow=allow)

    assert ([3, 2], b"abc") == (sizes, bench.incoming.path(FILE).read_bytes())


def test_a_team_has_xorbs_of_its_own() -> None:
    ids = {xorb_upload_id(team, name_of(n)) for team in ("red", "blue") for n in (1, 2)}

    assert (4, {32}) == (len(ids), {len(upload_id) for upload_id in ids})
