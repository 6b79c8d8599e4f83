"""What the options of several commands accept."""

import click
import pytest

from modelyard.cli.options import Duration, Scopes, Text
from modelyard.domain import Scope


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("2m", 120), ("3h", 10_800), ("4d", 345_600), ("5w", 3_024_000), ("2y", 63_072_000), ("0s", 0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert seconds == Duration().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "1", "d", "1x", "1 d", "-1d", "1d2h", "1.5h", "1234567890s"])
def test_another_text_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration"):
        Duration().convert(text, None, None)


def test_a_value_that_is_one_already_stays() -> None:
    assert 7 == Duration().convert(7, None, None)
    assert frozenset({Scope.READ}) == Scopes().convert(frozenset({Scope.READ}), None, None)


def test_scopes_are_words_separated_by_commas() -> None:
    assert frozenset({Scope.READ, Scope.ADMIN}) == Scopes().convert(" read,admin ", None, None)
    with pytest.raises(click.BadParameter, match="accepted, separated by commas: read, write, admin"):
        Scopes().convert("read,fly", None, None)


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert "a�b" == Text().convert("a\udcffb", None, None)
