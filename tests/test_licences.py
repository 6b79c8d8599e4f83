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
