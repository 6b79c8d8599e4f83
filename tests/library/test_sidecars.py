"""Sidecars are read by kind, their claims are checked, and damage is reported and never fatal.

Not covered here: which of two layers wins (tests/registry/test_layers.py), sidecars that we write
(test_sidecar_export.py).
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard import paths as modelyard_paths
from modelyard.domain import Licence, Status
from modelyard.facts import Facts, Image, Layer, Recommended
from modelyard.library import sidecars, walk
from modelyard.library.sidecars import NOT_AS_NAMED, read_sidecars
from modelyard.store import files
from modelyard.store.files import FileState
from tests.scan_fixture import Shelf, embedding, hashes_of, opened, write_json

A_VERSION = {
    "id": 77,
    "modelId": 7,
    "name": "v2.0",
    "baseModel": "Pony",
    "baseModelType": "Standard",
    "trainedWords": ["night", "valley at night"],
    "description": "<p>For nights.</p>",
    "model": {"name": "Bright Valley", "type": "LORA", "nsfw": True, "tags": ["style", "landscape"]},
    "images": [
        {"url": "https://example.org/bare.jpg", "nsfwLevel": 16, "type": "image"},
        {"url": "https://example.org/night.jpg", "nsfwLevel": 1, "type": "image"},
    ],
    "files": [{"name": "night.safetensors", "hashes": {"SHA256": "AB" * 32}}],
}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    new_shelf = opened(tmp_path)
    yield new_shelf
    new_shelf.catalog.close()


def read(path: Path, content: Any) -> Facts:
    """Write a sidecar and return its facts."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    result = read_sidecars([os.fsencode(path)])
    assert () == result.skipped
    assert result.facts is not None
    return result.facts


def as_dict(facts: Facts) -> dict[str, Any]:
    """Return the facts that are not None, without evidence."""
    values = {name: getattr(facts, name) for name in Facts.__slots__ if name != "evidence"}
    return {name: value.name if name == "type" else value for name, value in values.items() if value is not None}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_sidecars_in_the_encodings_of_windows_are_read(tmp_path: Path, encoding: str) -> None:
    digest = 64 * "a"
    contents = {"night.TXT": "gut – 夜", "night.json": '{"notes": "bei 0.7"}', "night.sha256": digest}
    for name, text in contents.items():
        (tmp_path / name).write_bytes(text.encode(encoding))

    facts = read_sidecars([os.fsencode(tmp_path / name) for name in contents])

    assert ((), digest) == (facts.skipped, facts.checksum)
    assert facts.facts is not None
    assert "bei 0.7\n\ngut – 夜" == facts.facts.notes


# --- Each kind ---


def test_a_version_as_civitai_answers_it_is_read(tmp_path: Path) -> None:
    assert {
        "name": "v2.0",
        "type": "lora",
        "base_model": "Pony",
        "base_model_type": "Standard",
        "is_nsfw": True,
        "tags": ("style", "landscape"),
        "cover_url": "https://example.org/night.jpg",
        "upstream_model_id": 7,
        "title": "Bright Valley",
        "trigger_words": ("night", "valley at night"),
        "description": "For nights.",
    } == as_dict(replace(read(tmp_path / "night.civitai.info", A_VERSION), images=None))


def test_what_an_answer_says_of_author_permissions_and_images_is_read(tmp_path: Path) -> None:
    model = {
        "description": "<p>Of boats.</p><script>alert(1)</script>",
        "creator": {"username": "anna"},
        "allowCommercialUse": ["Image", 7],
        "allowNoCredit": False,
    }
    image = {"url": "https://example.org/1.jpg", "nsfwLevel": 1, "meta": {"prompt": "a boat"}}
    version = {**A_VERSION, "model": model, "images": [image, 7], "updatedAt": "2024-01-02"}

    facts = read(tmp_path / "night.civitai.info", version)

    assert ("Of boats.\n\nFor nights.", "anna", "2024-01-02") == (facts.description, facts.creator, facts.updated_at)
    assert Licence(allow_commercial=("image",), allow_no_credit=False) == facts.licence
    assert (Image("https://example.org/1.jpg", is_nsfw=False, prompt="a boat"),) == facts.images


def test_recommended_values_that_other_programs_wrote_count(tmp_path: Path) -> None:
    tips = '{"strength": 0.8, "strength_max": 1, "clip_skip": 2}'
    full = read(tmp_path / "night.metadata.json", {"file_name": "night", "usage_tips": tips})
    damaged = read(tmp_path / "dawn.metadata.json", {"file_name": "dawn", "usage_tips": "{", "notes": "n"})
    a1111 = read(tmp_path / "night.json", {"preferred weight": 0.7, "activation text": "night"})

    assert Recommended(0.8, None, 1.0, 2) == full.recommended
    assert (None, Recommended(0.7)) == (damaged.recommended, a1111.recommended)


def test_metadata_json_tells_of_its_own_and_of_civitai(tmp_path: Path) -> None:
    facts = read(
        tmp_path / "night.metadata.json",
        {
            "file_name": "night",
            "model_name": "Bright Valley",
            "base_model": "Illustrious",
            "sub_type": "locon",
            "tags": ["mine"],
            "notes": "at 0.7",
            "civitai": A_VERSION,
        },
    )

    assert ("v2.0", "Bright Valley", "Illustrious", ("mine",)) == (
        facts.name,
        facts.title,
        facts.base_model,
        facts.tags,
    )
    assert ("at 0.7", "For nights.", "locon") == (
        facts.notes,
        facts.description,
        facts.type.name if facts.type else None,
    )


def test_what_stability_matrix_keeps_is_read(tmp_path: Path) -> None:
    facts = read(
        tmp_path / "night.cm-info.json",
        {
            "ModelId": 7,
            "ModelName": "Bright Valley",
            "VersionName": "v2.0",
            "ModelType": "LORA",
            "BaseModel": "Pony",
            "Nsfw": False,
            "Tags": ["style"],
            "TrainedWords": ["night"],
            "ThumbnailImageUrl": "https://example.org/night.jpg",
            "VersionDescription": "Better.",
            "Hashes": {"SHA256": "ab" * 32},
        },
    )

    assert {
        "name": "v2.0",
        "type": "lora",
        "base_model": "Pony",
        "is_nsfw": False,
        "tags": ("style",),
        "cover_url": "https://example.org/night.jpg",
        "upstream_model_id": 7,
        "title": "Bright Valley",
        "trigger_words": ("night",),
        "description": "Better.",
    } == as_dict(facts)


def test_a1111_s_user_metadata_is_read(tmp_path: Path) -> None:
    facts = read(
        tmp_path / "night.json",
        {"description": "For nights.", "sd version": "SDXL", "activation text": "night, valley ", "notes": "at 0.7"},
    )

    assert {
        "base_model": "SDXL 1.0",
        "trigger_words": ("night", "valley"),
        "description": "For nights.",
        "notes": "at 0.7",
    } == as_dict(facts)


def test_swarmui_s_metadata_is_modelspec(tmp_path: Path) -> None:
    facts = read(
        tmp_path / "night.swarm.json",
        {
            "modelspec.title": "Bright Valley",
            "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
            "modelspec.trigger_phrase": "night",
            "modelspec.tags": "style, landscape",
            "modelspec.license": "CC-BY",
        },
    )

    assert ("Bright Valley", "lora", "SDXL 1.0", ("night",), ("style", "landscape"), Licence("cc-by", "CC-BY")) == (
        facts.name,
        facts.type.name if facts.type else None,
        facts.base_model,
        facts.trigger_words,
        facts.tags,
        facts.licence,
    )


@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_notes_are_notes(tmp_path: Path, suffix: str) -> None:
    assert {"notes": "At 0.7 – gut"} == as_dict(read(tmp_path / f"night{suffix}", "\ufeffAt 0.7 – gut\n".encode()))


def test_a_checkpoint_s_configuration_tells_the_shape_of_its_unet(tmp_path: Path) -> None:
    content = b"model:\n  params:\n    unet_config:\n      params:\n        in_channels: 9\n        context_dim: 768\n"

    assert {"type": "checkpoint", "base_model": "SD 1.5", "base_model_type": "Inpainting"} == as_dict(
        read(tmp_path / "night.yaml", content)
    )


def test_what_a_person_edits_wins_over_what_a_program_fetched_and_notes_are_kept_from_all(tmp_path: Path) -> None:
    write_json(tmp_path / "night.civitai.info", A_VERSION)
    write_json(tmp_path / "night.json", {"activation text": "mine", "notes": "at 0.7"})
    (tmp_path / "night.txt").write_text("a note")
    paths = [os.fsencode(tmp_path / f"night{suffix}") for suffix in (".civitai.info", ".json", ".txt")]
    facts = read_sidecars(paths).facts

    assert facts is not None
    assert (("mine",), "Pony") == (facts.trigger_words, facts.base_model)
    assert ("at 0.7\n\na note", "For nights.") == (facts.notes, facts.description)


# --- Values at their edges ---


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ({"modelId": 1}, {"upstream_model_id": 1}),
        ({"modelId": 2**53 - 1}, {"upstream_model_id": 2**53 - 1}),
        ({"modelId": 2**53}, {}),
        ({"modelId": 0}, {}),
        ({"modelId": True}, {}),
        ({"name": " a\n name "}, {"name": "a name"}),
        ({"name": "n" * 1_001}, {"name": "n" * 1_000}),
        ({"name": ""}, {}),
        ({"description": "d" * 20_001}, {"description": "d" * 20_000}),
        ({"model": {"type": "LORA"}}, {"type": "lora"}),
        ({"model": {"type": "Unknown"}}, {}),
        ({"model": {"type": "other"}}, {}),
        ({"model": {"type": "7"}}, {}),
        ({"model": {"nsfw": False}}, {"is_nsfw": False}),
        ({"model": {"nsfw": 1}}, {}),
        ({"model": {"tags": ["x" * 100, "x" * 101, "y", "y", " , "]}}, {"tags": ("x" * 100, "y")}),
        ({"model": {"tags": [f"t{n}" for n in range(101)]}}, {"tags": tuple(f"t{n}" for n in range(100))}),
        ({"trainedWords": [f"w{n}" for n in range(501)]}, {"trigger_words": tuple(f"w{n}" for n in range(500))}),
        ({"publishedAt": "2024", "createdAt": "2023"}, {"published_at": "2024"}),
        ({"createdAt": "2023"}, {"published_at": "2023"}),
    ],
)
def test_a_value_is_taken_as_far_as_it_can_be_kept(tmp_path: Path, content: object, facts: dict[str, Any]) -> None:
    path = tmp_path / "night.civitai.info"
    path.write_text(json.dumps(content))
    result = read_sidecars([os.fsencode(path)])

    assert ((), facts) == (result.skipped, as_dict(result.facts) if result.facts else {})


@pytest.mark.parametrize(
    ("image", "is_cover"),
    [
        ({"nsfwLevel": 1}, True),
        ({"nsfwLevel": 2}, False),
        ({"nsfwLevel": "None"}, True),
        ({"nsfwLevel": "Soft"}, False),
        ({"nsfwLevel": 2, "nsfw": False}, False),
        ({"nsfw": False}, True),
        ({"nsfw": "None"}, True),
        ({"nsfw": "false"}, True),
        ({"nsfw": True}, False),
        ({"nsfw": "X"}, False),
        ({}, False),
        ({"nsfwLevel": 1, "type": "image"}, True),
        ({"nsfwLevel": 1, "type": "video"}, False),
        ({"nsfwLevel": 1, "url": "http://example.org/a"}, True),
        ({"nsfwLevel": 1, "url": "file:///etc/passwd"}, False),
        ({"nsfwLevel": 1, "url": "https://example.org/a b"}, False),
    ],
)
def test_a_cover_is_a_picture_that_is_safe_to_show(tmp_path: Path, image: dict[str, Any], is_cover: bool) -> None:
    image = {"url": "https://example.org/a"} | image
    path = write_json(tmp_path / "night.civitai.info", {"images": [image]})
    facts = read_sidecars([os.fsencode(path)]).facts

    assert (image["url"] if is_cover else None) == (facts.cover_url if facts else None)


@pytest.mark.parametrize("base_model", ["Unknown", "Other", ""])
def test_words_that_stand_for_nothing_are_silence(tmp_path: Path, base_model: str) -> None:
    own = {"model_name": "Valley", "base_model": base_model, "tags": []}
    facts = read(tmp_path / "night.metadata.json", own | {"civitai": {"baseModel": "Pony", "model": {"tags": ["a"]}}})

    assert ("Pony", ("a",)) == (facts.base_model, facts.tags)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("night.civitai.info", {"skeleton_file": True, "name": "night.safetensors", "baseModel": "SDXL 1.0"}),
        ("night.civitai.info", {"id": 7, "baseModel": "Other", "model": {"name": "", "type": "Other"}}),
        ("night.cm-info.json", {"ModelType": "Unknown", "BaseModel": "Unknown", "Tags": [], "Hashes": {}}),
        ("night.json", {"description": "", "sd version": "Unknown", "activation text": "", "notes": ""}),
        ("night.metadata.json", {"model_name": "", "base_model": "none", "sub_type": "other", "tags": []}),
    ],
)
def test_a_sidecar_of_placeholders_has_no_facts(tmp_path: Path, name: str, content: dict[str, Any]) -> None:
    path = write_json(tmp_path / name, content)

    assert None is read_sidecars([os.fsencode(path)]).facts


def test_a_sidecar_with_half_an_emoji_is_read(tmp_path: Path) -> None:
    path = tmp_path / "night.civitai.info"
    path.write_bytes(b'{"name": "night \\ud83d", "baseModel": "Pony", "sizeKB": NaN}')

    facts = read_sidecars([os.fsencode(path)]).facts

    assert facts is not None
    assert ("night \ufffd", "Pony") == (facts.name, facts.base_model)


def test_the_title_in_metadata_json_names_the_model_where_the_version_has_a_name(tmp_path: Path) -> None:
    versioned = read(tmp_path / "a.metadata.json", {"model_name": "Valley", "civitai": {"name": "v2"}})
    plain = read(tmp_path / "b.metadata.json", {"model_name": "Valley"})

    assert [("v2", "Valley"), ("Valley", None)] == [(facts.name, facts.title) for facts in (versioned, plain)]


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (4, 768, ("SD 1.5", None)),
        (9, 768, ("SD 1.5", "Inpainting")),
        (8, 768, ("SD 1.5", "Pix2Pix")),
        (5, 1024, ("SD 2.1", "Depth")),
        (4, 2048, (None, None)),
    ],
)
def test_a_configuration_tells_base_and_purpose_by_its_numbers(
    tmp_path: Path, channels: int, width: int, expected: tuple[str | None, str | None]
) -> None:
    parameters = {"in_channels": channels, "context_dim": width}
    content = {"model": {"params": {"unet_config": {"params": parameters}}}}
    facts = read(tmp_path / "night.yaml", content)

    assert expected == (facts.base_model, facts.base_model_type)


def test_the_first_checksum_counts_and_a_longer_number_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.sha256").write_text("AB" * 32)
    (tmp_path / "b.sha256").write_text("cd" * 32)
    (tmp_path / "c.sha256").write_text("ef" * 33)
    result = read_sidecars([os.fsencode(tmp_path / name) for name in ("a.sha256", "b.sha256", "c.sha256")])

    assert ("ab" * 32, None) == (result.checksum, result.facts)
    third = read_sidecars([os.fsencode(tmp_path / "c.sha256")])
    assert (None, [NOT_AS_NAMED]) == (third.checksum, [skip.reason for skip in third.skipped])


def test_claims_are_whole_hashes_in_lower_case(tmp_path: Path) -> None:
    hashes = [{"SHA256": f" {'AB' * 32} "}, {"SHA256": "ab" * 31}, {"SHA256": "ef" * 33}, {"AutoV2": "AB" * 32}]
    path = write_json(tmp_path / "night.civitai.info", {"files": [{"hashes": item} for item in hashes]})

    assert {"night.civitai.info": frozenset({"ab" * 32})} == read_sidecars([os.fsencode(path)]).claims


def test_a_sidecar_is_read_up_to_its_limit(tmp_path: Path) -> None:
    content = b'{"notes": "a"}'
    (tmp_path / "fits.json").write_bytes(content.ljust(sidecars.BYTES_MAX))
    (tmp_path / "longer.json").write_bytes(content.ljust(sidecars.BYTES_MAX + 1))
    result = read_sidecars([os.fsencode(tmp_path / "fits.json"), os.fsencode(tmp_path / "longer.json")])

    assert [f"longer than {sidecars.BYTES_MAX:,} bytes"] == [skip.detail for skip in result.skipped]
    assert result.facts is not None
    assert "a" == result.facts.notes


def test_notes_of_all_sidecars_together_are_kept_to_a_length(tmp_path: Path) -> None:
    for name in ("a.txt", "a.md"):
        (tmp_path / name).write_text(name[-1] * 15_000)
    facts = read_sidecars([os.fsencode(tmp_path / "a.txt"), os.fsencode(tmp_path / "a.md")]).facts

    assert facts is not None
    assert "d" * 15_000 + "\n\n" + "t" * 4_998 == facts.notes


def test_a_sidecar_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    write_json(tmp_path / "elsewhere.json", {"notes": "not to be read"})
    (tmp_path / "night.json").symlink_to(tmp_path / "elsewhere.json")
    result = read_sidecars([os.fsencode(tmp_path / "night.json")])

    assert (None, [modelyard_paths.NOT_READABLE]) == (result.facts, [skip.reason for skip in result.skipped])


def test_only_what_this_catalogue_wrote_and_nobody_edited_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    ours = sidecars.add_mark({"notes": "ours"}, "one")

    def read_notes(content: object, catalogue: str) -> str | None:
        facts = read_sidecars([os.fsencode(write_json(path, content))], catalogue=catalogue).facts
        return facts.notes if facts else None

    assert [None, "ours", "ours", "edited", "modelyard"] == [
        read_notes(ours, "one"),
        read_notes(ours, "another"),
        read_notes(ours, ""),
        read_notes(ours | {"notes": "edited"}, "one"),
        read_notes({"notes": "modelyard"}, "one"),
    ]


# --- Beside a file ---


def test_sidecars_and_previews_of_a_file_are_found_beside_it_and_not_another_s(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    sidecar_paths = [path.with_name(f"night{suffix}") for suffix in walk.SIDECAR_SUFFIXES]
    previews = [path.with_name(f"night{suffix}") for suffix in walk.PREVIEW_SUFFIXES]
    for extra in [*sidecar_paths, *previews, path.with_name("nightfall.json"), path.with_name("nightfall.png")]:
        extra.write_bytes(b"{}")
    (file,) = walk.scan([os.fsencode(shelf.folder)]).files

    assert {os.fsencode(sidecar) for sidecar in sidecar_paths} == set(file.sidecars)
    assert [os.fsencode(preview) for preview in previews] == list(file.previews)


def test_sidecars_say_what_the_tensors_cannot_tell(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    version = {**A_VERSION, "files": [{"hashes": {"SHA256": hashes_of(path).sha256}}]}
    write_json(path.with_name("night.civitai.info"), version)
    path.with_name("night.preview.png").write_bytes(b"a picture")
    shelf.add()
    model, facts = shelf.model(), shelf.entry().layers[Layer.SIDECAR]

    assert ("v2.0", "Pony", True, ("style", "landscape")) == (model.name, model.base_model, model.is_nsfw, model.tags)
    # The name that calls use is the file's.
    assert "night.safetensors" == model.sd_name
    assert ("sidecar night.civitai.info", "preview night.preview.png") == facts.evidence


def test_a_sidecar_that_changed_is_read_again_and_the_file_is_not(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    write_json(path.with_name("night.json"), {"notes": "first"})
    shelf.add()
    before = hashes_of(path)
    write_json(path.with_name("night.json"), {"notes": "the second"})
    report = shelf.add()

    assert ({"updated": 1}, 0) == (report.results, shelf.heard.bytes_hashed)
    assert "the second" == shelf.entry().layers[Layer.SIDECAR].notes
    assert (before, Status.AVAILABLE) == (shelf.model().hashes, shelf.model().status)


def test_a_sidecar_that_says_less_than_before_takes_nothing_away(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    write_json(path.with_name("night.civitai.info"), A_VERSION)
    shelf.add()
    write_json(path.with_name("night.civitai.info"), {"id": 77, "modelId": 7, "name": "v2.1", "files": []})
    shelf.add()
    facts, model = shelf.entry().layers[Layer.SIDECAR], shelf.model()

    assert ("v2.1", "Pony", ("style", "landscape")) == (facts.name, facts.base_model, facts.tags)
    assert ("v2.1", "Pony", ("style", "landscape")) == (model.name, model.base_model, model.tags)


def test_a_sidecar_of_one_of_two_same_files_speaks_of_the_one_model(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    embedding(shelf.folder / "b.safetensors")
    shelf.add()
    before = shelf.model()
    write_json(path.with_name("a.json"), {"notes": "for nights"})
    report = shelf.add()

    assert {"updated": 1} == report.results
    assert (before, "for nights") == (shelf.model(), shelf.entry().layers[Layer.SIDECAR].notes)


def test_a_sidecar_that_tells_of_other_bytes_is_told(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    write_json(path.with_name("night.civitai.info"), A_VERSION)
    shelf.add()

    assert f"sidecar night.civitai.info is for another file: SHA-256 {'ab' * 32}" in (
        shelf.entry().layers[Layer.HEADER].evidence or ()
    )


# --- Checksums are claims ---


@pytest.mark.parametrize("form", ["{}\n", "{}  night.safetensors\n", "{} *night.safetensors", "SHA256 (night) = {}"])
@pytest.mark.parametrize("name", ["night.sha256", "night.safetensors.sha256"])
def test_a_checksum_that_is_met_says_nothing(shelf: Shelf, form: str, name: str) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    path.with_name(name).write_text(form.format((hashes_of(path).sha256 or "").lower()))
    shelf.add()

    assert Status.AVAILABLE == shelf.model().status


@pytest.mark.parametrize("with_hashes", [True, False])
def test_a_file_with_another_s_checksum_is_broken_until_one_of_both_is_put_right(
    shelf: Shelf, with_hashes: bool
) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    path.with_name("night.sha256").write_text("ab" * 32)
    if not with_hashes:
        # A file without hashes cannot be compared.
        assert {"added": 1} == shelf.add(with_hashes=False).results
    report = shelf.add()
    with shelf.catalog.store.reading() as connection:
        (record,) = files.below(connection, [os.fsencode(shelf.folder)]).values()

    assert {"broken": 1} == report.results
    assert (Status.UNAVAILABLE, FileState.BROKEN) == (shelf.model().status, record.state)
    assert f"the .sha256 file beside it says {'ab' * 32}" in record.reason

    path.with_name("night.sha256").write_text(hashes_of(path).sha256 or "")
    shelf.add()

    assert Status.AVAILABLE == shelf.model().status


def test_a_checksum_that_comes_later_is_compared_without_hashing_again(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    path.with_name("night.sha256").write_text("ab" * 32)
    report = shelf.add()

    assert ({"broken": 1}, 0, Status.UNAVAILABLE) == (report.results, shelf.heard.bytes_hashed, shelf.model().status)


# --- Of no use ---

_LAUGHS = b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 40))


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("night.json", b"[1]"),
        ("night.json", b"\xff\xfe"),
        ("night.json", b"[" * 100_000),
        ("night.json", b""),
        ("night.metadata.json", b'{"other": "program"}'),
        ("night.civitai.info", b"<html>"),
        ("night.sha256", b"no digits"),
        ("night.yaml", b"a: ["),
        ("night.yaml", b"[" * 50_000),
        ("night.yaml", b"model: 7"),
        ("night.yaml", b"? [a]\n: b"),
        ("night.yaml", b"model: !!timestamp x\n"),
        ("night.yaml", _LAUGHS),
        ("night.yaml", b"a: b\n" * 20_000),
        ("night.json", b" " * (sidecars.BYTES_MAX + 1)),
    ],
)
def test_what_cannot_be_read_is_told_and_the_file_is_taken_in_all_the_same(shelf: Shelf, name: str, raw: bytes) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    path.with_name(name).write_bytes(raw)
    report = shelf.add()

    assert [(str(path.with_name(name)), NOT_AS_NAMED)] == [(skip.where, skip.reason) for skip in report.skipped]
    assert shelf.heard.skips == list(report.skipped)
    assert Status.AVAILABLE == shelf.model().status


@pytest.mark.parametrize(
    "content",
    [
        {"modelId": -1, "name": 7, "model": [], "files": {}, "images": 7, "trainedWords": {"a": 1}, "baseModel": None},
        {"name": "a\0b", "description": "\ud800", "model": {"tags": [1, None, {"name": ["x"]}, "x" * 5000]}},
        {"modelId": 2**70, "images": [{"url": "javascript:alert(1)"}, 7], "files": [7, {"hashes": 7}]},
        {"name": "\x1b[31mred\n\nline", "trainedWords": ["w"] * 9000, "description": "d" * 100_000},
    ],
)
def test_values_of_any_kind_are_taken_or_left(shelf: Shelf, content: Any) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    path.with_name("night.civitai.info").write_bytes(json.dumps(content).encode())
    shelf.add()

    assert Status.AVAILABLE == shelf.model().status
    assert {"", "https"} >= {shelf.model().cover_url.partition(":")[0]}


def test_a_sidecar_that_is_a_link_or_a_pipe_is_not_opened(shelf: Shelf, tmp_path: Path) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    write_json(tmp_path / "elsewhere.json", {"notes": "not to be read"})
    path.with_name("night.json").symlink_to(tmp_path / "elsewhere.json")
    os.mkfifo(path.with_name("night.txt"))
    shelf.add()

    assert Layer.SIDECAR not in shelf.entry().layers
