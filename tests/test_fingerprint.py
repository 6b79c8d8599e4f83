"""When two fingerprints say that a file is still the same one.

Not covered here: what follows where it is not (tests/library, tests/inspection/test_hashing.py).
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.fingerprint import Fingerprint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "night.safetensors"
    path.write_bytes(b"weights")
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    return path


def test_a_path_a_descriptor_and_a_stat_give_the_same_fingerprint(file: Path) -> None:
    status = file.stat()
    expected = Fingerprint(7, 1_700_000_000_123_456_789, status.st_ino, status.st_ctime_ns)
    with file.open("rb") as opened:
        by_descriptor = Fingerprint.of(opened.fileno())

    assert [expected] * 5 == [
        Fingerprint.of(file),
        Fingerprint.of(os.fsencode(file)),
        Fingerprint.of(status),
        Fingerprint.find(file),
        by_descriptor,
    ]


def _append(file: Path) -> None:
    before = file.stat()
    file.write_bytes(file.read_bytes() + b"!")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _touch(file: Path) -> None:
    os.utime(file, ns=(1, 1_700_000_000_123_456_790))


def _replace_by_copy(file: Path) -> None:
    before = file.stat()
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


def _write_and_put_times_back(file: Path) -> None:
    before = file.stat()
    time.sleep(0.02)  # a file system notes times in steps of up to ten milliseconds
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [_append, _touch, _replace_by_copy, _write_and_put_times_back])
def test_another_size_time_or_inode_is_another_file(file: Path, change: Callable[[Path], None]) -> None:
    before = Fingerprint.of(file)
    change(file)

    assert before != Fingerprint.of(file)
    assert not Fingerprint.of(file).is_as_recorded(before)


def test_a_renamed_file_has_the_same_name_of_its_own(file: Path) -> None:
    before = Fingerprint.of(file)
    renamed = file.rename(file.with_name("day.safetensors"))

    assert before.name == Fingerprint.of(renamed).name
    assert (before.size_bytes, before.mtime_ns, before.inode) == before.name


def test_a_record_without_a_change_time_is_believed(file: Path) -> None:
    recorded = Fingerprint.of(file)._replace(ctime_ns=None)
    unchanged = Fingerprint.of(file).is_as_recorded(recorded)
    _touch(file)

    assert (unchanged, Fingerprint.of(file).is_as_recorded(recorded)) == (True, False)


def test_a_file_that_cannot_be_reached_has_no_fingerprint(file: Path) -> None:
    file.unlink()

    assert Fingerprint.find(file) is None
    with pytest.raises(FileNotFoundError):
        Fingerprint.of(file)


def test_a_version_is_a_size_and_a_time(file: Path) -> None:
    fingerprint = Fingerprint.of(file)

    assert fingerprint.has_version(7, 1_700_000_000_123_456_789)
    assert not fingerprint.has_version(8, 1_700_000_000_123_456_789)
    assert not fingerprint.has_version(7, 1_700_000_000_123_456_788)
