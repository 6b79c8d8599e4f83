"""What the commands share: the home folder, opening what lies in it, and how time spans are written."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from modelyard import errors, settings, store
from modelyard.domain import Scope

_HOME = "modelyard.home"
_SPAN = re.compile(r"([0-9]{1,9})([smhdwy]?)")
_SPAN_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}

F = TypeVar("F", bound=Callable[..., Any])


def _remember_home(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    # `meta` is one for a command and the groups above it: the innermost `--home` is read last and wins.
    if value is not None:
        ctx.meta[_HOME] = value


def home_option(command: F) -> F:
    """Add ``--home``, which may stand before or after a command's name."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        expose_value=False,
        callback=_remember_home,
        help="The folder everything is kept in.  [env: MODELYARD_HOME]",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")


def read_settings() -> settings.Settings:
    """Return the settings of the home folder that the running command was given; make the folder if there is none."""
    read = settings.load(click.get_current_context().meta.get(_HOME))
    try:
        read.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(
            f"the home folder {read.home} cannot be made: {error.strerror}; choose another with --home"
        ) from error
    return read


@contextlib.contextmanager
def opened_store(read: settings.Settings) -> Iterator[store.Store]:
    """Open the store of a home folder, and close it after use."""
    opened = store.open_store(read.database_url, replicas=read.database_replica_url)
    try:
        yield opened
    finally:
        opened.close()


class Scopes(click.ParamType[frozenset[Scope]]):
    """What a key allows, divided by commas: ``read,write``."""

    name = "scope"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Scope]:
        """Return the scopes that the text names."""
        if isinstance(value, frozenset):
            return value
        try:
            return frozenset(Scope(word.strip()) for word in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not accepted; accepted, divided by commas: {', '.join(Scope)}", param, ctx)


class Duration(click.ParamType[int]):
    """A span of time such as ``90d`` or ``12h``; its value is in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds that the text means."""
        if isinstance(value, int):
            return value
        read = _SPAN.fullmatch(str(value))
        if read is None:
            self.fail(
                f"{value!r} is not a span of time; accepted: a number and s, m, h, d, w or y, such as 90d", param, ctx
            )
        return int(read[1]) * _SPAN_SECONDS[read[2]]
