"""`modelyard inspect`, from arguments to exit code. What a file is, tests/inspection has; this is how it is told."""

import json
import os
import re
import struct
import zipfile
from pathlib import Path

import pytest

from modelyard.cli import run
from tests.inspection.made_files import write_safetensors


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


def test_a_person_reads_what_it_is_how_sure_that_is_and_why(
    embedding: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["inspect", str(embedding)])
    shown = capsys.readouterr().out

    assert "a.safetensors: textualinversion, probably for SD 1.5" == shown.partition("\n")[0]
    assert "textualinversion (99%)" in shown
    assert "emb_params: F16 [2, 768]" in shown
    assert "tensor emb_params" not in shown


def test_every_observation_is_shown_if_a_person_wants_it(embedding: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["inspect", str(embedding), "-v"])

    shown = capsys.readouterr().out
    assert "type, base model, architecture: tensor emb_params: F16 [2, 768] [embedding-768]" in shown
    assert 1 == len(re.findall(r"\nwhy ", shown))


def test_a_file_of_no_known_family_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_safetensors(tmp_path / "other.safetensors", {"other": ("F16", [8, 8])})

    run(["inspect", str(path), "--no-hash"])

    assert re.search("not found out +what it is: these tensors are of no family", capsys.readouterr().out)


def test_the_card_says_what_is_odd_about_a_file(
    embedding: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archive with nothing in it, a name that promises another format, and weights with code beside them."""
    with zipfile.ZipFile(tmp_path / "b.safetensors", "w") as archive:
        archive.writestr("notes.txt", "none")
    (tmp_path / "c.ckpt").write_bytes(embedding.read_bytes())

    run(["inspect", "--no-hash", *(str(tmp_path / name) for name in ("a.safetensors", "b.safetensors", "c.ckpt"))])
    plain, archive_card, misnamed = capsys.readouterr().out.split("\n\n")

    assert not re.search("\nname ", plain)
    assert archive_card.startswith("b.safetensors: a suspicious file of a kind that is not known")
    assert re.search("not found out +what it is: there are no tensors in it", archive_card)
    assert re.search("name +it ends with .safetensors, but the content is zip", archive_card)
    assert re.search("name +it ends with .ckpt, but the content is safetensors", misnamed)


def test_several_files_and_folders_are_one_json_object_a_line(
    embedding: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more").mkdir()
    for name in ("b.safetensors", "c.safetensors"):
        (tmp_path / "more" / name).write_bytes(embedding.read_bytes())

    code = run(["inspect", str(embedding), str(tmp_path / "more"), "--json", "--no-hash"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert 0 == code
    assert ["a.safetensors", "b.safetensors", "c.safetensors"] == [Path(row["path"]).name for row in rows]
    assert {"textualinversion"} == {row["type"]["value"] for row in rows}


def test_a_folder_in_shards_is_one_card_with_its_files(
    embedding: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for number in (1, 2):
        (folder / f"word-{number}-of-2.safetensors").write_bytes(embedding.read_bytes())

    assert 0 == run(["inspect", str(folder)])
    shown = capsys.readouterr().out
    assert 0 == run(["inspect", str(folder), str(embedding), "--json", "--no-hash"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert shown.startswith("word.safetensors: textualinversion, probably for SD 1.5")
    assert "file word-2-of-2.safetensors" in shown
    assert [["word-1-of-2.safetensors", "word-2-of-2.safetensors"], None] == [
        row.get("files") and [file["name"] for file in row["files"]] for row in rows
    ]


def test_the_note_or_name_that_chose_is_the_reason_and_one_that_contradicts_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = {"a.lora_down.weight": (8, 2048), "a.lora_up.weight": (640, 8)}
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    shapes = {f"{layer}{name[1:]}": ("F16", shape) for name, shape in tensors.items()}
    write_safetensors(tmp_path / "pony_cape.safetensors", shapes)
    write_safetensors(tmp_path / "flux1-dev_cape.safetensors", shapes)

    run(["inspect", "--no-hash", str(tmp_path)])
    shown = capsys.readouterr().out

    assert "pony_cape.safetensors: lora, perhaps for Pony" in shown
    assert re.search("why this base model +name of the file: .*pony_cape", shown)
    assert re.search("not followed +name of the file: .*flux1-dev_cape.*contradicts the tensors", shown)


def test_names_that_are_no_text_are_shown_and_written_as_json(
    embedding: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in (b"pony\xff.safetensors", b"m\xff-1-of-2.safetensors", b"m\xff-2-of-2.safetensors"):
        (folder / os.fsdecode(name)).write_bytes(embedding.read_bytes())

    assert 0 == run(["inspect", "--no-hash", str(folder)])
    assert 0 == run(["inspect", "--no-hash", "--json", str(folder)])
    shown = capsys.readouterr().out

    assert "file m\N{REPLACEMENT CHARACTER}-1-of-2.safetensors" in shown
    assert 2 == shown.count('{"path":')


def test_a_model_with_a_missing_file_says_what_it_is_and_what_is_missing(
    embedding: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "word-1-of-2.safetensors").write_bytes(embedding.read_bytes())

    code = run(["inspect", "--no-hash", str(tmp_path / "mine")])
    shown = capsys.readouterr()

    assert (1, True) == (code, "1 of 2 files is missing: word-2-of-2.safetensors" in shown.err)
    assert shown.out.startswith("word.safetensors: textualinversion, probably for SD 1.5, with files missing")


def test_one_broken_file_of_several_fails_and_the_others_are_shown(
    embedding: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "0.safetensors"
    broken.write_bytes(embedding.read_bytes()[:-1])

    code = run(["inspect", str(broken), str(embedding), "--no-hash"])
    shown = capsys.readouterr()

    assert 1 == code
    assert "textualinversion, probably for SD 1.5" in shown.out
    assert "0.safetensors" in shown.err


def test_an_empty_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == run(["inspect", str(tmp_path)])
    assert "has no model files" in capsys.readouterr().err


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
