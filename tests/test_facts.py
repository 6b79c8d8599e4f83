"""How facts from several sources become one model."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain import MODEL_TYPES, Hashes, Licence, Model
from modelyard.facts import (
    FACT_NAMES,
    Facts,
    Image,
    Layer,
    ModelFile,
    Recommended,
    Resource,
    complete_files,
    fill_missing,
    format_date,
    parse_date,
    resolve,
    resolve_details,
)

SHA256 = "1A805277C8" + 54 * "0"
OTHER_SHA256 = "BA43B0EFEE" + 54 * "1"

SAID = Facts(
    name="v1",
    sd_name="a_1.safetensors",
    type=MODEL_TYPES["lora"],
    base_model="SD 1.5",
    base_model_type="Standard",
    is_nsfw=True,
    tags=("anime",),
    categories=("style",),
    cover_url="https://images/1",
    rank=7,
    hashes=Hashes(sha256=SHA256),
    file_name="a.safetensors",
    size_bytes=10,
    files=(ModelFile("a.safetensors"), ModelFile("b.safetensors")),
    upstream_model_id=3,
    title="A",
    description="d",
    creator="c",
    trigger_words=("word",),
    recommended=Recommended(weight=0.8),
    images=(Image("https://images/1"),),
    version_group="g",
    published_at="2023-07-01",
    updated_at="2023-07-02",
    licence=Licence(name="no"),
    notes="n",
    evidence=("e",),
)
EMPTY = {"name": "", "tags": (), "cover_url": "", "base_model": "", "notes": "", "hashes": Hashes(), "evidence": ()}

texts = st.sampled_from(["", "a", "b"])
facts = st.builds(
    Facts,
    name=st.none() | texts,
    sd_name=st.none() | texts,
    type=st.none() | st.sampled_from([MODEL_TYPES["vae"], MODEL_TYPES["lora"]]),
    base_model=st.none() | texts,
    is_nsfw=st.none() | st.booleans(),
    tags=st.none() | st.lists(texts, max_size=2).map(tuple),
    rank=st.none() | st.integers(0, 2),
    notes=st.none() | texts,
)


def test_the_example_of_these_tests_speaks_of_everything() -> None:
    assert [] == [name for name in FACT_NAMES if getattr(SAID, name) is None]


def test_a_source_that_says_less_takes_nothing_away() -> None:
    assert SAID == fill_missing(Facts(), SAID)
    assert SAID == fill_missing(Facts(**EMPTY), SAID)  # type: ignore[arg-type] # a table of fields


def test_a_source_that_says_more_is_believed() -> None:
    later = Facts(name="v2", is_nsfw=False, rank=0, tags=("anime", "style"))

    assert replace(SAID, name="v2", is_nsfw=False, rank=0, tags=("anime", "style")) == fill_missing(later, SAID)


def test_what_was_said_of_another_file_does_not_describe_this_one() -> None:
    later = fill_missing(Facts(sd_name="b_2.safetensors"), SAID)

    assert (None, None, None) == (later.hashes, later.file_name, later.size_bytes)
    assert ("v1", ("anime",)) == (later.name, later.tags)


@given(facts, facts)
@settings(deadline=None, max_examples=200)
def test_hearing_the_same_again_changes_nothing(newer: Facts, older: Facts) -> None:
    once = fill_missing(newer, older)

    assert once == fill_missing(newer, once) == fill_missing(once, older) == fill_missing(once, once)


def test_hashes_of_one_file_are_put_together() -> None:
    short, long = Hashes(autov2="1A805277C8", autov3=12 * "B"), Hashes(sha256=SHA256, autov3=64 * "B", crc32="01234567")

    expected = Hashes(autov2="1A805277C8", autov3=64 * "B", sha256=SHA256, crc32="01234567")

    assert expected == fill_missing(Facts(hashes=short), Facts(hashes=long)).hashes
    assert expected == fill_missing(Facts(hashes=long), Facts(hashes=short)).hashes


@pytest.mark.parametrize(
    "theirs",
    [
        Hashes(sha256=OTHER_SHA256),
        Hashes(autov2="BA43B0EFEE"),
        Hashes(crc32="FFFFFFFF"),
        Hashes(autov3=12 * "C", blake3=64 * "D"),
    ],
)
def test_hashes_of_two_files_are_never_mixed(theirs: Hashes) -> None:
    ours = Hashes(sha256=SHA256, autov3=64 * "B", crc32="01234567")

    assert ours == resolve({Layer.USER: Facts(hashes=ours), Layer.HEADER: Facts(hashes=theirs)}).hashes
    assert theirs == fill_missing(Facts(hashes=theirs), Facts(hashes=ours)).hashes


def test_the_strongest_layer_that_speaks_wins_even_with_an_empty_word() -> None:
    layers = {
        Layer.GUESS: Facts(base_model_type="Inpainting", notes="guessed"),
        Layer.UPSTREAM: Facts(name="upstream", tags=("anime",), base_model_type="Standard"),
        Layer.USER: Facts(name="mine", tags=()),
    }

    assert Facts(name="mine", tags=(), base_model_type="Standard", notes="guessed") == resolve(layers)


def test_hashes_of_one_file_from_two_layers_are_put_together() -> None:
    layers = {
        Layer.HEADER: Facts(hashes=Hashes(sha256=SHA256)),
        Layer.UPSTREAM: Facts(hashes=Hashes(autov2="1A805277C8", crc32="01234567")),
    }

    assert Hashes(autov2="1A805277C8", sha256=SHA256, crc32="01234567") == resolve(layers).hashes


def test_hashes_of_one_file_from_several_layers_are_put_together() -> None:
    layers = {
        Layer.HEADER: Facts(hashes=Hashes(sha256=SHA256, crc32="01234567")),
        Layer.UPSTREAM: Facts(hashes=Hashes(autov2="1A805277C8", autov3=64 * "B")),
        Layer.USER: Facts(hashes=Hashes(autov1="ABCDEF01")),
    }

    expected = Hashes(autov1="ABCDEF01", autov2="1A805277C8", autov3=64 * "B", sha256=SHA256, crc32="01234567")

    assert expected == resolve(layers).hashes


@given(st.dictionaries(st.sampled_from(Layer), facts, min_size=1))
@settings(deadline=None, max_examples=200)
def test_every_fact_is_what_the_strongest_speaking_layer_said(layers: dict[Layer, Facts]) -> None:
    resolved = resolve(layers)

    for name in FACT_NAMES:
        said = [value for layer in sorted(layers, reverse=True) if (value := getattr(layers[layer], name)) is not None]
        assert (said[0] if said else None) == getattr(resolved, name)


def test_layers_are_as_strong_as_they_are_near_to_the_user() -> None:
    assert [Layer.GUESS, Layer.HEADER, Layer.UPSTREAM, Layer.SIDECAR, Layer.USER] == sorted(Layer)


def test_every_answered_fact_is_a_field_of_the_model() -> None:
    answered = FACT_NAMES[: FACT_NAMES.index("file_name")]

    assert {*answered} <= {field.name for field in fields(Model)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("yesterday", None),
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59", None),
        ("2023-07-01T08:09:10.000Z", 1_688_198_950),
        ("2023-07-01T08:09:10", 1_688_198_950),
        ("2023-07-01T10:09:10+02:00", 1_688_198_950),
        ("9999-12-31T23:59:59", 253_402_300_799),
        ("9999-12-31T23:59:59-01:00", None),
    ],
)
def test_a_date_is_read_in_utc_or_in_the_zone_that_it_names(text: str | None, seconds: int | None) -> None:
    assert seconds == parse_date(text)


@pytest.mark.parametrize(("seconds", "text"), [(0, "1970-01-01T00:00:00Z"), (1_688_198_950, "2023-07-01T08:09:10Z")])
def test_a_date_is_shown_in_utc(seconds: int, text: str) -> None:
    assert text == format_date(seconds)


def test_a_record_with_fewer_images_removes_none_and_an_import_again_changes_nothing() -> None:
    whole = (Image("a", prompt="sea", steps=20, resources=(Resource("x"),)), Image("b", width=5))
    scant = (Image("a", width=3),)
    merged = fill_missing(Facts(images=scant), Facts(images=whole)).images
    assert merged is not None

    assert (Image("a", width=3, prompt="sea", steps=20, resources=(Resource("x"),)), Image("b", width=5)) == merged
    for images in (whole, scant, whole):
        assert merged == fill_missing(Facts(images=images), Facts(images=merged)).images
    assert (Image("c"), merged[0]) == fill_missing(Facts(images=(Image("c"), Image("a"))), Facts(images=merged)).images


def details(facts: Facts, team: str | None = None, **layers: Facts) -> dict[str, Any]:
    return resolve_details(facts, {Layer[name]: layer for name, layer in layers.items()}, team)


def test_a_model_without_facts_has_these_details() -> None:
    assert {
        "file_hashes": (),
        "title": "",
        "creator": "",
        "trigger_words": (),
        "file_names": (),
        "published_at": None,
        "updated_at": None,
        "size_bytes": None,
        "licence": None,
        "version_group": "",
    } == details(Facts())


def test_details_are_read_from_facts() -> None:
    facts = replace(SAID, files=(ModelFile("a.pt"), ModelFile("b.pt", hashes=Hashes(crc32="FFFFFFFF"))))

    assert {
        "file_hashes": ("FFFFFFFF",),
        "title": "A",
        "creator": "c",
        "trigger_words": ("word",),
        "file_names": ("a.pt", "b.pt"),
        "published_at": 1_688_169_600,
        "updated_at": 1_688_256_000,
        "size_bytes": 10,
        "licence": Licence(name="no"),
        "version_group": "red/g",
    } == details(facts, "red", UPSTREAM=facts)


@pytest.mark.parametrize(
    ("size_bytes", "shown"), [(0, 0), (1, 1), (-1, None), (2**63 - 1, 2**63 - 1), (2**63, None), (None, None)]
)
def test_a_size_that_no_database_holds_is_unknown(size_bytes: int | None, shown: int | None) -> None:
    assert shown == details(Facts(size_bytes=size_bytes))["size_bytes"]


def test_a_model_changed_when_the_newest_layer_says_so() -> None:
    older, newer = Facts(published_at="2023-07-05"), Facts(published_at="2023-07-01", updated_at="2023-07-03")

    assert parse_date("2023-07-05") == details(Facts(), UPSTREAM=older, USER=newer)["updated_at"]
    assert parse_date("2023-07-03") == details(Facts(), USER=newer)["updated_at"]


def test_hashes_of_further_files_are_those_that_the_model_has_not() -> None:
    own, other = Hashes(sha256=SHA256), Hashes(sha256=OTHER_SHA256, crc32="0BADCAFE")
    files = (ModelFile("a", hashes=own), ModelFile("b", hashes=other), ModelFile("c"))

    assert tuple(sorted(other.spellings())) == details(Facts(hashes=own, files=files))["file_hashes"]
    assert tuple(sorted(own.spellings() | other.spellings())) == details(Facts(files=files))["file_hashes"]
    assert () == details(Facts(hashes=own, files=(ModelFile("c"),)))["file_hashes"]


def test_the_names_of_files_are_those_of_the_files_or_else_the_one_name() -> None:
    assert ("b", "a") == details(Facts(file_name="c", files=(ModelFile("b"), ModelFile("a"), ModelFile("b"))))[
        "file_names"
    ]
    assert ("c",) == details(Facts(file_name="c"))["file_names"]


@pytest.mark.parametrize(
    ("facts", "team", "group"),
    [
        (Facts(version_group="g"), "red", "red/g"),
        (Facts(version_group="red/g"), "red", "red/g"),
        (Facts(version_group="blue/g"), "red", "red/blue/g"),
        (Facts(version_group="g", upstream_model_id=3), None, "/g"),
        (Facts(upstream_model_id=3), "red", "civitai:3"),
        (Facts(upstream_model_id=0), None, "civitai:0"),
        (Facts(version_group=""), "red", ""),
    ],
)
def test_a_group_of_versions_has_one_name(facts: Facts, team: str | None, group: str) -> None:
    assert group == details(facts, team)["version_group"]


def test_the_hashes_of_a_model_are_those_of_its_only_file() -> None:
    hashes, other = Hashes(sha256=SHA256), Hashes(sha256=OTHER_SHA256)
    lone, part, hashed = ModelFile("a"), ModelFile("a", role="unet"), ModelFile("a", hashes=other)

    assert (replace(lone, hashes=hashes),) == complete_files(Facts(hashes=hashes, files=(lone,)))
    for files in ((part,), (hashed,), (lone, lone), (lone, part), ()):
        assert files == complete_files(Facts(hashes=hashes, files=files))
    assert () == complete_files(Facts(hashes=hashes))
