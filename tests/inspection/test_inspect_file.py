"""One look at a file: what comes out, and what becomes of files that are odd, unreadable or changing.

Not covered here: what is inside the files (tests/attacks, test_recorded.py).
"""

import json
import os
import random
import struct
import time
from pathlib import Path

import pytest

from modelyard.errors import UnsupportedFile
from modelyard.inspection import THUMBNAIL, FileChanged, inspect_file, thumbnail_of
from tests.attacks.pickles import zipped
from tests.inspection.made_files import frame, gguf, header_bytes, state_dict_pickle, write_safetensors

LORA = {
    f"lora_unet_down_blocks_{block}_attentions_0_transformer_blocks_0_attn2_to_k.lora_{end}.weight": ("F16", shape)
    for block in range(3)
    for end, shape in (("down", [4, 768]), ("up", [320, 4]))
}


def test_the_answer_has_the_documented_shape(tmp_path: Path) -> None:
    notes = {"ss_tag_frequency": json.dumps({"10_hero": {"hero": 20, "cape": 20, "sky": 3}}), "ss_output_name": "hero"}
    path = write_safetensors(tmp_path / "model.safetensors", LORA, notes)

    told = inspect_file(path).to_json()

    assert ("safetensors", "clean") == (told["format"], told["verdict"])
    for name, value in (("type", "lora"), ("base_model", "SD 1.5"), ("base_model_type", "unknown")):
        finding = told[name]
        assert isinstance(finding, dict)
        assert {"value", "confidence", "evidence"} <= finding.keys()
        assert value == finding["value"]
    assert ["hero", "cape"] == told["trigger_words"]
    assert {"sha256", "autov1", "autov2", "autov3", "blake3", "crc32"} == set(told["hashes"])  # type: ignore[call-overload]  # it is a dict
    assert 3 * (4 * 768 + 320 * 4) == told["parameters"]
    assert told == json.loads(json.dumps(told))


def test_without_hashes_only_the_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {f"layer.{number}": ("F16", [1024, 1024]) for number in range(3_500)})
    assert path.stat().st_size > 7_000_000_000
    inspect_file(path, with_hashes=False)
    started = time.thread_time()

    found = inspect_file(path, with_hashes=False)

    assert found.hashes is None
    # The body is a hole of 7 GB: reading it would take seconds. The figure to keep is in benchmarks/inspect.py.
    assert time.thread_time() - started < 1


def test_autov3_is_told_for_safetensors_only(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)
    other = tmp_path / "other.bin"
    other.write_bytes(struct.pack("<Q", 2) + b"{]" + bytes(64))

    sound, broken = inspect_file(path).hashes, inspect_file(other).hashes

    assert sound is not None
    assert sound.autov3 is not None
    assert broken is not None
    assert broken.autov3 is not None  # recognised as safetensors, and broken: the hash is of what follows the header
    other.write_bytes(b"GGUF" + bytes(100))
    gguf = inspect_file(other).hashes
    assert gguf is not None
    assert gguf.autov3 is None


def test_the_name_of_a_file_decides_nothing(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)
    told = inspect_file(path).to_json()
    for name in ("model.ckpt", "model", "model.html", "модель 模型.part"):
        renamed = path.rename(tmp_path / name)

        assert told == inspect_file(renamed).to_json()

        path = renamed


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)
    odd = os.fsencode(tmp_path) + b"/m\xff\xfe.safetensors"
    os.rename(path, odd)  # noqa: PTH104  # a path of bytes

    assert "lora" == inspect_file(os.fsdecode(odd)).identity.type.value
    assert "lora" == inspect_file(Path(os.fsdecode(odd))).identity.type.value


PNG = "iVBORw0KGgo="


@pytest.mark.parametrize(
    ("text", "picture"),
    [
        (f"data:image/png;base64,{PNG}", b"\x89PNG\r\n\x1a\n"),
        ("data:image/png;base64,", b""),
        (f"data:image/png,{PNG}", None),
        (f"data:text/html;base64,{PNG}", None),
        (f"data:image/png;base64,{PNG}!", None),
        ("data:image/png;base64,abc", None),
        (PNG, None),
        ("", None),
    ],
)
def test_the_picture_of_a_header_is_what_its_text_holds(text: str, picture: bytes | None, tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA, {THUMBNAIL: text})

    assert picture == thumbnail_of(path)


def test_what_is_no_safetensors_file_has_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").write_bytes(b"{}")

    assert (None, None) == (thumbnail_of(tmp_path / "pipe"), thumbnail_of(tmp_path / "broken"))


def test_a_sound_file_that_is_a_harmless_zip_as_well_is_suspicious_and_lists_its_imports(tmp_path: Path) -> None:
    inner = zipped({"archive/data.pkl": state_dict_pickle({"a": ("F16", [4])})})
    raw, _ = header_bytes({"a": ("U8", [len(inner)])})
    (tmp_path / "both.safetensors").write_bytes(frame(raw, inner))
    (tmp_path / "one.pt").write_bytes(inner)

    found, alone = inspect_file(tmp_path / "both.safetensors"), inspect_file(tmp_path / "one.pt")

    assert ("safetensors", "suspicious", ("zip",)) == (found.format, found.verdict, found.also)
    assert ("clean", ()) == (alone.verdict, alone.also)
    assert ("collections.OrderedDict", "torch.HalfStorage", "torch._utils._rebuild_tensor_v2") == found.imports


@pytest.mark.parametrize("name", ["model.safetensors", "model.SFT"])
@pytest.mark.parametrize("content", [b"", b"\0\1\2"])
def test_what_is_named_safetensors_is_told_what_it_lacks_to_be_one(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "model.pt").write_bytes(content)

    assert f"as safetensors: header length: needs 8 bytes, the file has {len(content)}" in (
        inspect_file(tmp_path / name).reason
    )
    assert "as safetensors" not in inspect_file(tmp_path / "model.pt").reason


def test_bytes_that_begin_as_an_empty_header_have_no_autov3(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(8) + b"{}" + bytes(64))
    found = inspect_file(path)

    assert found.hashes is not None
    assert ("unknown", None) == (found.format, found.hashes.autov3)


def test_metadata_without_a_tensor_is_shown_and_says_nothing_of_the_kind(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(frame(b'{"__metadata__": {"ss_base_model_version": "sdxl"}}'))
    empty = inspect_file(path)

    assert ("clean", {"ss_base_model_version": "sdxl"}) == (empty.verdict, empty.metadata)
    assert not empty.identity.base_model.is_known


def test_the_limit_of_the_header_is_the_callers_for_gguf_too(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf({}, {"general.name": "x" * 100}))

    assert "clean" == inspect_file(path).verdict
    refused = inspect_file(path, header_limit_bytes=100)
    assert ("error", True) == (refused.verdict, "over its limit" in refused.reason)


def test_a_symlink_is_followed_and_a_loop_is_an_error(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)
    link, loop = tmp_path / "link", tmp_path / "loop"
    link.symlink_to(path)
    loop.symlink_to(loop)

    assert "lora" == inspect_file(link).identity.type.value
    with pytest.raises(OSError, match="symbolic links"):
        inspect_file(loop)


def test_a_missing_file_and_a_folder_are_errors_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect_file(tmp_path / "none")
    with pytest.raises((IsADirectoryError, UnsupportedFile)):
        inspect_file(tmp_path)


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(UnsupportedFile, match="regular"):
        inspect_file(tmp_path / "pipe")


def test_an_unreadable_file_is_an_os_error(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser reads everything
        assert "lora" == inspect_file(path).identity.type.value
    else:
        with pytest.raises(PermissionError):
            inspect_file(path)


def test_a_file_that_grows_while_it_is_inspected_is_tried_again_later(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(FileChanged):
        inspect_file(path, on_bytes=grow)


def test_a_download_that_is_not_finished_is_broken_and_says_where(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)
    whole = path.stat().st_size
    for size in (0, 5, 200, whole - 1):
        os.truncate(path, size)
        found = inspect_file(path)

        assert ("error", False) == (found.verdict, found.is_sound)
        assert found.reason
        write_safetensors(path, LORA)


def test_the_limit_of_the_header_is_the_callers(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", LORA)
    raw, _ = header_bytes(LORA)

    assert "clean" == inspect_file(path, header_limit_bytes=len(raw)).verdict
    refused = inspect_file(path, header_limit_bytes=len(raw) - 1)
    assert "error" == refused.verdict
    assert "over the limit" in refused.reason


def test_a_sound_header_of_any_length_is_clean(tmp_path: Path) -> None:
    """A length's bytes are opcodes by chance: 0x18d28 announces a text of 2 EiB, 0x82 an extension code."""
    rng = random.Random(19)
    lengths = [0x18D28, 0x58, 0x1_8A58, *range(0x400, 0x500), *(rng.randrange(0x60, 150_000) for _ in range(250))]
    path = tmp_path / "model.safetensors"
    raw, body = header_bytes({"c.S.V.weight": ("F16", [4, 8])})
    tensor = rng.randbytes(body)

    verdicts = {}
    for length in lengths:
        if length >= len(raw):
            path.write_bytes(frame(raw.ljust(length), tensor))
            verdicts[length] = inspect_file(path, with_hashes=False).reason

    assert {"a sound safetensors frame"} == set(verdicts.values())
