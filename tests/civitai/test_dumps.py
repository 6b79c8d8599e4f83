"""Reading recorded answers from files and folders. Not here: what an answer becomes (test_civitai)."""

import gzip
import json
import lzma
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from modelyard.civitai.dumps import DAMAGED_ARCHIVE, EMPTY, NOT_READABLE, NOT_UTF8, TOO_LONG, find_files, read_paths
from modelyard.civitai.records import NOT_JSON
from modelyard.domain import Skipped
from modelyard.facts import Record
from tests.real_input import data_dir


def an_answer(number: int, **changes: Any) -> dict[str, Any]:
    files = [{"id": number, "name": "näme.safetensors", "type": "Model"}]
    version = {"id": number, "name": "v1", "files": files}
    return {"id": number, "name": "m", "type": "LORA", "tags": [], "modelVersions": [version]} | changes


def a_line(number: int) -> bytes:
    return json.dumps(an_answer(number), ensure_ascii=False).encode() + b"\n"


LINES = a_line(1) + a_line(2) + a_line(3)


def ids_of(*paths: Path, **limits: int) -> list[int | None]:
    outcomes = list(read_paths(paths, **limits))
    assert [str(outcome) for outcome in outcomes if isinstance(outcome, Skipped)] == []
    return [outcome.id for outcome in outcomes if isinstance(outcome, Record)]


def told(path: Path, **limits: int) -> list[int | tuple[str, str] | None]:
    """The ids, and for what was skipped its place below the folder and the reason."""
    return [
        (outcome.where.replace(f"{path.parent}{os.sep}", ""), outcome.reason)
        if isinstance(outcome, Skipped)
        else outcome.id
        for outcome in read_paths([path], **limits)
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps([an_answer(1), an_answer(2), an_answer(3)]).encode()),
        ("a.json", json.dumps([an_answer(1), an_answer(2), an_answer(3)], indent=1).encode()),
        (
            "a.json",
            json.dumps({"metadata": {}, "items": [an_answer(1), an_answer(2), an_answer(3)]}, indent=2).encode(),
        ),
        ("a.json", json.dumps({"items": [an_answer(1), an_answer(2), an_answer(3)]}).encode()),
        ("lines.json", LINES),
        ("a.jsonl", LINES),
        ("a.NDJSON", LINES),
        ("no line end.jsonl", LINES.rstrip()),
        ("carriage returns.jsonl", LINES.replace(b"\n", b"\r\n")),
        ("mark.jsonl", b"\xef\xbb\xbf" + LINES),
        ("mark.json", b"\xef\xbb\xbf" + json.dumps([an_answer(1), an_answer(2), an_answer(3)], indent=1).encode()),
        ("blank.jsonl", b"\n" + LINES.replace(b"\n", b"\n \r\n\n")),
        ("a.jsonl.gz", gzip.compress(LINES)),
        ("members.jsonl.gz", gzip.compress(a_line(1)) + gzip.compress(a_line(2) + a_line(3))),
        ("a.jsonl.xz", lzma.compress(LINES)),
        ("a.json.XZ", lzma.compress(json.dumps([an_answer(1), an_answer(2), an_answer(3)], indent=1).encode())),
    ],
)
def test_every_form_of_file_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    assert ids_of(path) == [1, 2, 3]
    assert ids_of(tmp_path) == [1, 2, 3]


def test_the_version_answer_beside_a_model_file_is_read(tmp_path: Path) -> None:
    version = an_answer(7)["modelVersions"][0] | {"modelId": 1, "model": {"name": "m", "type": "LORA"}}
    (tmp_path / "x.civitai.info").write_text(json.dumps(version, indent=4))

    assert ids_of(tmp_path) == [7]


def test_a_folder_is_read_with_all_below_it_in_sorted_order(tmp_path: Path) -> None:
    for number, name in enumerate(
        ["z.json", "b/2.json", "b/10.json", "a/deep/down/1.jsonl", "ignored.txt", "model.safetensors"]
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(a_line(number + 1))

    found = [str(path.relative_to(tmp_path)) for path in find_files([tmp_path])]

    assert found == ["z.json", "a/deep/down/1.jsonl", "b/10.json", "b/2.json"]
    assert ids_of(tmp_path) == [1, 4, 3, 2]


def test_a_loop_of_links_ends_and_a_linked_folder_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.json").write_bytes(a_line(1))
    (tmp_path / "in" / "back").symlink_to(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path / "in")

    assert ids_of(tmp_path) == [1]


def test_a_dangling_link_is_reported_and_a_pipe_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_bytes(a_line(1))
    (tmp_path / "2.json").symlink_to(tmp_path / "gone.json")
    os.mkfifo(tmp_path / "3.json")

    one, gone = read_paths([tmp_path])

    assert isinstance(one, Record)
    assert gone == Skipped(str(tmp_path / "2.json"), NOT_READABLE, "No such file or directory")


def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    path.mkdir()

    # A folder in place of a file, as far as opening goes: root may read any file, so modes cannot show it here.
    outcomes = list(read_paths([path / "missing.json"]))

    assert outcomes == [Skipped(str(path / "missing.json"), NOT_READABLE, "No such file or directory")]


def test_a_damaged_line_is_reported_by_its_number_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        a_line(1) + b'{"id": 2, "name": "cut\n' + b"\xff\xfe\n" + a_line(4) + b'{"hello":1}\n' + a_line(6)[:40]
    )

    assert told(path) == [
        1,
        ("a.jsonl:2", NOT_JSON),
        ("a.jsonl:3", NOT_JSON),
        4,
        ("a.jsonl:5", "not a Civitai answer"),
        ("a.jsonl:6", NOT_JSON),
    ]


def test_lines_in_a_json_file_whose_first_is_damaged_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"id": 1,\n' + a_line(2) + a_line(3))

    assert told(path) == [("a.json:1", NOT_JSON), 2, 3]


def test_a_damaged_record_of_a_page_is_reported_by_the_line_it_begins_on(tmp_path: Path) -> None:
    page = json.dumps([an_answer(1), an_answer(0), an_answer(3)], indent=1)
    path = tmp_path / "a.json"
    path.write_text(page)

    first, damaged, last = read_paths([path])

    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert isinstance(damaged, Skipped)
    line = 1 + page[: page.index("{", page.index('"id": 0') - 5)].count("\n")
    assert damaged.where == f"{path}:{line}: model 0"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"items": [\n{"id": 1},\n{"id": oops}\n]}', 3),
        (b'{"items": [\n{"id": 1},\n', 3),
        (b"<!DOCTYPE html>\n<p>", 1),
    ],
)
def test_a_damaged_document_is_reported_by_the_line_of_the_damage(tmp_path: Path, content: bytes, line: int) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)

    assert told(path) == [(f"a.json:{line}", NOT_JSON)]


@pytest.mark.parametrize(("name", "pack"), [("a.jsonl.gz", gzip.compress), ("a.jsonl.xz", lzma.compress)])
def test_a_truncated_archive_is_reported_after_what_it_still_holds(tmp_path: Path, name: str, pack: Any) -> None:
    path = tmp_path / name
    # Incompressible, so that half of the archive is about half of the lines.
    lines = b"".join(
        a_line(n).replace(b"}\n", b',"x":"' + os.urandom(500).hex().encode() + b'"}\n') for n in range(1, 2001)
    )
    whole = pack(lines)
    path.write_bytes(whole[: len(whole) // 2])

    *numbers, complaint = told(path)

    assert numbers == list(range(1, len(numbers) + 1))
    assert 900 < len(numbers) < 1100
    assert complaint == (f"{name}:{len(numbers)}", DAMAGED_ARCHIVE)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.xz"])
def test_what_is_no_archive_and_a_flipped_byte_in_one_are_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(LINES)
    assert told(path) == [(f"{name}:1", DAMAGED_ARCHIVE)]

    whole = bytearray(gzip.compress(LINES) if name.endswith("gz") else lzma.compress(LINES))
    whole[-5] ^= 0xFF
    path.write_bytes(whole)
    assert told(path)[-1][1] == DAMAGED_ARCHIVE


def test_a_gzip_whose_blocks_are_damaged_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    whole = bytearray(gzip.compress(LINES))
    whole[10] |= 0b110  # a kind of block that deflate does not have
    path.write_bytes(whole)

    assert [("a.jsonl.gz:1", DAMAGED_ARCHIVE)] == told(path)


def test_two_equal_damaged_records_are_reported_by_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n{"no": "model"},\n\n{"no": "model"}]')

    assert ["a.json:2", "a.json:4"] == [place for place, _ in told(path)]  # type: ignore[misc]  # all are skipped


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz"])
def test_an_empty_file_is_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")

    assert told(path) == [(name, EMPTY)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf16_is_reported_once(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(("\ufeff" if encoding == "utf-16-be" else "").encode(encoding) + LINES.decode().encode(encoding))

    assert told(path) == [("a.jsonl:1", NOT_UTF8)]


def test_a_line_longer_than_accepted_is_reported_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(a_line(1) + b'{"x":"' + b"x" * 9000 + b'"}\n' + a_line(3))

    assert told(path, line_bytes_max=1000) == [1, ("a.jsonl:2", TOO_LONG), 3]


def test_a_line_as_long_as_accepted_is_read_and_one_byte_more_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(a_line(1) + a_line(2))
    assert [1, 2] == told(path, line_bytes_max=len(a_line(1)))

    path.write_bytes(a_line(1) + a_line(2).replace(b"\n", b" \n") + a_line(3))
    assert [1, ("a.jsonl:2", TOO_LONG), 3] == told(path, line_bytes_max=len(a_line(1)))


def test_a_last_line_that_is_too_long_and_does_not_end_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(a_line(1) + b"[" * 9_000)

    assert [1, ("a.jsonl:2", TOO_LONG)] == told(path, line_bytes_max=1_000)


def test_a_first_line_longer_than_accepted_is_reported_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(a_line(1).removesuffix(b"\n") + b"  \n" + a_line(2))

    assert [("a.jsonl:1", TOO_LONG), 2] == told(path, line_bytes_max=len(a_line(1)) + 1)
    assert [1, 2] == told(path, line_bytes_max=len(a_line(1)) + 2)


def test_a_document_as_long_as_accepted_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([an_answer(1), an_answer(2)], indent=1))
    size = path.stat().st_size

    assert [1, 2] == told(path, document_bytes_max=size)
    assert [("a.json:1", TOO_LONG)] == told(path, document_bytes_max=size - 1)


def test_a_document_longer_than_accepted_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([an_answer(number) for number in range(1, 99)], indent=1))

    assert told(path, document_bytes_max=9000) == [("a.json:1", TOO_LONG)]
    assert len(ids_of(path)) == 98


def test_a_bomb_of_one_endless_line_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.xz"
    with lzma.open(path, "wb", preset=0) as bomb:
        for _ in range(64):
            bomb.write(b"[" * 2**20)

    tracemalloc.start()
    outcome = told(path, line_bytes_max=2**20)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert outcome == [("bomb.jsonl.xz:1", TOO_LONG)]
    assert peak_bytes < 16 * 2**20


def test_lines_are_read_as_they_come_not_collected(tmp_path: Path) -> None:
    """The writer of the pipe waits for the first record to be out before it writes the second."""
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    seen = threading.Event()

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            pipe.write(a_line(1))
            assert seen.wait(10)
            pipe.write(a_line(2))

    writer = threading.Thread(target=write)
    writer.start()
    records = read_paths([path])

    first = next(records)
    seen.set()
    assert isinstance(first, Record)
    assert [outcome.id for outcome in records if isinstance(outcome, Record)] == [2]
    writer.join()


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.jsonl.xz"])
def test_the_bytes_consumed_add_up_to_the_files_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    lines = b"".join(a_line(number) for number in range(1, 3000))
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(lines))
    steps: list[int] = []

    list(read_paths([path], consumed=steps.append))

    assert sum(steps) == path.stat().st_size
    assert min(steps) > 0


def test_all_recorded_answers_are_read() -> None:
    outcomes = list(read_paths([data_dir() / "civitai" / "answers"]))

    assert sum(isinstance(outcome, Record) for outcome in outcomes) == 75 + 4  # four of them guesses
    assert sum(isinstance(outcome, Skipped) for outcome in outcomes) == 5
