"""What an uploader says of a model: which words are accepted, what they become, and where their limits are.

Not covered here: the words as they come over HTTP (test_uploads.py, test_tus.py), and what a look at a file says
(test_inspecting.py).
"""

from collections.abc import Callable

import pytest

from modelyard import errors
from modelyard.domain import CATEGORIES, Source, Visibility, model_type
from modelyard.facts import Facts
from modelyard.registry import fields, names

COVER = "/covers/" + 32 * "0" + "/640.webp"


def field_refused(read: Callable[[], object]) -> object:
    with pytest.raises(errors.InvalidValue) as refused:
        read()
    return refused.value.facts["field"]


def test_every_word_of_an_upload_becomes_a_fact() -> None:
    declared = fields.parse_upload_metadata(
        {
            "filename": "folder/My File.GGUF",
            "name": "mine",
            "type_name": "LORA",
            "base_model": " SD 1.5 ",
            "base_model_type": "Standard",
            "tags": "night, harbour,,night",
            "is_nsfw": "F",
            "category_id": "100000",
            "cover_url": COVER,
            "source": "training",
            "visibility": "public",
        }
    )

    facts = Facts(
        name="mine",
        type=model_type("LORA"),
        base_model="SD 1.5",
        base_model_type="Standard",
        tags=("night", "harbour"),
        is_nsfw=False,
        categories=(CATEGORIES[100_000],),
        cover_url=COVER,
        file_name="My File.GGUF",
    )
    assert fields.UploadMetadata(facts, Source.TRAINING, Visibility.PUBLIC, "gguf") == declared


def test_an_upload_that_says_nothing_is_a_private_model_of_its_team() -> None:
    declared = fields.parse_upload_metadata({})

    assert fields.UploadMetadata(Facts(name="model"), Source.UPLOADING, Visibility.PRIVATE, "") == declared


@pytest.mark.parametrize(
    ("file_name", "label", "name", "extension"),
    [
        ("a.safetensors", "a.safetensors", "a", "safetensors"),
        ("C:\\models\\a b.pt", "a b.pt", "a_b", "pt"),
        ("../../a.ckpt", "a.ckpt", "a", "ckpt"),
        ("without", "without", "without", ""),
        (".without", ".without", "without", ""),
        ("новый.pt", "новый.pt", "novyy", "pt"),
        ("a\x00\n.pt", "a.pt", "a", "pt"),
        (300 * "a", 255 * "a", 100 * "a", ""),
    ],
)
def test_a_file_name_gives_a_label_a_name_and_an_extension(
    file_name: str, label: str, name: str, extension: str
) -> None:
    declared = fields.parse_upload_metadata({"filename": file_name})

    assert (label, name, extension) == (declared.facts.file_name, declared.facts.name, declared.extension)


def test_an_extension_is_accepted_with_its_dot_and_in_any_case_before_that_of_the_name() -> None:
    declared = fields.parse_upload_metadata({"filename": "a.exe", "file_extension": ".SafeTensors"})

    assert "safetensors" == declared.extension


@pytest.mark.parametrize(
    ("declared", "title"),
    [
        ({"filename": "ночная гавань.pt"}, "ночная гавань"),
        ({"filename": "日本語モデル"}, "日本語モデル"),
        ({"filename": "crème.pt"}, "crème"),
        ({"filename": "night harbour (v2).pt"}, "night harbour (v2)"),
        ({"filename": "night_harbour.pt"}, None),
        ({"filename": "日本語.pt", "name": "mine"}, None),
    ],
)
def test_a_file_name_that_the_name_cannot_have_is_the_title(declared: dict[str, str], title: str | None) -> None:
    assert title == fields.parse_upload_metadata(declared).title


def test_a_file_of_another_extension_is_refused() -> None:
    with pytest.raises(errors.UnsupportedFile, match="'exe' is not accepted"):
        fields.parse_upload_metadata({"filename": "a.exe"})


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("filename", 1_024 * "a"),
        ("name", 100 * "a"),
        ("name", "a b-c_d.e"),
        ("type_name", 100 * "a"),
        ("base_model", 100 * "я"),
        ("is_nsfw", "TRUE"),
        ("is_nsfw", "0"),
        ("cover_url", "https://a/" + 2_038 * "b"),
        ("cover_url", "http://a"),
        ("tags", ",".join(f"t{n}" for n in range(100))),
        ("tags", ",".join(["same"] * 101)),
        ("source", "uploading"),
        ("title", 200 * "я"),
        ("description", "tab\t line\r\n wide\u3000space\xa0" + 19_970 * "a"),
        ("trigger_words", 500 * "a"),
        ("trigger_words", ",".join(f"w{n}" for n in range(100))),
        ("trigger_words", ",".join(["same"] * 101)),
        ("category_id", "100013"),
        ("is_nsfw", "t"),
        ("is_nsfw", "f"),
    ],
)
def test_words_up_to_their_limit_are_accepted(field: str, accepted: str) -> None:
    fields.parse_upload_metadata({field: accepted})


@pytest.mark.parametrize(
    ("field", "refused"),
    [
        ("filename", 1_025 * "a"),
        ("name", 101 * "a"),
        ("name", "   "),
        ("name", "a/b"),
        ("name", "я\n"),
        ("type_name", 101 * "a"),
        ("type_name", "a,b"),
        ("base_model", "a\nb"),
        ("base_model_type", 101 * "a"),
        ("is_nsfw", "yes"),
        ("cover_url", "https://a/" + 2_039 * "b"),
        ("cover_url", "https://a b"),
        ("cover_url", "https://a\x07"),
        ("cover_url", "ftp://a"),
        ("cover_url", COVER.replace(".webp", ".png")),
        ("tags", ",".join(f"t{n}" for n in range(101))),
        ("tags", 101 * "a"),
        ("source", "civitai"),
        ("visibility", "Public"),
        ("category_id", "99999"),
        ("category_id", "-100000"),
        ("category_id", "١٠٠٠٠٠"),
        ("category_id", "0001000001"),
        ("category_id", 5_000 * "9"),
        ("title", 201 * "я"),
        ("title", "a\tb"),
        ("description", 20_001 * "a"),
        ("description", "a\rb"),
        ("trigger_words", 501 * "a"),
        ("trigger_words", "a\tb"),
        ("trigger_words", ",".join(f"w{n}" for n in range(101))),
    ],
)
def test_words_beyond_their_limit_are_refused_by_their_field(field: str, refused: str) -> None:
    assert field == field_refused(lambda: fields.parse_upload_metadata({field: refused}))


def test_an_empty_cover_is_accepted_as_none() -> None:
    assert "" == fields.checked_cover("")


def test_categories_are_known_by_name_and_listed_once() -> None:
    assert ("anime", "style") == fields.checked_categories(["anime", "style", "anime"])
    assert "categories" == field_refused(lambda: fields.checked_categories(["anime", "Anime"]))


@pytest.mark.parametrize(
    ("name", "extension", "sd_name"),
    [
        ("My LoRA v1.0", "safetensors", "My_LoRA_v1.0_7.safetensors"),
        ("mine", "", "mine_7"),
        (" . ", "pt", "model_7.pt"),
        ("_a_", "pt", "a_7.pt"),
    ],
)
def test_a_file_is_called_by_its_models_name_and_id(name: str, extension: str, sd_name: str) -> None:
    assert sd_name == names.sd_name_of(name, 7, extension)


def test_texts_of_an_upload_are_trimmed_and_its_trigger_words_are_split_at_lines_or_commas() -> None:
    texts = {"title": " Lamp ", "description": " a\r\n\tb ", "trigger_words": "lit, lamp,, lit"}
    facts = fields.parse_upload_metadata(texts).facts
    lines = fields.parse_upload_metadata({"trigger_words": "lit, lamp\n\n dusk "}).facts

    assert Facts(name="model", title="Lamp", description="a\n\tb", trigger_words=("lit", "lamp")) == facts
    assert ("lit, lamp", "dusk") == lines.trigger_words


def test_the_name_of_an_upload_in_another_script_is_its_title_too() -> None:
    metadata = fields.parse_upload_metadata({"name": "夜の港", "filename": "x y.pt"})

    assert (Facts(name="YenoGang", title="夜の港", file_name="x y.pt"), None) == (metadata.facts, metadata.title)


def test_an_error_shows_the_first_64_characters_of_the_value() -> None:
    with pytest.raises(errors.InvalidValue) as refused:
        fields.parse_upload_metadata({"tags": 65 * "é" + 36 * "a"})

    assert refused.value.message.startswith(f"tags: '{64 * 'é'}' is not accepted; accepted: up to 100 characters")
    assert ("tags", 64 * "é") == (refused.value.facts["field"], refused.value.facts["given"])


def test_an_extension_that_is_not_accepted_is_named_with_those_that_are() -> None:
    with pytest.raises(errors.UnsupportedFile, match=r"^file_extension: ") as refused:
        fields.parse_upload_metadata({"file_extension": 40 * "x"})

    allowed = ["safetensors", "gguf", "ckpt", "pt", "pth", "bin", "onnx", "sft"]
    assert {"field": "file_extension", "given": 32 * "x", "allowed": allowed} == refused.value.facts
