"""Which members of an archive no weights need, as tables."""

import pytest

from modelyard.inspection.member_kinds import find_problem

PROGRAM, PACKED = "a program, which weights do not need", "a packed file, which is not looked into"


@pytest.mark.parametrize(
    "extension", ["py", "pyc", "so", "dll", "dylib", "exe", "sh", "bat", "ps1", "js", "jar", "class", "whl", "hta"]
)
def test_a_program_is_known_by_its_name(extension: str) -> None:
    assert PROGRAM == find_problem(f"archive/data/A.{extension.upper()}", b"")


@pytest.mark.parametrize("extension", ["gz", "tgz", "bz2", "xz", "zst", "lz4", "7z", "rar", "tar"])
def test_a_packed_file_is_known_by_its_name(extension: str) -> None:
    assert PACKED == find_problem(f"a.{extension}", b"")


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        (b"\x7fELF\x02", PROGRAM),
        (b"\xcf\xfa\xed\xfe", PROGRAM),
        (b"\xca\xfe\xba\xbe", PROGRAM),
        (b"#!/bin/s", PROGRAM),
        (b"#! /bin", ""),
        (b"\x1f\x8b\x08\x00", PACKED),
        (b"\x1f\x8b\x07", ""),
        (b"BZh91AY", PACKED),
        (b"\xfd7zXZ\x00", PACKED),
        (b"7z\xbc\xaf\x27\x1c", PACKED),
        (b"\x28\xb5\x2f\xfd", PACKED),
        (b"Rar!\x1a\x07", PACKED),
        (b"\x80\x02}q\x00.", ""),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("name", ["data.pkl", "archive/data/x", "data/1/x"])
def test_other_members_are_known_by_their_first_bytes(name: str, start: bytes, problem: str) -> None:
    assert problem == find_problem(name, start)


@pytest.mark.parametrize("name", ["data/17", "archive/data/0", "a/b/DATA/3"])
def test_the_numbers_of_a_tensor_may_begin_with_any_bytes(name: str) -> None:
    assert "" == find_problem(name, b"\x7fELF")
