"""What a sidecar that we write contains, whole, and the values of sidecars that we read at their edges."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain import OWN_ID_MIN, Hashes, Licence, Model, Source, Visibility, model_type
from modelyard.facts import Entry, Facts, Image, Layer, ModelFile, Recommended
from modelyard.fingerprint import Fingerprint
from modelyard.library.sidecar_export import SidecarFormat, make_content
from modelyard.library.sidecars import read_sidecars
from modelyard.store.files import FileRecord, FileState

A, B, C, D, E = "A" * 64, "B" * 64, "C" * 64, "D" * 8, "E" * 8
MODEL = Model(
    77,
    "v1",
    "night_5.safetensors",
    model_type("lora"),
    Source.CIVITAI,
    base_model="Pony",
    base_model_type="Standard",
    is_sdxl=True,
    is_nsfw=True,
    tags=("style", "anime"),
    cover_url="https://cover.example/1.png",
    hashes=Hashes(D, C, A, B, E),
)
FACTS = Facts(
    name="v1",
    sd_name="night_5.safetensors",
    title="Night",
    description="a < b\nc",
    notes="a note",
    creator="anna",
    upstream_model_id=7,
    published_at="2024-01-02",
    updated_at="2024-03-04",
    trigger_words=("night", "sea"),
    licence=Licence(allow_commercial=("image", "sell"), allow_no_credit=True, allow_derivatives=False),
    recommended=Recommended(0.8, 0.1, 1.5, 2),
    images=(
        Image("https://cover.example/1.png"),
        Image("https://image.example/2.png", 512, 768, True, "p", "n", 0, "Euler", 20, 7.5),
        Image("https://image.example/3.png", is_nsfw=False),
    ),
)
FILE = FileRecord(
    b"/models/night.v1.safetensors",
    Fingerprint(2048, 1_500_000_000, 1, 1),
    1,
    FileState.PRESENT,
    Source.CIVITAI,
    Visibility.PUBLIC,
    sha256=A.lower(),
    autov3=C,
)
VERSION = {
    "id": 77,
    "modelId": 7,
    "name": "v1",
    "baseModel": "Pony",
    "baseModelType": "Standard",
    "publishedAt": "2024-01-02",
    "updatedAt": "2024-03-04",
    "trainedWords": ["night", "sea"],
    "description": "<p>a &lt; b<br>c</p>",
    "images": [
        {"url": "https://cover.example/1.png", "nsfwLevel": 1, "type": "image"},
        {
            "url": "https://image.example/2.png",
            "nsfwLevel": 4,
            "type": "image",
            "width": 512,
            "height": 768,
            "meta": {
                "prompt": "p",
                "negativePrompt": "n",
                "seed": 0,
                "sampler": "Euler",
                "steps": 20,
                "cfgScale": 7.5,
            },
        },
        {"url": "https://image.example/3.png", "nsfwLevel": 1, "type": "image", "meta": {}},
    ],
    "creator": {"username": "anna"},
    "model": {
        "allowCommercialUse": ["Image", "Sell"],
        "allowNoCredit": True,
        "allowDerivatives": False,
        "name": "Night",
        "type": "LORA",
        "nsfw": True,
        "tags": ["style", "anime"],
    },
    "files": [
        {
            "id": 5,
            "name": "night_5.safetensors",
            "type": "Model",
            "sizeKB": 2.0,
            "primary": True,
            "hashes": {"AutoV1": D, "AutoV2": A[:10], "AutoV3": C, "SHA256": A, "BLAKE3": B, "CRC32": E},
        }
    ],
}


def content_of(form: str, facts: Facts = FACTS, file: FileRecord = FILE, **changes: Any) -> dict[str, Any]:
    entry = Entry(replace(MODEL, **changes), {Layer.UPSTREAM: facts})
    return make_content(entry, file, SidecarFormat(form))


def test_a_version_has_every_field_of_the_model() -> None:
    assert VERSION == content_of("civitai-info")


def test_a_sidecar_with_our_own_fields_holds_the_version_too() -> None:
    content = content_of("lora-manager")

    assert content == {
        "file_name": "night.v1",
        "model_name": "Night",
        "file_path": "/models/night.v1.safetensors",
        "size": 2048,
        "modified": 1.5,
        "sha256": A.lower(),
        "hash_status": "completed",
        "autov3": "c" * 12,
        "base_model": "Pony",
        "tags": ["style", "anime"],
        "notes": "a note",
        "modelDescription": "<p>a &lt; b<br>c</p>",
        "usage_tips": '{"strength":0.8,"strength_min":0.1,"strength_max":1.5,"clip_skip":2}',
        "from_civitai": True,
        "civitai": VERSION,
    }


def test_a1111_has_the_fields_of_its_editor() -> None:
    assert content_of("a1111") == {
        "description": "a < b\nc",
        "sd version": "SDXL",
        "activation text": "night, sea",
        "preferred weight": 0.8,
        "notes": "a note",
    }


def test_a_model_of_ours_that_says_little_has_the_fields_that_programs_need() -> None:
    facts = Facts(name="v1", sd_name="n.pt", notes="a note")
    file = replace(FILE, sha256=None, autov3=None)
    ours = {"id": OWN_ID_MIN, "type": model_type("other"), "base_model": "", "base_model_type": "", "is_sdxl": False}
    ours |= {"tags": (), "is_nsfw": False, "cover_url": "/covers/x/640.webp", "hashes": Hashes()}

    version = {
        "name": "v1",
        "trainedWords": [],
        "description": "a note",
        "images": [],
        "model": {"name": "v1", "type": "Other", "nsfw": False, "tags": []},
        "files": [{"name": MODEL.sd_name, "type": "Model", "sizeKB": 2.0, "primary": True, "hashes": {}}],
    }
    assert version == content_of("civitai-info", facts, file, **ours)
    lora_manager = content_of("lora-manager", facts, file, **ours)
    assert ("", "pending", "", "Unknown", False) == tuple(
        lora_manager[name] for name in ("sha256", "hash_status", "autov3", "base_model", "from_civitai")
    )
    assert not {"modelDescription", "usage_tips"} & lora_manager.keys()
    assert content_of("a1111", facts, file, **ours) == {
        "description": "a note",
        "sd version": "Unknown",
        "activation text": "",
        "preferred weight": 0,
        "notes": "",
    }


@pytest.mark.parametrize(
    ("base_model", "generation"),
    [("SD 1.5", "SD1"), ("SD 1.4", "SD1"), ("SD 2.1", "SD2"), ("SD 3", "Unknown"), ("Flux.1 D", "Unknown")],
)
def test_a1111_knows_three_generations(base_model: str, generation: str) -> None:
    assert generation == content_of("a1111", base_model=base_model, is_sdxl=False)["sd version"]


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("lora", "LORA"),
        ("locon", "LoCon"),
        ("controlnet", "Controlnet"),
        ("textualinversion", "TextualInversion"),
        ("checkpoint", "Checkpoint"),
        ("dora", "DoRA"),
    ],
)
def test_a_type_has_civitais_spelling(name: str, spelling: str) -> None:
    assert spelling == content_of("civitai-info", type=model_type(name))["model"]["type"]


def test_a_version_with_several_files_has_them_all() -> None:
    files = (
        ModelFile("a.pt", 1, "Model", 1024, "PickleTensor", "fp16", "pruned", True, Hashes(sha256=A)),
        ModelFile("b.yaml", 2, "Config"),
    )

    assert [
        {
            "id": 1,
            "name": "a.pt",
            "type": "Model",
            "sizeKB": 1.0,
            "primary": True,
            "metadata": {"format": "PickleTensor", "size": "pruned", "fp": "fp16"},
            "hashes": {"AutoV2": A[:10], "SHA256": A},
        },
        {"id": 2, "name": "b.yaml", "type": "Config", "primary": False, "hashes": {}},
    ] == content_of("civitai-info", replace(FACTS, files=files))["files"]


def test_an_image_that_is_the_cover_is_listed_again_only_for_its_prompt() -> None:
    images = (Image(MODEL.cover_url, prompt="p"), Image(MODEL.cover_url))

    listed = content_of("civitai-info", replace(FACTS, images=images))["images"]

    assert [{}, {"prompt": "p"}] == [image.get("meta", {}) for image in listed]


def test_the_cover_of_a_source_is_written_where_ours_is_on_this_server() -> None:
    facts = replace(FACTS, images=(), cover_url="http://source.example/c.png")

    (image,) = content_of("civitai-info", facts, cover_url="/covers/x/640.webp")["images"]

    assert {"url": "http://source.example/c.png", "nsfwLevel": 1, "type": "image"} == image


# --- Values that are read ---


def facts_of(folder: Path, name: str, content: object) -> Facts:
    path = folder / name
    path.write_text(json.dumps(content))
    return read_sidecars([os.fsencode(path)]).facts or Facts()


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(0.8, 0.8), (-100, -100.0), (100, 100.0), (100.5, None), (-101, None), (True, None), ("1", None), (0, None)],
)
def test_a_weight_is_a_number_up_to_100(weight: object, expected: float | None, tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "a.json", {"preferred weight": weight})

    assert (None if expected is None else Recommended(weight=expected)) == facts.recommended


@pytest.mark.parametrize(
    ("tips", "expected"),
    [
        ('{"strength": 0.5, "strength_min": 0, "strength_max": 1, "clip_skip": 2}', Recommended(0.5, 0.0, 1.0, 2)),
        ({"strength": 0.5}, Recommended(0.5)),
        ('{"clip_skip": 0}', None),
        ("{}", None),
        ("[]", None),
        ("{", None),
        (100_000 * "[", None),
        (5, None),
    ],
)
def test_usage_tips_are_an_object_or_its_text(tips: object, expected: Recommended | None, tmp_path: Path) -> None:
    assert expected == facts_of(tmp_path, "a.metadata.json", {"file_name": "a", "usage_tips": tips}).recommended


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"allowCommercialUse": "Sell"}, Licence(allow_commercial=("image", "rent", "sell"))),
        ({"allowCommercialUse": ["Image", 5]}, Licence(allow_commercial=("image",))),
        ({"allowCommercialUse": 5}, None),
        ({"allowNoCredit": True, "allowDerivatives": "no"}, Licence(allow_no_credit=True)),
        ({"allowDerivatives": False}, Licence(allow_derivatives=False)),
        ({"allowDifferentLicense": True}, Licence(allow_different_licence=True)),
        ({}, None),
    ],
)
def test_permissions_are_read_as_far_as_they_are_said(
    model: dict[str, object], expected: Licence | None, tmp_path: Path
) -> None:
    assert expected == facts_of(tmp_path, "a.civitai.info", {"name": "v1", "model": model}).licence


def test_of_a_version_200_images_are_looked_at_for_a_cover(tmp_path: Path) -> None:
    bad, good = {"url": "https://a/x", "nsfwLevel": 4}, {"url": "https://a/good", "nsfwLevel": 1}

    for count, cover in ((199, "https://a/good"), (200, None)):
        assert cover == facts_of(tmp_path, "a.civitai.info", {"images": [*count * [bad], good]}).cover_url


def test_html_that_a_person_copied_becomes_text_and_angle_brackets_of_a_person_stay(tmp_path: Path) -> None:
    assert "use <lora:x:1>" == facts_of(tmp_path, "a.json", {"description": "use <lora:x:1>"}).description
    for source in ("<p>a</p>", "<DIV>a</DIV>", "a<br>", "<b>a</b>", "<a>a</a>", "<strong>a</strong>", "<h3>a</h3>"):
        assert "a" == facts_of(tmp_path, "a.json", {"description": source}).description
    for source in ("<ul>a</ul>", "<ol>a</ol>", "<h1>a</h1>", "<h6>a</h6>"):
        assert "a" == facts_of(tmp_path, "a.json", {"description": source}).description


def test_descriptions_of_model_and_version_are_joined_once_each_and_cut(tmp_path: Path) -> None:
    def description(model: str, version: str) -> str | None:
        content = {"name": "v1", "description": version, "model": {"description": model}}
        return facts_of(tmp_path, "a.civitai.info", content).description

    assert "a\n\nb" == description("<p>a</p>", "b")
    assert "a" == description("a", "<p>a</p>")
    assert 19_998 * "a" == description(19_998 * "a", "b")
    assert 19_997 * "a" + "\n\nb" == description(19_997 * "a", "bc")


def test_the_creator_of_a_version_stands_at_the_model_or_at_the_version(tmp_path: Path) -> None:
    anna, ben = {"username": "anna"}, {"username": "ben"}

    both = facts_of(tmp_path, "a.civitai.info", {"creator": ben, "model": {"creator": anna}})
    one = facts_of(tmp_path, "a.civitai.info", {"creator": ben, "model": {"creator": "anna"}})
    assert ("anna", "ben") == (both.creator, one.creator)


@pytest.mark.parametrize(
    ("version", "base"), [("SD1", "SD 1.5"), ("SD2", "SD 2.1"), ("SDXL", "SDXL 1.0"), ("SD3", None)]
)
def test_the_versions_of_a1111_are_bases(version: str, base: str | None, tmp_path: Path) -> None:
    assert base == facts_of(tmp_path, "a.json", {"sd version": version}).base_model
