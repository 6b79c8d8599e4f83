"""A probe of one file: what it reads, and that each failure is a result."""

import os
from pathlib import Path

import pytest

from modelyard.fingerprint import Fingerprint
from modelyard.inspection import hash_file
from modelyard.library.probe import ProbeResult, probe
from modelyard.library.walk import scan
from modelyard.store.files import FileState
from tests.inspection.made_files import frame
from tests.scan_fixture import embedding


def probe_file(path: Path, *, with_hashes: bool = True) -> ProbeResult:
    (file,) = scan([os.fsencode(path)]).files
    return probe(file, with_hashes=with_hashes)


def test_a_file_without_tensors_has_no_autov3_that_others_share(tmp_path: Path) -> None:
    path = tmp_path / "empty.safetensors"
    path.write_bytes(frame(b'{"__metadata__": {"a": "b"}}    '))

    assert "E3B0C44298FC1C14" == (hash_file(path).autov3 or "")[:16]
    assert probe_file(path).autov3 is None


def test_a_sound_file_has_its_hashes_and_the_fingerprint_that_was_read(tmp_path: Path) -> None:
    path = embedding(tmp_path / "night.safetensors")
    result, without = probe_file(path), probe_file(path, with_hashes=False)

    hashes = hash_file(path)
    assert (FileState.PRESENT, "clean", hashes.sha256.lower(), hashes.autov3) == (
        result.state,
        result.verdict,
        result.sha256,
        result.autov3,
    )
    assert Fingerprint.of(path) == result.file.fingerprint
    assert (None, None) == (without.sha256, without.autov3)


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    (file,) = scan([os.fsencode(embedding(tmp_path / "a.safetensors"))]).files
    (tmp_path / "a.safetensors").unlink()

    assert ProbeResult(file, FileState.MISSING, reason="it is gone") == probe(file, with_hashes=True)


def test_a_file_that_cannot_be_read_is_broken_and_no_model(tmp_path: Path) -> None:
    (file,) = scan([os.fsencode(embedding(tmp_path / "a.safetensors"))]).files
    (tmp_path / "a.safetensors").unlink()
    (tmp_path / "a.safetensors").symlink_to("a.safetensors")

    result = probe(file, with_hashes=True)

    assert (FileState.BROKEN, False) == (result.state, result.is_model)
    assert result.reason.startswith("cannot be read: ")


@pytest.mark.parametrize("with_hashes", [True, False])
def test_a_file_that_changes_while_it_is_read_is_read_again_later(tmp_path: Path, with_hashes: bool) -> None:
    path = embedding(tmp_path / "a.safetensors")
    (file,) = scan([os.fsencode(path)]).files

    def change(_: int) -> None:
        os.utime(path, ns=(1, 1))

    result = probe(file, with_hashes=with_hashes, on_bytes=change)

    assert (FileState.CHANGED if with_hashes else FileState.PRESENT) is result.state
