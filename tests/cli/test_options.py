"""What the options of several commands accept."""

from collections.abc import Iterator

import click
import pytest

from modelyard.cli import cli
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
    with pytest.raises(click.BadParameter, match="accepted, separated by commas: read, write, admin, download"):
        Scopes().convert("read,fly", None, None)


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert "a�b" == Text().convert("a\udcffb", None, None)


def defaults_of(command: click.Command, name: str) -> Iterator[str]:
    """Yield each option of a command, and of those below it, that has a value by default."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for part in command.list_commands(context):
            yield from defaults_of(command.get_command(context, part) or command, f"{name} {part}")
    else:
        options = (option for option in command.params if isinstance(option, click.Option) and not option.is_flag)
        for option in options:
            value = option.to_info_dict()["default"]
            if value is not None and not callable(value):
                yield f"{name} {option.opts[0]} {value}"


def test_the_values_of_options_that_are_left_out() -> None:
    expected = """
        modelyard add --source uploading
        modelyard add --rescan-interval 300.0
        modelyard pull --root .
        modelyard pull --key
        modelyard follow --key
        modelyard follow --since 0
        modelyard mcp --key
        modelyard push --wait 600.0
        modelyard push --key
        modelyard send --key
        modelyard backup --then
        modelyard gc --grace 7d
        modelyard key create --scope ['read,write']
        modelyard key rotate --overlap 24h
        modelyard key create --name
        modelyard key create --purpose
        modelyard audit --since 7d
        modelyard audit --verb
        modelyard audit --key
        modelyard webhook create --filter
    """

    assert {line.strip() for line in expected.split("\n")} - {""} == {
        line.rstrip() for line in defaults_of(cli, "modelyard")
    }
