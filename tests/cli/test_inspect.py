"""`modelyard inspect`, from arguments to exit code. What a file is, tests/inspection has; this is how it is told."""

import json
import struct
from pathlib import Path

import pytest

from modelyard.cli import run


def safetensors(path: Path, header: dict[str, object], body: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    tensor = {"dtype": "F16", "shape": [2, 768], "data_offsets": [0, 3072]}
    return safetensors(tmp_path / "a.safetensors", {"emb_params": tensor}, bytes(3072))


def test_a_sound_file_is_told_as_one_object(embedding: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["inspect", str(embedding), "--json"])
    told = json.loads(capsys.readouterr().out)

    assert (code, told["format"], told["verdict"]) == (0, "safetensors", "clean")
    assert (told["type"]["value"], told["base_model"]["value"]) == ("textualinversion", "SD 1.5")
    assert told["type"]["evidence"][0]["name"] == "emb_params"
    assert len(told["hashes"]["sha256"]) == 64


def test_without_hashes_only_the_header_is_read(embedding: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["inspect", str(embedding), "--json", "--no-hash"])

    assert (code, json.loads(capsys.readouterr().out)["hashes"]) == (0, None)


def test_a_person_reads_what_it_is_and_why(embedding: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["inspect", str(embedding)])
    shown = capsys.readouterr().out

    assert "textualinversion (99%)" in shown
    assert "tensor emb_params" in shown


def test_an_unknown_kind_of_model_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    code = run(["inspect", str(safetensors(tmp_path / "b.safetensors", {"strange": tensor}, bytes(4))), "--json"])

    assert (code, json.loads(capsys.readouterr().out)["type"]["value"]) == (0, "unknown")


def test_a_broken_file_is_refused_with_what_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}
    code = run(["inspect", str(safetensors(tmp_path / "c.safetensors", {"short": tensor}, bytes(4)))])

    assert code == 1
    assert "short" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["missing.safetensors", "."])
def test_what_cannot_be_read_is_one_line(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["inspect", str(tmp_path / given)])
    told = capsys.readouterr()

    assert (code, told.out, told.err.count("\n")) == (1, "", 1)
