"""The options that commands share, and the types of their values: scopes and durations."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from modelyard.domain import Scope

_HOME = "modelyard.home"
_DURATION = re.compile(r"([0-9]{1,9})([smhdwy])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}

F = TypeVar("F", bound=Callable[..., Any])


def _store_home(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    # A command and its groups share one `meta`. click reads the innermost `--home` last, so that one wins.
    if value is not None:
        ctx.meta[_HOME] = value


def home_option(command: F) -> F:
    """Add ``--home``, which users may write before or after a command's name."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        expose_value=False,
        callback=_store_home,
        help="The folder with all data of this installation.  [env: MODELYARD_HOME]",
    )(command)


class Text(click.ParamType[str]):
    """Text of the command line; bytes that are not UTF-8 are replaced, as in the names of the catalogue."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 # click's signature
        """Return the text without the lone surrogates that Python makes of other bytes."""
        return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def accept_any_text(command: click.Command) -> click.Command:
    """Return the command with ``Text`` for its plain texts, and for those of its subcommands."""
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = Text()
    for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
        accept_any_text(subcommand)
    return command


def home_of_command() -> Path | None:
    """Return the home folder that the running command's ``--home`` names, None without that option."""
    home: Path | None = click.get_current_context().meta.get(_HOME)
    return home


json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")


class Scopes(click.ParamType[frozenset[Scope]]):
    """What a key allows, separated by commas: ``read,write``."""

    name = "scope"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Scope]:
        """Return the scopes that the text names."""
        if isinstance(value, frozenset):
            return value
        try:
            return frozenset(Scope(word.strip()) for word in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not accepted; accepted, separated by commas: {', '.join(Scope)}", param, ctx)


class Duration(click.ParamType[int]):
    """A length of time such as ``90d`` or ``12h``; its value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds that the text means."""
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail(
                f"{value!r} is not a duration; accepted: a number and a unit (s, m, h, d, w or y), such as 90d",
                param,
                ctx,
            )
        return int(match[1]) * _UNIT_SECONDS[match[2]]
