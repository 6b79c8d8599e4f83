"""The nouns: how text is compared, and what a file is called."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain import (
    ANONYMOUS,
    BASE_MODEL_TYPES,
    CATEGORIES,
    COMMERCIAL_USES,
    COVER_WIDTHS,
    DATE_SECONDS_MAX,
    DOCUMENTED_TYPES,
    FILE_EXTENSIONS,
    HASH_LENGTHS,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    MODEL_TYPES,
    OWN_ID_MAX,
    OWN_ID_MIN,
    SORTS,
    TYPE_FAMILIES,
    Hashes,
    Model,
    ModelType,
    Position,
    Scope,
    Skipped,
    Source,
    Status,
    Verdict,
    Viewer,
    cover_path,
    fold,
    fold_base,
    is_placeholder,
    model_type,
    search_text,
    size_class,
    squeeze,
    words_of,
    year_of,
)

SHA256 = "1A805277C8" + 54 * "0"
OTHER_SHA256 = "BA43B0EFEE" + 54 * "1"


def model(**said: object) -> Model:
    given: dict[str, object] = {
        "id": 1,
        "name": "v1",
        "sd_name": "name_1.safetensors",
        "type": MODEL_TYPES["checkpoint"],
        "source": Source.CIVITAI,
    }
    return Model(**(given | said))  # type: ignore[arg-type] # a factory's defaults


# --- Text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Realistic VISION", "realistic vision"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("ﬁsh", "fish"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("cafe\u0301", "café"),
        ("①Ⅳ㍿", "1iv株式会社"),
        ("手描き", "手描き"),
        ("ЖАНР", "жанр"),
        ("a\u00a0b", "a b"),
    ],
)
def test_text_is_compared_in_one_form_and_one_case(text: str, folded: str) -> None:
    assert folded == fold(text)


@given(st.text(max_size=40))
@settings(deadline=None, max_examples=200)
def test_folding_does_not_depend_on_the_way_taken(text: str) -> None:
    """ASCII takes a short cut; appending one letter beyond it takes the long way, and must tell the same."""
    assert fold(text) == fold(text + "手").removesuffix("手")


@pytest.mark.parametrize("spelled", ["SD 1.5", "SD_1.5", "sd 1.5", " sd_1.5 ", "ＳＤ 1.5"])
def test_a_base_model_has_many_spellings_and_one_name(spelled: str) -> None:
    assert "sd 1.5" == fold_base(spelled)


def test_no_term_matches_across_two_fields() -> None:
    text = search_text("Name_1.pt", "v1.0", ("Anime", "Base Model"))

    assert "name_1.pt\nv1.0\nanime\nbase model" == text


# --- Types and names -------------------------------------------------------------------------------------------------


def test_a_type_is_known_by_name_whatever_its_case() -> None:
    assert ModelType("lora", "Lora") == model_type("LORA")
    assert ModelType("textualinversion", "Textual Inversion") == model_type("TextualInversion")
    assert ModelType("locon", "locon") == model_type("LoCon")
    assert ModelType("checkpoint", "Checkpoint") == model_type("Checkpoint")


def test_an_unknown_type_keeps_its_sources_spelling_for_people() -> None:
    assert ModelType("depthmap", "DepthMap") == model_type("DepthMap")


def test_the_tables_of_types_agree_with_themselves() -> None:
    assert all(name == kind.name == name.casefold() for name, kind in MODEL_TYPES.items())
    assert all(family <= MODEL_TYPES.keys() and name in family for name, family in TYPE_FAMILIES.items())


def test_categories_keep_their_numbers() -> None:
    assert [*range(100_000, 100_000 + len(CATEGORIES))] == [*CATEGORIES]
    assert len(CATEGORIES) == len(set(CATEGORIES.values()))


def test_the_words_and_numbers_of_the_api_stay() -> None:
    """Clients and databases hold on to them."""
    assert ("checkpoint", "lora", "vae", "controlnet", "upscaler", "textualinversion") == DOCUMENTED_TYPES
    assert ("Standard", "Inpainting", "Refiner", "Pix2Pix", "Depth") == BASE_MODEL_TYPES
    assert ("safetensors", "gguf", "ckpt", "pt", "pth", "bin", "onnx", "sft") == FILE_EXTENSIONS
    assert ("popular", "newest", "updated", "name", "size", "added") == SORTS
    assert ("image", "rent", "sell") == COMMERCIAL_USES
    assert (320, 640, 1280) == COVER_WIDTHS
    assert "/covers/abc/640.webp" == cover_path("abc")
    assert (8, 10, 12, 64) == HASH_LENGTHS
    assert (20, 100) == (LIMIT_DEFAULT, LIMIT_MAX)
    assert (1_000_000_000, 2_147_483_647) == (OWN_ID_MIN, OWN_ID_MAX)
    assert {"lora": {"lora", "locon", "dora"}} == TYPE_FAMILIES
    assert {0: Status.UNAVAILABLE, 1: Status.AVAILABLE} == {int(status): status for status in Status}
    assert [Verdict.CLEAN, Verdict.SUSPICIOUS] == [verdict for verdict in Verdict if verdict.is_sound]
    assert datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() == DATE_SECONDS_MAX


def test_the_types_and_categories_of_the_api_stay() -> None:
    types = """Checkpoint Lora VAE ControlNet Upscaler Textual-Inversion locon DoRA Hypernetwork AestheticGradient
        MotionModule Poses Wildcards Workflows Detection TextEncoder UNet CLIP CLIPVision IPAdapter T2IAdapter Other
        Unknown"""
    categories = """realistic anime character style concept clothing poses background buildings vehicle objects animal
        action assets tool base-model"""

    assert [name.replace("-", " ") for name in types.split()] == [kind.display_name for kind in MODEL_TYPES.values()]
    assert [name.replace("-", " ") for name in categories.split()] == [*CATEGORIES.values()]


@pytest.mark.parametrize("text", ["", " ", "Unknown", "NONE", "null", "n/a", "undefined"])
def test_a_placeholder_says_nothing(text: str) -> None:
    assert is_placeholder(text)
    assert not is_placeholder(f"{text}x")


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("", "x.pt"),
        (" A\x00\x1f\x7fB ", "ab"),
        ("\x80~ ", "\x80~"),
        (41 * "A", 40 * "a"),
        ("a" + 20 * "é", "a" + 19 * "é"),
    ],
)
def test_a_model_is_sorted_by_its_title_folded_and_cut_to_40_bytes(title: str, key: str) -> None:
    assert key == model(sd_name="X.pt", title=title).name_key


@pytest.mark.parametrize(
    ("verdict", "always", "if_suspicious_files_are_served"),
    [("clean", True, True), ("suspicious", False, True), ("error", False, False), ("dangerous", False, False)],
)
def test_what_may_be_sent_depends_on_the_setting(
    verdict: str, always: bool, if_suspicious_files_are_served: bool
) -> None:
    assert always == Verdict(verdict).is_servable(serves_suspicious=False)
    assert if_suspicious_files_are_served == Verdict(verdict).is_servable(serves_suspicious=True)


def test_words_are_separated_by_punctuation_space_controls_and_the_symbols_of_ascii() -> None:
    assert ("a", "b", "c", "d", "e€f", "g") == words_of("a-b_c\x07d + e€f\u3000g a")
    assert "abc€d" == squeeze("a-b c€\x07d")


def test_a_skipped_record_names_its_place_its_reason_and_its_detail() -> None:
    assert "a:1: no name" == str(Skipped("a:1", "no name"))
    assert "a:1: no name: it is empty" == str(Skipped("a:1", "no name", "it is empty"))


@pytest.mark.parametrize(
    ("kind", "sd_name", "in_api"),
    [
        ("checkpoint", "dreamshaper_8_93211.safetensors", "dreamshaper_8_93211.safetensors"),
        ("vae", "kl-f8.vae_5.pt", "kl-f8.vae_5.pt"),
        ("lora", "add_detail_62833.safetensors", "add_detail_62833"),
        ("locon", "GoodHands-beta2_39807.safetensors", "GoodHands-beta2_39807"),
        ("dora", "x_1.safetensors", "x_1"),
        ("textualinversion", "By bad artist -neg_6310.pt", "By bad artist -neg_6310"),
        ("textualinversion", "badhandv4_16755", "badhandv4_16755"),
        ("lora", "style v1.5 of old_77", "style v1.5 of old_77"),
        ("lora", ".safetensors", ".safetensors"),
        ("lora", "ends_with_dot_1.", "ends_with_dot_1."),
        ("lora", "name_1.twelveletter", "name_1"),
        ("lora", "name_1.thirteenchars", "name_1.thirteenchars"),
        ("upscaler", "4x_9.pth", "4x_9.pth"),
    ],
)
def test_prompts_name_some_kinds_without_their_extension(kind: str, sd_name: str, in_api: str) -> None:
    assert in_api == model(type=MODEL_TYPES[kind], sd_name=sd_name).sd_name_in_api


def test_only_checkpoints_are_for_inpainting() -> None:
    assert model(base_model_type="Inpainting").is_inpainting
    assert not model(base_model_type="Standard").is_inpainting
    assert not model(base_model_type="Inpainting", type=MODEL_TYPES["lora"]).is_inpainting


def test_positions_order_by_rank_and_then_by_id() -> None:
    assert Position(2, 1) > Position(1, 9)
    assert Position(1, 9) > Position(1, 8)
    assert Position(7, 3) == model(rank=7, id=3).position


def test_an_admins_key_may_everything_and_others_what_they_carry() -> None:
    assert Viewer("red", frozenset({Scope.ADMIN})).may(Scope.WRITE)
    assert Viewer("red", frozenset({Scope.READ})).may(Scope.READ)
    assert not Viewer("red", frozenset({Scope.READ})).may(Scope.WRITE)
    assert ANONYMOUS.may(Scope.READ)
    assert not ANONYMOUS.may(Scope.WRITE)


# --- Hashes ----------------------------------------------------------------------------------------------------------


def test_the_short_hash_is_of_sha256_or_what_a_source_told_of_it() -> None:
    assert "1A805277C8" == Hashes(sha256=SHA256).short
    assert "1A805277C8" == Hashes(autov2="1A805277C8").short
    assert "" == Hashes(autov1="ABCDEF01", crc32="01234567").short


def test_a_file_is_asked_for_by_every_full_hash_and_its_customary_beginnings() -> None:
    hashes = Hashes(autov1=8 * "A", autov3=64 * "B", sha256=64 * "C", blake3=64 * "D", crc32=8 * "E")

    assert {8 * "A", 64 * "B", 12 * "B", 64 * "C", 10 * "C", 12 * "C", 64 * "D", 8 * "E"} == hashes.spellings()
    assert {12 * "B"} == Hashes(autov3=12 * "B").spellings()
    assert {10 * "C"} == Hashes(autov2=10 * "C").spellings()
    assert set() == Hashes().spellings()


# --- Layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size_bytes", "name"),
    [
        (None, "unknown"),
        (0, "0-100mb"),
        (99_999_999, "0-100mb"),
        (100_000_000, "100-500mb"),
        (499_999_999, "100-500mb"),
        (500_000_000, "500mb-2gb"),
        (1_999_999_999, "500mb-2gb"),
        (2_000_000_000, "2-8gb"),
        (7_999_999_999, "2-8gb"),
        (8_000_000_000, "8gb"),
        (2**63 - 1, "8gb"),
    ],
)
def test_a_size_is_in_one_class(size_bytes: int | None, name: str) -> None:
    assert name == size_class(size_bytes)


@pytest.mark.parametrize(
    ("seconds", "year"), [(None, "unknown"), (0, "1970"), (1_704_067_199, "2023"), (1_704_067_200, "2024")]
)
def test_a_date_is_in_one_year_in_utc(seconds: int | None, year: str) -> None:
    assert year == year_of(seconds)


def test_a_model_is_safe_for_work_and_available_unless_it_says_otherwise() -> None:
    unsaid = Model(1, "n", "s.pt", MODEL_TYPES["lora"], Source.CIVITAI)

    assert (False, False, 1, 0, "", None) == (
        unsaid.is_nsfw,
        unsaid.is_sdxl,
        unsaid.status,
        unsaid.rank,
        unsaid.cover_url,
        unsaid.team,
    )
