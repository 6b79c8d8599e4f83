"""Licences: Civitai's words, the line that older versions stored, names and addresses."""

import itertools

import pytest

from modelyard.domain import Licence
from modelyard.licences import format_licence, format_permissions, parse_licence, read_commercial_use

PERMISSIONS = [
    Licence(None, None, None, uses, *flags)
    for uses in (None, (), ("image",), ("image", "rent"), ("image", "rent", "sell"))
    for flags in itertools.product((None, True, False), repeat=3)
]


def test_the_line_of_permissions_is_read_back_exactly() -> None:
    known = [licence for licence in PERMISSIONS if licence != Licence()]

    assert known == [parse_licence(format_permissions(licence)) for licence in known]


@pytest.mark.parametrize(
    ("line", "licence"),
    [
        # As version 1 stored them, with Civitai's spelling of the uses.
        ("commercial use: no", Licence(allow_commercial=())),
        ("commercial use: Image", Licence(allow_commercial=("image",))),
        (
            "commercial use: Sell; credit required",
            Licence(allow_commercial=("image", "rent", "sell"), allow_no_credit=False),
        ),
        ("commercial use: Image, RentCivit", Licence(allow_commercial=("image",))),
        ("commercial use: RentCivit", Licence(allow_commercial=())),
        ("no derivatives; same permissions required", Licence(allow_derivatives=False, allow_different_licence=False)),
        # Other texts are names.
        ("CreativeML Open RAIL++-M", Licence(id="creativeml-open-rail++-m", name="CreativeML Open RAIL++-M")),
        (
            "credit required; see the README",
            Licence(id="credit-required-see-the-readme", name="credit required; see the README"),
        ),
        ("https://example.org/licence", Licence(url="https://example.org/licence")),
        ("手", Licence(name="手")),
    ],
)
def test_a_licence_is_read_from_the_text_that_an_older_version_stored(line: str, licence: Licence) -> None:
    assert licence == parse_licence(line)


@pytest.mark.parametrize(("word", "uses"), [("Rent", ("image", "rent")), ("Foo", ()), ("", ()), ("none", ())])
def test_a_word_of_commercial_use_is_a_level(word: str, uses: tuple[str, ...]) -> None:
    assert uses == read_commercial_use(word)


def test_people_read_what_is_known_of_a_licence() -> None:
    licence = Licence("mit", "MIT", "https://x", ("image", "sell"), None, False)

    assert "MIT; https://x; commercial use: image, sell; no derivatives" == format_licence(licence)
    assert "" == format_licence(Licence())


@pytest.mark.parametrize(
    ("value", "uses"),
    [
        (None, None),
        ("{Image,RentCivit,Rent}", ("image", "rent")),
        ("{}", ()),
        (["Sell", " image "], ("image", "sell")),
        ([], ()),
        (" Sell ", ("image", "rent", "sell")),
    ],
)
def test_uses_are_a_level_a_list_or_a_set(value: str | list[str] | None, uses: tuple[str, ...] | None) -> None:
    assert uses == read_commercial_use(value)


def test_a_licence_without_any_commercial_use_says_no() -> None:
    licence = Licence(allow_commercial=())

    assert "commercial use: no" == format_permissions(licence)
    assert licence == parse_licence("commercial use: no")


def test_a_licence_without_a_name_is_shown_by_its_id() -> None:
    assert "mit" == format_licence(Licence(id="mit"))


@pytest.mark.parametrize(("chars", "id_"), [(64, "a" * 64), (65, None)])
def test_an_id_has_at_most_64_characters(chars: int, id_: str | None) -> None:
    assert Licence(id=id_, name="a" * chars) == parse_licence("a" * chars)


def test_a_name_is_cut_after_a_thousand_characters() -> None:
    assert "é" * 1_000 == parse_licence(" " + "é" * 1_001).name


@pytest.mark.parametrize("text", ["http://a.example/x y", "ftp://a.example/"])
def test_what_is_no_address_of_one_word_is_a_name(text: str) -> None:
    licence = parse_licence(text)

    assert (None, text) == (licence.url, licence.name)
