"""Pictures with a workflow or parameters in them."""

import json
import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modelyard import errors
from modelyard.workflows import Need, read_needs
from tests.pictures import picture

GRAPH = json.dumps({"nodes": [{"id": 1, "type": "VAELoader", "widgets_values": ["a.pt"]}]})
API_GRAPH = json.dumps({"2": {"class_type": "VAELoader", "inputs": {"vae_name": "a.pt"}}})
PARAMETERS = "a cat <lora:glow:1>\nSteps: 20, Sampler: Euler, Model hash: 0123456789, Model: base"
FROM_PARAMETERS = [Need("glow", "loras"), Need("base", "checkpoints", ("0123456789",))]
MAKE, MODEL, DESCRIPTION, EXIF_IFD, USER_COMMENT = 0x010F, 0x0110, 0x010E, 0x8769, 0x9286
PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(texts: dict[str, str], *, packed: bool = False, international: bool = False) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        (info.add_itxt if international else info.add_text)(name, text, zip=packed)
    saved = BytesIO()
    Image.new("RGB", (8, 8)).save(saved, "PNG", pnginfo=info)
    return saved.getvalue()


def with_exif(kind: str, fields: dict[int, str], comment: bytes | None = None) -> bytes:
    exif = Image.Exif()
    for tag, text in fields.items():
        exif[tag] = text
    if comment is not None:
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = comment
    saved = BytesIO()
    Image.new("RGB", (8, 8)).save(saved, kind, exif=exif)
    return saved.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("international", [False, True])
def test_a_png_has_its_workflow_in_any_kind_of_text(*, packed: bool, international: bool) -> None:
    body = png({"prompt": API_GRAPH, "workflow": GRAPH}, packed=packed, international=international)

    assert [*read_needs(body)] == [Need("a.pt", "vae", nodes=("1", "2"))]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_other_pictures_have_their_workflow_in_exif(kind: str) -> None:
    body = with_exif(kind, {MAKE: f"workflow:{GRAPH}", MODEL: f"prompt:{API_GRAPH}"})

    assert [*read_needs(body)] == [Need("a.pt", "vae", nodes=("1", "2"))]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + PARAMETERS.encode("utf-16-be"),
        b"UNICODE\0" + PARAMETERS.encode("utf-16-le"),
        b"UNICODE\0" + PARAMETERS.encode("utf-16"),
        b"ASCII\0\0\0" + PARAMETERS.encode(),
        PARAMETERS.encode(),
    ],
    ids=["big", "little", "mark", "ascii", "bare"],
)
def test_parameters_are_read_from_the_users_comment(kind: str, comment: bytes) -> None:
    assert [*read_needs(with_exif(kind, {MAKE: "a camera"}, comment))] == FROM_PARAMETERS


def test_parameters_are_read_from_png_and_the_description() -> None:
    assert [*read_needs(png({"parameters": PARAMETERS}))] == FROM_PARAMETERS
    assert [*read_needs(with_exif("JPEG", {DESCRIPTION: PARAMETERS}))] == FROM_PARAMETERS


def test_bytes_decide_and_not_the_name() -> None:
    assert [*read_needs(PARAMETERS.encode())] == FROM_PARAMETERS


def test_swarmui_and_invokeai_are_read() -> None:
    swarm = {
        "sui_image_params": {
            "prompt": "a cat <lora:inline>",
            "model": "folder/base",
            "loras": ["glow", "shine"],
            "vae": "None",
            "refinerupscalemethod": "model-4x.pth",
        },
        "sui_models": [{"name": "folder/base", "param": "model", "hash": "0x" + "ab" * 32}],
    }
    assert [*read_needs(png({"parameters": json.dumps(swarm)}))] == [
        Need("folder/base", "checkpoints", ("ab" * 32,)),
        Need("glow", "loras"),
        Need("shine", "loras"),
        Need("4x.pth", "upscale_models"),
        Need("inline", "loras"),
    ]

    invoke = {
        "positive_prompt": "a cat",
        "model": {"key": "1", "hash": "blake3:" + "ab" * 32, "name": "base", "base": "sdxl", "type": "main"},
        "loras": [{"model": {"name": "glow", "type": "lora", "hash": "sha256:" + "cd" * 32}, "weight": 0.7}],
        "controlnets": [{"control_model": {"name": "canny", "type": "controlnet"}}],
        "vae": None,
    }
    assert [*read_needs(png({"invokeai_metadata": json.dumps(invoke)}))] == [
        Need("base", "checkpoints"),
        Need("glow", "loras", ("cd" * 32,)),
        Need("canny", "controlnet"),
    ]


# --- hostile pictures


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_picture_without_texts_is_refused(kind: str) -> None:
    with pytest.raises(errors.UnsupportedFile, match="the picture has no workflow and no parameters; accepted: "):
        read_needs(picture(8, 8, kind))


@pytest.mark.parametrize("head", [b"workflow\0\0", b"workflow\0\1\0\0\0"], ids=["zTXt", "iTXt"])
def test_texts_that_inflate_are_refused(head: bytes) -> None:
    kind = b"zTXt" if len(head) == 10 else b"iTXt"
    bomb = head + zlib.compress(b"\0" * (17 * 2**20))

    with pytest.raises(errors.UnsupportedFile, match="more than 16 MiB of text"):
        read_needs(PNG + chunk(kind, bomb) + chunk(b"IEND", b""))


def test_many_texts_together_have_the_limit_of_one() -> None:
    text = b"k%d\0\0"
    bombs = [chunk(b"zTXt", text % number + zlib.compress(b"\0" * (6 * 2**20))) for number in range(3)]

    with pytest.raises(errors.UnsupportedFile, match="more than 16 MiB of text"):
        read_needs(PNG + b"".join(bombs) + chunk(b"IEND", b""))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_picture_cut_or_changed_anywhere_raises_nothing_else(kind: str) -> None:
    body = png({"workflow": GRAPH}) if kind == "PNG" else with_exif(kind, {MAKE: f"workflow:{GRAPH}"})
    for at in range(0, len(body), 3):
        for damaged in (body[:at], body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]):
            try:
                needs = read_needs(damaged).needs
            except errors.UnsupportedFile:
                continue
            assert len(needs) <= 1
