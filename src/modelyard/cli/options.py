"""The options that commands share, and the types of their values: scopes, durations and rates."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from modelyard.domain import Scope
from modelyard.errors import InvalidRequest

_HOME, _QUIET = "modelyard.home", "modelyard.quiet"
_DURATION = re.compile(r"([0-9]{1,9})([smhdwy])")
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)\s?([kmgt]?)b?", re.ASCII | re.IGNORECASE)
_SIZE_UNIT_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s?(|[kmg])(?:i?b)?(?:/s)?", re.IGNORECASE)
_UNIT_BYTES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
# A server ends uploads of less than 1 KiB a second, and four of them share the rate.
_RATE_MIN = 10_000
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}

F = TypeVar("F", bound=Callable[..., Any])


def _store_home(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    # A command and its groups share one `meta`. click reads the innermost `--home` last, so that one wins.
    if value is not None:
        ctx.meta[_HOME] = value


def _store_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_QUIET] = True


def is_quiet() -> bool:
    """Return whether the running command has ``--quiet``."""
    context = click.get_current_context(silent=True)
    return context is not None and _QUIET in context.meta


def home_and_quiet_options(command: F) -> F:
    """Add ``--home`` and ``--quiet``, which users may write before or after a command's name."""
    command = click.option(
        "--quiet",
        "-q",
        is_flag=True,
        expose_value=False,
        callback=_store_quiet,
        help="Write results and errors only, no remarks and no progress.",
    )(command)
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


class WholeNumber(click.IntRange):
    """A whole number in a range; its error says which one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            accepted = f"from {self.min} to {self.max}" if self.max is not None else f"of {self.min} or more"
            self.fail(f"{value!r} is not accepted; accepted: a whole number {accepted}", param, ctx)


def accept_any_text(command: click.Command) -> click.Command:
    """Return the command with ``Text`` and ``WholeNumber`` for its values, and for those of its subcommands."""
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = Text()
        elif type(parameter.type) is click.IntRange:
            parameter.type = WholeNumber(parameter.type.min, parameter.type.max)
    for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
        accept_any_text(subcommand)
    return command


def home_of_command() -> Path | None:
    """Return the home folder that the running command's ``--home`` names, None without that option."""
    home: Path | None = click.get_current_context().meta.get(_HOME)
    return home


# The fields of the API whose options have another name.
_OPTION_NAMES = {"type_name": "type", "is_nsfw": "nsfw"}


def name_option(error: InvalidRequest, arguments: Sequence[str]) -> str:
    """Return the message, with the option that was typed in place of the API's name for it."""
    name = str(error.facts.get("parameter") or error.facts.get("field") or "")
    if not name or not error.message.startswith(f"{name}:"):
        return error.message
    for option in _find_options(name):
        if any(argument.partition("=")[0] == option for argument in arguments):
            return option + error.message.removeprefix(name)
    if name == "filter.search":
        return "TERMS" + error.message.removeprefix(name)
    return error.message


def _find_options(name: str) -> tuple[str, ...]:
    """Return the options that may set a parameter or field of the API."""
    field = name.removeprefix("filter.").removeprefix("pagination.").replace(".", "_")
    return tuple("--" + text.replace("_", "-") for text in (field, _OPTION_NAMES.get(field, field)))


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

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 # click's signature
        """Complete one scope."""
        return [CompletionItem(str(scope)) for scope in Scope if scope.startswith(incomplete)]


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


class Size(click.ParamType[int]):
    """A number of bytes such as ``750M`` or ``1.5T``, in powers of ten."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes that the text means."""
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size; accepted: bytes, such as 750M, 500G or 1.5T", param, ctx)
        return round(float(match[1]) * _SIZE_UNIT_BYTES[match[2].lower()])


class Rate(click.ParamType[int]):
    """A number of bytes in a second such as ``500k`` or ``2.5M``."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes in a second that the text means."""
        match = _RATE.fullmatch(str(value).strip())
        rate = float(match[1]) * _UNIT_BYTES[match[2].lower()] if match else 0.0
        if rate < _RATE_MIN:
            self.fail(f"{value!r} is no rate; accepted: bytes in a second from 10k, such as 500k or 2.5M", param, ctx)
        return round(rate)
