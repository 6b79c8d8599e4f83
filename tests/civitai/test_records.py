"""What Civitai's answers become. Not here: reading files (test_files), the catalogue's side (test_catalog)."""

import json
import lzma
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.catalog import open_catalog
from modelyard.civitai.records import DAMAGED, NO_USABLE_FILE, NO_VERSIONS, NOT_AN_ANSWER, NOT_JSON, convert
from modelyard.domain import Hashes, Licence, Skipped, Source
from modelyard.facts import Facts, Image, Layer, ModelFile, Recommended, Record, Resource, fill_missing
from modelyard.registry.names import sd_name_of_version
from modelyard.store import open_store
from tests.real_input import data_dir

SHA = "1A805277C8" + "0" * 54


def a_file(**changes: Any) -> dict[str, Any]:
    return {
        "id": 81543,
        "name": "realistic_v40.safetensors",
        "sizeKB": 2_000_000.0,
        "type": "Model",
        "metadata": {"fp": "fp16", "size": "full", "format": "SafeTensor"},
        "hashes": {"AutoV2": SHA[:10], "SHA256": SHA},
    } | changes


def a_version(**changes: Any) -> dict[str, Any]:
    return {
        "id": 114600,
        "name": "V4.0",
        "baseModel": "SD 1.5",
        "baseModelType": "Standard",
        "stats": {"downloadCount": 804666},
        "files": [a_file()],
        "images": [{"url": "https://images.example/1.jpeg", "nsfw": "None"}],
    } | changes


def a_model(*versions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": 4201,
        "name": "Realistic",
        "type": "Checkpoint",
        "nsfw": False,
        "tags": ["photorealistic", "base model"],
        "modelVersions": list(versions) or [a_version()],
    } | changes


def only(answer: object) -> Record:
    (record,) = convert(answer)
    assert isinstance(record, Record), record
    return record


def facts_of(**version_changes: Any) -> Facts:
    return only(a_model(a_version(**version_changes))).facts


def skipped_of(answer: object) -> Skipped:
    (skipped,) = convert(answer)
    assert isinstance(skipped, Skipped), skipped
    return skipped


def metadata(size: str | None = "full", format: str | None = "SafeTensor") -> dict[str, Any]:  # noqa: A002 # the field's name
    return {"size": size, "format": format}


# --- One version, one record -----------------------------------------------------------------------------------------


def test_a_version_becomes_a_public_record_of_the_source_civitai_with_all_that_was_said() -> None:
    answer = a_model(
        a_version(
            trainedWords=["glow", " "], publishedAt="2023-08-01T00:00:00.000Z", createdAt="2023-07-01T00:00:00.000Z"
        ),
        allowNoCredit=True,
        allowCommercialUse="Rent",
        allowDerivatives=False,
        allowDifferentLicense=True,
    )

    record = only(json.dumps(answer).encode())

    assert (record.id, record.source, record.layer, record.team) == (114600, Source.CIVITAI, Layer.UPSTREAM, None)
    facts = record.facts
    assert facts.type is not None
    assert (facts.type.name, facts.type.display_name) == ("checkpoint", "Checkpoint")
    assert (facts.name, facts.sd_name) == ("V4.0", "realistic_v40_81543.safetensors")
    assert (facts.base_model, facts.base_model_type) == ("SD 1.5", "Standard")
    assert (facts.tags, facts.is_nsfw, facts.rank) == (("photorealistic", "base model"), False, 804666)
    assert facts.cover_url == "https://images.example/1.jpeg"
    assert facts.hashes is not None
    assert (facts.hashes.sha256, facts.hashes.autov2, facts.hashes.short) == (SHA, "1A805277C8", "1A805277C8")
    assert (facts.file_name, facts.size_bytes) == ("realistic_v40.safetensors", 2_048_000_000)
    assert (facts.upstream_model_id, facts.title) == (4201, "Realistic")
    assert (facts.trigger_words, facts.published_at) == (("glow",), "2023-08-01T00:00:00.000Z")
    assert facts.licence == Licence(None, None, None, ("image", "rent"), True, False, True)


def test_descriptions_creator_dates_recommendations_and_images_are_kept() -> None:
    generation = {
        "prompt": "a boat",
        "negativePrompt": "fog",
        "seed": "12",
        "sampler": "Euler a",
        "steps": 20,
        "cfgScale": 7,
        "Clip skip": "2",
        "resources": [{"name": "night", "type": "lora", "weight": 0.8, "hash": "abc"}, "odd"],
        "civitaiResources": [{"type": "checkpoint", "modelVersionId": 9}],
    }
    version = a_version(
        description="<p>faster</p>",
        updatedAt="2023-08-02T00:00:00.000Z",
        settings={"strength": 0.8, "minStrength": 0.5},
        clipSkip=2,
        images=[
            {"url": "https://images.example/1.mp4", "type": "video"},
            {"url": "javascript:alert(1)"},
            {"url": "https://images.example/1.jpeg", "width": 512, "height": "768", "nsfw": "None", "meta": generation},
            {"url": "https://images.example/2.jpeg", "nsfwLevel": 8, "width": -1, "meta": {"prompt": 7, "steps": 3}},
            {"url": "https://images.example/3.jpeg", "meta": None},
        ],
    )

    facts = only(a_model(version, description="<p>Boats</p><script>x</script>", creator={"username": "anna"})).facts

    assert ("Boats\n\nfaster", "anna") == (facts.description, facts.creator)
    assert "2023-08-02T00:00:00.000Z" == facts.updated_at
    assert Recommended(0.8, 0.5, None, 2) == facts.recommended
    resources = (Resource("night", "lora", 0.8, "abc"), Resource(type="checkpoint", version_id=9))
    assert facts.images == (
        Image("https://images.example/1.jpeg", 512, 768, False, "a boat", "fog", 12, "Euler a", 20, 7.0, resources),
        Image("https://images.example/2.jpeg", is_nsfw=True, steps=3),
        Image("https://images.example/3.jpeg"),
    )


@pytest.mark.parametrize(
    ("said", "recommended"),
    [
        ({"clipSkip": 2}, Recommended(clip_skip=2)),
        ({"settings": {"strength": 0.8}}, Recommended(0.8)),
        ({"settings": {}, "clipSkip": 0}, None),
        ({}, None),
    ],
)
def test_a_part_of_the_recommendations_is_kept(said: dict[str, object], recommended: Recommended | None) -> None:
    assert recommended == only(a_model(a_version(**said))).facts.recommended


def test_a_hostile_answer_fills_no_disk() -> None:
    image = {
        "url": "https://images.example/1.jpeg",
        "meta": {"prompt": "x" * 10**5, "resources": [{"name": "x" * 999}] * 99},
    }
    answer = a_model(a_version(images=[image] * 99, description="x" * 10**5), description="<b>" * 10**5 + "x" * 10**5)

    facts = only(answer).facts

    assert 300_000 > len(json.dumps(msgspec.to_builtins(facts)))


def test_a_description_that_thousands_of_versions_share_is_shorter() -> None:
    answer = a_model(*(a_version(id=id_) for id_ in range(1, 2_001)), description="x" * 20_000)

    records = [record for record in convert(answer) if isinstance(record, Record)]
    assert {1_000} == {len(record.facts.description or "") for record in records}


def test_a_second_import_fills_what_the_first_did_not_keep() -> None:
    first = only(a_model(a_version(images=[]))).facts
    later = only(a_model(a_version(), description="Boats", creator={"username": "anna"})).facts

    assert later == fill_missing(later, first)
    assert ("Boats", "anna") == (fill_missing(first, later).description, fill_missing(first, later).creator)


def test_every_version_of_a_model_is_a_record_in_the_answers_order() -> None:
    records = list(convert(a_model(a_version(id=3), a_version(id=1), a_version(id=2))))

    assert [record.id for record in records if isinstance(record, Record)] == [3, 1, 2]


@pytest.mark.parametrize("page", [lambda items: {"items": items, "metadata": {}}, lambda items: items])
def test_a_page_and_a_list_are_read_item_by_item(page: Callable[[list[Any]], object]) -> None:
    outcomes = list(convert(page([a_model(id=1), {"nothing": 1}, a_model(a_version(id=7), id=2)])))

    assert [o.where if isinstance(o, Skipped) else o.id for o in outcomes] == [114600, "item 1", 7]


@pytest.mark.parametrize(
    ("spelled", "name", "display_name"),
    [
        ("Checkpoint", "checkpoint", "Checkpoint"),
        ("LORA", "lora", "Lora"),
        ("LoCon", "locon", "locon"),
        ("DoRA", "dora", "DoRA"),
        ("TextualInversion", "textualinversion", "Textual Inversion"),
        ("Controlnet", "controlnet", "ControlNet"),
        ("VAE", "vae", "VAE"),
        ("Upscaler", "upscaler", "Upscaler"),
        ("Hypernetwork", "hypernetwork", "Hypernetwork"),
        ("SomethingOfNextYear", "somethingofnextyear", "SomethingOfNextYear"),
    ],
)
def test_types_are_named_in_lower_case_and_displayed_as_documented(spelled: str, name: str, display_name: str) -> None:
    kind = only(a_model(type=spelled)).facts.type

    assert kind is not None
    assert (name, display_name) == (kind.name, kind.display_name)


# --- The file that a version is --------------------------------------------------------------------------------------


def test_the_full_safetensor_is_the_version_although_the_pruned_one_is_marked_primary() -> None:
    """The documented row of version 114600: `_81543` and `1A805277C8`."""
    files = [
        a_file(id=81550, metadata=metadata("pruned"), primary=True, hashes={"SHA256": "A" * 64}),
        a_file(id=81543, sizeKB=4_000_000),
        a_file(id=81551, name="r.ckpt", metadata=metadata("full", "PickleTensor"), sizeKB=7_000_000),
        a_file(id=81552, name="r.ckpt", metadata=metadata("pruned", "PickleTensor")),
    ]

    facts = facts_of(name="V4.0-inpainting (VAE)", files=files)

    assert facts.sd_name == "realistic_v40_81543.safetensors"
    assert facts.hashes is not None
    assert facts.hashes.short == "1A805277C8"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (metadata("pruned", "SafeTensor"), metadata("full", "PickleTensor")),
        (metadata(None, "SafeTensor"), metadata("full", "Other")),
        (metadata("full"), metadata("pruned")),
        (metadata("full"), metadata(None)),
        (metadata(None), metadata("pruned")),
    ],
)
def test_format_comes_before_size_and_full_before_pruned(better: dict[str, Any], worse: dict[str, Any]) -> None:
    # The worse one has the lower id and the more bytes, which must not count.
    files = [a_file(id=1, name="x.bin", metadata=worse, sizeKB=9e6), a_file(id=2, name="x.bin", metadata=better)]

    assert facts_of(files=files).sd_name == facts_of(files=files[::-1]).sd_name == "x_2.bin"


def test_of_two_equal_files_the_larger_is_taken_then_the_lower_id() -> None:
    files = [a_file(id=9, sizeKB=10), a_file(id=8, sizeKB=11), a_file(id=5, sizeKB=11), a_file(id=1, sizeKB=None)]

    assert facts_of(files=files).sd_name == "realistic_v40_5.safetensors"


def test_a_file_without_metadata_is_a_safetensor_by_its_name() -> None:
    files = [a_file(id=1, name="m.ckpt", metadata=None), a_file(id=2, name="m.SAFETENSORS", metadata=None)]

    assert facts_of(files=files).sd_name == "m_2.SAFETENSORS"


def test_a_file_that_states_its_format_is_not_judged_by_its_name() -> None:
    files = [
        a_file(id=1, name="m.safetensors", metadata=metadata(format="PickleTensor")),
        a_file(id=2, name="m.bin", metadata=metadata()),
    ]

    assert facts_of(files=files).sd_name == "m_2.bin"


def test_a_version_that_was_never_published_is_dated_by_its_making() -> None:
    made = "2023-07-01T00:00:00.000Z"

    assert made == facts_of(createdAt=made).published_at
    assert made == facts_of(createdAt=made, publishedAt=None).published_at


@pytest.mark.parametrize("kind", ["Training Data", "Config", "Archive", "Text Encoder", "VAE", None])
def test_a_version_with_only_other_files_is_skipped_and_says_which(kind: str | None) -> None:
    skipped = skipped_of(a_model(a_version(id=5, files=[a_file(type=kind)])))

    assert Skipped("model 4201, version 5", NO_USABLE_FILE, f"only {kind or 'untyped'}") == skipped


def test_a_version_without_files_and_a_model_without_versions_are_skipped() -> None:
    assert Skipped("model 4201, version 5", NO_USABLE_FILE, "none at all") == skipped_of(
        a_model(a_version(id=5, files=[]))
    )
    assert Skipped("model 4201", NO_VERSIONS) == skipped_of(a_model(modelVersions=[]))


def test_a_vae_models_vae_is_the_model_and_a_checkpoints_is_not() -> None:
    files = [a_file(id=1, type="VAE"), a_file(id=2, type="Model", metadata=metadata("pruned", "PickleTensor"))]

    assert only(a_model(a_version(files=files), type="VAE")).facts.sd_name == "realistic_v40_1.safetensors"
    assert only(a_model(a_version(files=files), type="Checkpoint")).facts.sd_name == "realistic_v40_2.safetensors"


@pytest.mark.parametrize("kind", ["Pruned Model", "Negative"])
def test_pruned_models_and_negatives_are_models(kind: str) -> None:
    assert (
        facts_of(files=[a_file(type="Config", id=1), a_file(type=kind, id=2)]).file_name == "realistic_v40.safetensors"
    )


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("dreamshaper_8.safetensors", "dreamshaper_8_7.safetensors"),
        ("By bad artist -neg.pt", "By bad artist -neg_7.pt"),
        ("kl-f8-anime2.vae.pt", "kl-f8-anime2.vae_7.pt"),
        ("p5_Portrait_v1.0.safetensors", "p5_Portrait_v1.0_7.safetensors"),
        ("琴柳4.0(原皮origen).safetensors", "琴柳4.0(原皮origen)_7.safetensors"),
        ("style v1.5", "style v1.5_7"),
        ("no extension", "no extension_7"),
        ("ends with a dot.", "ends with a dot._7"),
        (".safetensors", "_7.safetensors"),
        ("archive.7z", "archive_7.7z"),
        ("a." + "x" * 12, "a_7." + "x" * 12),
        ("a." + "x" * 13, "a." + "x" * 13 + "_7"),
        ("dots... and (brackets)", "dots... and (brackets)_7"),
        ("two\r\nlines.pt", "two lines_7.pt"),
        ("", "_7"),
    ],
)
def test_sd_name_is_stem_id_and_extension(file_name: str, expected: str) -> None:
    assert expected == sd_name_of_version(file_name, 7)


# --- Cover, NSFW, tags: the shapes of several years ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unsafe", "safe"),
    [
        ({"nsfw": True}, {"nsfw": False}),
        ({"nsfw": "Soft"}, {"nsfw": "None"}),
        ({"nsfw": "X"}, {"nsfw": "None"}),
        ({"nsfwLevel": 2}, {"nsfwLevel": 1}),
        ({"nsfwLevel": 16, "nsfw": False}, {"nsfwLevel": 1, "nsfw": "None"}),
        ({"nsfwLevel": 0}, {"nsfwLevel": "None"}),
        ({}, {"nsfw": "None"}),
        ({"nsfw": "None", "type": "video"}, {"nsfw": "None", "type": "image"}),
        ({"nsfw": "None", "url": None}, {"nsfw": "None"}),
    ],
)
def test_the_cover_is_the_first_image_that_may_be_shown_to_everyone(
    unsafe: dict[str, Any], safe: dict[str, Any]
) -> None:
    images = [{"url": "https://a"} | unsafe, {"url": "https://b"} | safe, {"url": "https://c", "nsfw": "None"}]

    assert facts_of(images=images).cover_url == "https://b"
    assert facts_of(images=images[:1]).cover_url == ""
    assert facts_of(images=None).cover_url == ""


def test_an_empty_base_model_type_is_silence_so_that_a_guess_may_speak() -> None:
    record, guess = convert(a_model(a_version(name="v4-inpainting", baseModelType="")))

    assert isinstance(record, Record)
    assert isinstance(guess, Record)
    assert (None, "Inpainting") == (record.facts.base_model_type, guess.facts.base_model_type)


@pytest.mark.parametrize("level", [0, None, ""])
@pytest.mark.parametrize(
    ("nsfw", "cover_url"), [(False, "https://a"), ("None", "https://a"), (True, ""), ("Mature", "")]
)
def test_where_an_image_has_no_level_yet_its_older_field_decides(level: object, nsfw: object, cover_url: str) -> None:
    images = [{"url": "https://a", "nsfwLevel": level, "nsfw": nsfw}]

    assert cover_url == facts_of(images=images).cover_url


@pytest.mark.parametrize(
    ("told", "tags"),
    [
        ([], ()),
        (None, None),
        (["style", " style ", "", "3D"], ("style", "3D")),
        ([{"name": "style", "color": "red"}, {"name": "3D"}], ("style", "3D")),
        ([{"name": "style"}, "3D"], ("style", "3D")),
    ],
)
def test_tags_are_names_or_objects_each_kept_once(told: object, tags: tuple[str, ...] | None) -> None:
    assert tags == only(a_model(tags=told)).facts.tags


def test_what_an_answer_does_not_tell_is_silence_not_an_empty_statement() -> None:
    """So a later, poorer answer takes nothing away from a richer one."""
    file = {"id": 3, "name": "a file.pt", "type": "Model"}
    bare = {"id": 1, "name": "m", "type": "LORA", "modelVersions": [{"id": 2, "files": [file]}]}

    told, guess = convert(bare)

    assert isinstance(told, Record)
    facts = told.facts
    assert (None,) * 4 == (facts.name, facts.base_model, facts.base_model_type, facts.is_nsfw)
    assert (None,) * 4 == (facts.tags, facts.rank, facts.hashes, facts.size_bytes)
    assert (None, None, None) == (facts.trigger_words, facts.published_at, facts.licence)
    assert facts.sd_name == "a file_3.pt"
    # A row needs a name; its file's is the best there is, until Civitai tells one.
    assert isinstance(guess, Record)
    assert (guess.id, guess.layer, guess.facts) == (2, Layer.GUESS, Facts(name="a file"))


@pytest.mark.parametrize(
    ("told", "uses"),
    [
        ("None", ()),
        ("Image", ("image",)),
        # A word is a level. In a list each use stands for itself.
        ("Sell", ("image", "rent", "sell")),
        (["Sell"], ("sell",)),
        (["Sell", "RentCivit", "Image"], ("image", "sell")),
        ("{Image,RentCivit}", ("image",)),
        ([], ()),
    ],
)
def test_commercial_use_is_read_as_a_word_a_list_and_a_database_set(told: object, uses: tuple[str, ...]) -> None:
    assert Licence(allow_commercial=uses) == only(a_model(allowCommercialUse=told)).facts.licence


def test_without_permissions_the_licence_is_unknown() -> None:
    assert None is only(a_model(allowCommercialUse=None)).facts.licence


def test_all_six_kinds_of_hash_are_read_whatever_their_case() -> None:
    told = {
        "AutoV1": "f6ca0e2b",
        "AutoV2": "CAC0A972CF",
        "AutoV3": "0123456789ab",
        "SHA256": "ca" * 32,
        "BLAKE3": "D9" * 32,
        "CRC32": "E2477533",
        "Future": "?",
        "x": None,
    }

    hashes = facts_of(files=[a_file(hashes=told)]).hashes

    assert hashes is not None
    assert (hashes.autov1, hashes.autov2, hashes.autov3) == ("F6CA0E2B", "CAC0A972CF", "0123456789AB")
    assert (hashes.sha256, hashes.blake3, hashes.crc32) == ("CA" * 32, "D9" * 32, "E2477533")


@pytest.mark.parametrize(
    ("name", "field", "lengths"),
    [
        ("AutoV1", "autov1", (8,)),
        ("AutoV2", "autov2", (10,)),
        ("AutoV3", "autov3", (12, 64)),
        ("SHA256", "sha256", (64,)),
        ("BLAKE3", "blake3", (64,)),
        ("CRC32", "crc32", (8,)),
    ],
)
def test_a_hash_has_one_of_the_lengths_of_its_kind(name: str, field: str, lengths: tuple[int, ...]) -> None:
    """AutoV3 was told whole until Civitai shortened it."""
    for length in range(1, 70):
        (outcome,) = convert(a_model(a_version(files=[a_file(hashes={name: "A" * length})])))

        if length in lengths:
            assert isinstance(outcome, Record)
            assert "A" * length == getattr(outcome.facts.hashes, field)
        else:
            assert isinstance(outcome, Record)
            assert outcome.facts.hashes is None


# --- Answers about one version ---------------------------------------------------------------------------------------


def test_an_answer_about_one_version_or_by_hash_is_read() -> None:
    answer = a_version(modelId=4201, model={"name": "Realistic", "type": "LORA", "nsfw": True, "poi": False})

    facts = only(answer).facts

    assert (facts.upstream_model_id, facts.title, facts.is_nsfw) == (4201, "Realistic", True)
    assert facts.type is not None
    assert facts.type.name == "lora"
    # It tells no tags, so those a model's answer brought stay.
    assert facts.tags is None


@pytest.mark.parametrize("model", [None, {}, {"type": None}, {"type": ""}, {"type": "Unknown"}, {"name": "Realistic"}])
def test_a_version_whose_model_has_no_type_leaves_the_type_to_its_file(model: object) -> None:
    assert only(a_version(modelId=4201, model=model)).facts.type is None


@pytest.mark.parametrize("spelling", [None, "", "  ", "unknown", 7])
def test_a_model_without_a_type_leaves_the_type_to_its_files(spelling: object) -> None:
    assert only(a_model(type=spelling)).facts.type is None


def test_every_file_of_a_version_is_remembered_with_its_hashes_the_chosen_one_first() -> None:
    full = a_file(id=1, name="thing.safetensors", sizeKB=4000.0, primary=False)
    pruned = a_file(
        id=2,
        name="thing-pruned.safetensors",
        type="Pruned Model",
        sizeKB=2000.0,
        primary=True,
        metadata={"format": "SafeTensor", "fp": "fp8"},
        hashes={"SHA256": "b" * 64, "CRC32": "0000000c"},
    )
    others = [a_file(id=3, type="VAE"), a_file(id=4, type="Config", name="thing.yaml")]

    facts = only(a_model(a_version(files=[pruned, *others, full]))).facts

    hashes = Hashes(sha256="B" * 64, crc32="0000000C")
    assert facts.files is not None
    assert ("thing.safetensors", facts.hashes, "full", False) == (
        facts.files[0].name,
        facts.files[0].hashes,
        facts.files[0].size_kind,
        facts.files[0].is_primary,
    )
    assert facts.files[1:] == (
        ModelFile(
            "thing-pruned.safetensors", 2, "Pruned Model", 2_048_000, "SafeTensor", "fp8", "pruned", True, hashes
        ),
    )


def test_files_are_read_back_from_the_store_as_they_were_put(tmp_path: Path) -> None:
    record = only(a_model(a_version(files=[a_file(id=1), a_file(id=2, name="other.ckpt", metadata=None, hashes={})])))
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite")
    list(open_catalog(store).register_many([record]))

    entry = store.entry(114600)
    store.close()

    assert entry is not None
    assert record.facts == entry.layers[Layer.UPSTREAM]


# --- Placeholders and levels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [None, "", " ", "Unknown", "none", 7])
def test_a_base_model_that_says_nothing_is_no_fact(word: object) -> None:
    assert only(a_model(a_version(baseModel=word))).facts.base_model is None


def test_other_is_a_guess_that_the_tensors_of_a_file_outvote() -> None:
    record, guess = convert(a_model(a_version(baseModel="Other"), type="Other"))

    assert isinstance(record, Record)
    assert isinstance(guess, Record)
    assert (None, None) == (record.facts.type, record.facts.base_model)
    assert (Layer.GUESS, "other", "Other") == (
        guess.layer,
        guess.facts.type.name if guess.facts.type else "",
        guess.facts.base_model,
    )


@pytest.mark.parametrize(
    ("model_nsfw", "model_level", "version_level", "expected"),
    [
        (False, 1, 1, False),
        (False, 3, 3, False),
        (False, None, None, False),
        (True, 1, 1, True),
        (False, 4, 1, True),
        (False, 24, 24, True),
        (False, 1, 32, True),
        (None, 60, None, True),
        (None, None, None, None),
        ("Mature", 1, 1, True),
        ("None", 1, 1, False),
        (["odd"], 1, 1, None),
        (False, "odd", 1, False),
    ],
)
def test_levels_above_pg_13_are_not_safe_whatever_the_flag_says(
    model_nsfw: object, model_level: object, version_level: object, expected: bool | None
) -> None:
    answer = a_model(a_version(nsfwLevel=version_level), nsfw=model_nsfw, nsfwLevel=model_level)

    assert expected == only(answer).facts.is_nsfw


# --- Inpainting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "v4-inpainting (VAE)"},
        {"name": "CallistasInpainting-1,0"},
        {"name": "INPAINTING"},
        {"name": "1", "files": [a_file(name="anythingV3Inpainting_1-inpainting.ckpt")]},
        {"name": "v1", "files": [a_file(name="fasmatikSInPainting_v1.safetensors")]},
    ],
)
def test_a_checkpoint_whose_names_say_inpainting_is_followed_by_a_guess(changes: dict[str, Any]) -> None:
    record, guess = convert(a_model(a_version(baseModelType=None, **changes)))

    assert isinstance(record, Record)
    assert isinstance(guess, Record)
    assert (record.layer, record.facts.base_model_type) == (Layer.UPSTREAM, None)
    assert (guess.id, guess.layer, guess.facts.base_model_type) == (record.id, Layer.GUESS, "Inpainting")
    assert guess.facts.evidence is not None
    assert "inpainting" in guess.facts.evidence[0]


@pytest.mark.parametrize(
    "answer",
    [
        a_model(a_version(baseModelType="Standard", name="v4-inpainting")),
        a_model(a_version(baseModelType=None, name="v4-inpainting"), type="LORA"),
        a_model(a_version(baseModelType=None, name="v1", files=[a_file(name="ThinPaintLineSense.safetensors")])),
        a_model(a_version(baseModelType=None, name="v1", files=[a_file(), a_file(type="Config", name="inpaint.yaml")])),
    ],
)
def test_no_guess_where_civitai_speaks_where_it_is_no_checkpoint_or_the_letters_are_not_the_word(
    answer: object,
) -> None:
    assert only(answer).layer is Layer.UPSTREAM


# --- Damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fact", "expected"),
    [
        ({"name": 7.5}, "name", None),
        ({"baseModel": ["SD 1.5"]}, "base_model", None),
        ({"stats": {"downloadCount": -1}}, "rank", None),
        ({"stats": {"downloadCount": 2**70}}, "rank", None),
        ({"stats": 7}, "rank", None),
        ({"images": "none"}, "cover_url", ""),
        ({"images": [7, {"url": "https://a.example/1.png", "nsfwLevel": 1}]}, "cover_url", "https://a.example/1.png"),
        ({"trainedWords": ["a", 7, None, {"name": "b"}]}, "trigger_words", ("a", "b")),
        ({"files": [a_file(sizeKB="large")]}, "size_bytes", None),
        (
            {"files": [a_file(hashes={"SHA256": "not hexadecimal", "AutoV2": SHA[:10]})]},
            "hashes",
            Hashes(autov2=SHA[:10]),
        ),
        ({"files": [a_file(hashes={"SHA256": "ABCD"})]}, "hashes", None),
        ({"files": [a_file(hashes={"SHA256": 7})]}, "hashes", None),
        ({"files": ["odd", a_file(), a_file(name="n" * 2000)]}, "file_name", "realistic_v40.safetensors"),
    ],
)
def test_a_damaged_field_of_a_version_is_absent_and_the_others_are_read(
    changes: dict[str, Any], fact: str, expected: object
) -> None:
    outcomes = convert(a_model(a_version(id=1), a_version(id=2) | changes, a_version(id=3)))

    records = [item for item in outcomes if isinstance(item, Record) and item.layer is Layer.UPSTREAM]
    assert [1, 2, 3] == [record.id for record in records]
    assert (expected, "Realistic") == (getattr(records[1].facts, fact), records[1].facts.title)


@pytest.mark.parametrize("files", [{}, "none", [], [7], [a_file(name="n" * 2000)], [a_file(name=None)]])
def test_a_version_without_a_usable_file_is_skipped_with_its_place(files: object) -> None:
    skipped = skipped_of(a_model(a_version(id=2, files=files)))

    assert ("model 4201, version 2", NO_USABLE_FILE) == (skipped.where, skipped.reason)


@pytest.mark.parametrize("bad_id", [None, 0, -1, 2**40, "twelve", 1_000_000_000])
def test_a_version_needs_an_id_that_civitai_can_have_given(bad_id: object) -> None:
    assert skipped_of(a_model(a_version(id=bad_id))).reason == DAMAGED


@pytest.mark.parametrize(
    ("changes", "fact", "expected"),
    [
        ({"name": None}, "title", None),
        ({"tags": "style"}, "tags", None),
        ({"tags": [7, "style", {"name": "anime"}, {"id": 1}, None, ""]}, "tags", ("style", "anime")),
        ({"allowCommercialUse": 7}, "licence", None),
    ],
)
def test_a_damaged_field_of_a_model_is_absent_and_its_versions_are_read(
    changes: dict[str, Any], fact: str, expected: object
) -> None:
    records = [*convert(a_model(a_version(), a_version(id=2)) | changes)]

    assert [114600, 2] == [record.id for record in records if isinstance(record, Record)]
    assert [expected, expected] == [getattr(record.facts, fact) for record in records if isinstance(record, Record)]


@pytest.mark.parametrize("bad_id", [None, 0, "x", 7.5])
def test_a_model_needs_an_id(bad_id: object) -> None:
    skipped = skipped_of(a_model(a_version(), a_version(id=2)) | {"id": bad_id})

    assert DAMAGED == skipped.reason


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"half \\ud83d one", "half \ufffd one"),
        (b"half \\udc00\\ud83d", "half \ufffd\ufffd"),
        (b"whole \\ud83d\\ude00", "whole \U0001f600"),
        (b"no escape \\\\ud83d", "no escape \\ud83d"),
        (b"byte \xff one", "byte \ufffd one"),
        (b"nul \\u0000 one", "nul \ufffd one"),
        (b"no nul \\\\u0000", "no nul \\u0000"),
        (b"line\nfeed", "line feed"),
        (b"NaN, Infinity", "NaN, Infinity"),
    ],
)
def test_damaged_text_is_mended_and_nothing_else_is_changed(name: bytes, expected: str) -> None:
    answer = json.dumps(a_model()).encode().replace(b'"Realistic"', b'"%s"' % name).replace(b"2000000.0", b"-Infinity")

    facts = only(answer).facts

    assert (expected, None) == (facts.title, facts.size_bytes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", NOT_JSON),
        (b'{"id": 1, "name": "cut', NOT_JSON),
        (b"<!DOCTYPE html><title>Just a moment...</title>", NOT_JSON),
        (b"\xff\xfe{", NOT_JSON),
        (b'{"id":1,"name":"\xff","type":"LORA","modelVersions":[]}', NO_VERSIONS),
        (b'{"id":1,"name":"\\ud800","type":"LORA","modelVersions":[]}', NO_VERSIONS),
        (b"[" * 100_000, NOT_JSON),
        (b"7", NOT_AN_ANSWER),
        (b'{"hello":"world"}', NOT_AN_ANSWER),
        (b'{"error":"No model with id 1"}', "Civitai answered with an error"),
    ],
)
def test_what_is_no_answer_is_reported_and_never_raises(text: bytes, reason: str) -> None:
    assert reason == skipped_of(text).reason


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_field = st.sampled_from([*a_model(), *a_version(), "model", "modelId", "trainedWords", "allowCommercialUse"])


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(_field, _json, max_size=3),
    st.dictionaries(_field, _json, max_size=3),
    st.dictionaries(st.sampled_from([*a_file()]), _json),
)
def test_no_replaced_field_makes_it_raise(model: dict[str, Any], version: dict[str, Any], file: dict[str, Any]) -> None:
    for outcome in convert(a_model(a_version(files=[a_file(**file)]) | version) | model):
        assert isinstance(outcome, Record | Skipped)


# --- Recorded answers ------------------------------------------------------------------------------------------------


def test_all_recorded_models_become_records_or_a_counted_reason() -> None:
    outcomes = []
    with lzma.open(data_dir() / "civitai" / "models.jsonl.xz") as lines:
        for line in lines:
            outcomes.extend(convert(line))

    records = [o for o in outcomes if isinstance(o, Record)]
    told = [record for record in records if record.layer is Layer.UPSTREAM]
    guesses = [record for record in records if record.layer is Layer.GUESS]
    skipped = Counter(str(o).partition(": ")[2] for o in outcomes if isinstance(o, Skipped))
    assert (len(told), len(guesses)) == (16_324, 1_749)
    assert skipped == {
        "no usable file: only Archive": 158,
        "no usable file: only Training Data": 53,
        "no usable file: only VAE": 22,
        "no usable file: none at all": 19,
        "no usable file: only Config": 1,
        "model without versions": 6,
    }
    names = {record.id: record.facts.sd_name for record in told}
    # Names that the vendor's API answered for these versions.
    assert {
        6056: "By bad artist -neg_6310.pt",
        20068: "badhandv4_16755.pt",
        109493: "MyBreastHelperReducedRS_77310.safetensors",
    }.items() <= names.items()
    assert len(names) == len(told) == len(set(names.values()))


def _answer(name: str) -> dict[str, Any]:
    return json.loads((data_dir() / "civitai" / "answers" / name).read_bytes())  # type: ignore[no-any-return] # a recorded model


def _told(name: str) -> list[Record]:
    outcomes = convert((data_dir() / "civitai" / "answers" / name).read_bytes())
    return [o for o in outcomes if isinstance(o, Record) and o.layer is Layer.UPSTREAM]


def _any_name(name: str, is_there: Callable[[str], bool]) -> bool:
    """Whether a character of interest is in the answer's names and survives into the records' facts."""
    model = _answer(name)
    source = [model["name"], *model["tags"], *(version["name"] for version in model["modelVersions"])]
    facts = [record.facts for record in _told(name)]
    kept = [word for f in facts for word in (f.name, f.title, *(f.tags or ())) if word]
    assert {text for text in source if is_there(text)} <= set(kept)
    return any(map(is_there, source))


ODDITIES: dict[str, Callable[[str], bool]] = {
    "cjk": lambda name: _any_name(name, lambda text: any("぀" <= c <= "鿿" for c in text)),
    "cyr": lambda name: _any_name(name, lambda text: any("А" <= c <= "я" for c in text)),
    "emoji": lambda name: _any_name(name, lambda text: any(ord(c) > 0x1F000 for c in text)),
    "longname": lambda name: _any_name(name, lambda text: len(text) > 80),
    "crlf": lambda name: len(_told(name)) == 2,
    "manytags": lambda name: all(len(record.facts.tags or ()) > 10 for record in _told(name)),
    "notags": lambda name: [record.facts.tags for record in _told(name)] == [()],
    "multi": lambda name: len(_told(name)) == len(_answer(name)["modelVersions"]) > 2,
    "noversion": lambda name: [o.reason for o in convert(_answer(name)) if isinstance(o, Skipped)] == [NO_VERSIONS],
    "vaefile": lambda name: (
        not any("vae.pt" in (r.facts.sd_name or "") or "kl-f8" in (r.facts.sd_name or "") for r in _told(name))
    ),
    "pickle": lambda name: all((r.facts.sd_name or "").endswith((".ckpt", ".pt", ".bin")) for r in _told(name)),
    "danger": lambda name: {"arcaneDiffusion_v3_1016.ckpt"} <= {r.facts.sd_name for r in _told(name)},
    "sd2": lambda name: any((r.facts.base_model or "").startswith("SD 2") for r in _told(name)),
    "inpaint": lambda name: any(isinstance(o, Record) and o.layer is Layer.GUESS for o in convert(_answer(name))),
    "type:LORA": lambda name: {"lora"} == _types(name),
    "type:Checkpoint": lambda name: {"checkpoint"} == _types(name),
    "type:TextualInversion": lambda name: {"textualinversion"} == _types(name),
    "type:Hypernetwork": lambda name: {"hypernetwork"} == _types(name),
    "type:AestheticGradient": lambda name: {"aestheticgradient"} == _types(name),
    # One of the three is a configuration alone, which is no model.
    "type:Controlnet": lambda name: _types(name) == {"controlnet"} or name == "model_41439.json",
    # Poses are archives of pictures: nothing that a generation call could load.
    "type:Poses": lambda name: [o.reason for o in convert(_answer(name)) if isinstance(o, Skipped)] == [NO_USABLE_FILE],
}


def _types(name: str) -> set[str]:
    return {record.facts.type.name for record in _told(name) if record.facts.type}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_recorded_oddity(oddity: str) -> None:
    listed = json.loads((data_dir() / "civitai" / "answers_index.json").read_bytes())
    answers = [name for name, oddities in listed.items() if oddity in oddities]

    assert answers
    assert [name for name in answers if not ODDITIES[oddity](name)] == []


def test_every_recorded_oddity_has_its_check() -> None:
    listed = json.loads((data_dir() / "civitai" / "answers_index.json").read_bytes())

    assert set().union(*listed.values()) <= set(ODDITIES)
    assert len(listed) == 41
