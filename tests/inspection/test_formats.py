"""Each format by its first bytes, written out, and the edges of the rules that look at numbers.

Not covered here: what is inside a file of a format (tests/attacks, test_gguf.py, test_pickles.py).
"""

import io
import struct
import zipfile

import pytest

from modelyard.inspection.formats import HEAD_BYTES, TAIL_BYTES, FileFormat, Recognised, recognise


def recognised(content: bytes) -> Recognised:
    return recognise(io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"PK\x03\x04", "zip"),
        (b"PK\x05\x06" + bytes(18), "zip"),
        (b"GGUF", "gguf"),
        (b"lmgg", "ggml"),
        (b"fmgg", "ggml"),
        (b"tjgg", "ggml"),
        (b"\x93NUMPY\x01\0", "npy"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstandard"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"GIF87a", "image"),
        (b"GIF89a", "image"),
        (b"RIFF\x10\0\0\0WEBP", "image"),
        (b"\0\0\0\x20ftypavif", "image"),
        (b"\0\0\0\x20ftypheic", "image"),
        (b"\0\0\0\x20ftypisom", "video"),
        (b"\x1aE\xdf\xa3", "video"),
        (b"%PDF-1.7", "pdf"),
        (b"\x7fELF", "program"),
        (b"MZ\x90\0", "program"),
        (b"#!/bin/sh\n", "program"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (bytes(257) + b"ustar", "tar"),
        (b"\x80\x02}q\0.", "pickle"),
        (b"\x80\x03}q\0.", "pickle"),
        (b"\x80\x04}\x94.", "pickle"),
        (b"\x80\x05}\x94.", "pickle"),
        (b"\x80\x06}\x94.", "unknown"),
        (b"\x08\x01\x12\x07pytorch", "onnx"),
        (b"\x08\x14\x3a\x05", "onnx"),
        (b"\x08\x0a\x42\x05", "onnx"),
        (b"\x08\x15\x3a\x05", "unknown"),
        (b"<!DOCTYPE html>", "html"),
        (b"<html>", "html"),
        (b"<div class=x>", "html"),
        (b"<?xml version='1.0'?>", "xml"),
        (b"<Error><Code>", "xml"),
        (b'{"error": 1}', "json"),
        (b" \n[1, 2]", "json"),
        (b"a prompt\n", "text"),
        (b"a bell \x07", "unknown"),
        (b"latin \xe4", "unknown"),
        (b"", "empty"),
    ],
)
def test_a_format_is_known_by_its_bytes(start: bytes, name: str) -> None:
    assert name == recognised(start).format


@pytest.mark.parametrize(
    "opening", [bytes([code]) for code in b"(]})cGIJKLMNSTUVXPQi\x80\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x95\x96"]
)
def test_bytes_of_no_format_that_begin_with_an_opcode_are_walked_as_a_pickle(opening: bytes) -> None:
    assert Recognised(FileFormat.UNKNOWN, (), maybe_pickle=True) == recognised(opening + b"\xff\0")


@pytest.mark.parametrize("opening", [b"\0", b".", b"R", b"\x81", b"\xff"])
def test_bytes_that_no_pickle_begins_with_are_not_walked(opening: bytes) -> None:
    assert not recognised(opening + b"\xff\0").maybe_pickle


@pytest.mark.parametrize(
    ("length", "following", "is_claimed"),
    [
        (0, b"{", False),
        (1, b"{", True),
        ((1 << 48) - 1, b"{", True),
        (1 << 48, b"{", False),
        (640, b"{", True),  # begins with 80 02, as a pickle does
        (640, b"[", False),
        (640, b"", False),
    ],
)
def test_safetensors_is_a_length_that_can_be_one_and_a_brace(length: int, following: bytes, is_claimed: bool) -> None:
    assert is_claimed == (recognised(struct.pack("<Q", length) + following).format == FileFormat.SAFETENSORS)


def test_text_is_text_where_the_bytes_looked_at_end_inside_a_character() -> None:
    for before in range(4):
        assert FileFormat.TEXT == recognised(b"a" * (HEAD_BYTES - before) + "花".encode() * 9).format


def zipped(comment: bytes = b"", members: int = 1) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(members):
            archive.writestr(f"member {number}", b"content")
        archive.comment = comment
    return out.getvalue()


BEFORE = b"\x1f\x8b\x08" + bytes(100)


def test_a_zip_at_a_files_end_is_seen_with_the_longest_comment() -> None:
    for comment in (b"", b"a comment", b"x" * 65_535):
        assert (FileFormat.ZIP,) == recognised(BEFORE + zipped(comment)).also


def test_a_zip_whose_directory_begins_before_the_tail_is_seen() -> None:
    content = BEFORE + zipped(members=1_500)
    at = content.index(b"PK\x01\x02")

    assert len(content) - at > TAIL_BYTES
    assert (FileFormat.ZIP,) == recognised(content).also


def test_the_bytes_of_an_end_record_inside_a_comment_do_not_hide_the_zip() -> None:
    assert (FileFormat.ZIP,) == recognised(BEFORE + zipped(b"a PK\x05\x06 comment" + bytes(30))).also
    assert (FileFormat.ZIP,) == recognised(BEFORE + zipped(b"PK\x05\x06")).also


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (20, struct.pack("<H", 1)),  # a comment of one byte that is not there
        (10, struct.pack("<H", 0)),  # no members
        (10, struct.pack("<H", 2)),  # more members than the directory has room for
        (12, struct.pack("<I", 40)),  # a directory shorter than its members need
        (12, struct.pack("<I", 1 << 30)),  # a directory longer than the file
        (12, struct.pack("<I", 55)),  # a directory that begins elsewhere than its signature
    ],
)
def test_an_end_record_whose_numbers_do_not_fit_is_no_zip(at: int, value: bytes) -> None:
    content = bytearray(BEFORE + zipped())
    record = content.rindex(b"PK\x05\x06")
    content[record + at : record + at + len(value)] = value

    assert () == recognised(bytes(content)).also


def test_an_end_record_that_is_cut_off_is_no_zip() -> None:
    assert () == recognised(BEFORE + zipped()[:-1]).also
