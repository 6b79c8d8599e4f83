"""The server that a command asks: its address and key from options, environment or login, and what it answered."""

import errno
import ipaddress
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from modelyard import errors
from modelyard.cli import credentials

_LOCAL_URL = "http://127.0.0.1:8080"

F = TypeVar("F", bound=Callable[..., Any])


class ServerAddress(click.ParamType[str]):
    """The address of a server. Without a scheme it means ``scheme``, and HTTP on this machine."""

    name = "url"

    def __init__(self, scheme: str = "http") -> None:
        """Take the scheme of other machines."""
        self._scheme = scheme

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address with its scheme, and without a slash at its end."""
        text = str(value).strip()
        url = (text if "://" in text else f"{self._scheme}://{text}").rstrip("/")
        try:
            parts = urlsplit(url)
            if "://" not in text and _is_local(parts.hostname or ""):
                url = f"http://{text}".rstrip("/")
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            # A password in the address would be shown by every message that names the server.
            has_more = "@" in parts.netloc or bool(parts.query) or bool(parts.fragment)
        except ValueError:  # a port that is no number, a bracket without its end
            is_address, has_more = False, False
        if has_more:
            self.fail(
                "a user name, a password, a query and a fragment are not accepted in the address of a server; "
                "accepted: HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT], and the key by --key or "
                "`modelyard login`",
                param,
                ctx,
            )
        if not is_address or not url.isprintable() or " " in url:
            self.fail(
                f"{value!r} is not accepted; accepted: HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT]",
                param,
                ctx,
            )
        return url


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _find_url() -> str:
    login = credentials.load()
    return login.url if login else _LOCAL_URL


def _find_key(context: click.Context, parameter: click.Parameter, key: str) -> str:
    """Return the key of the login if there is no other. It is for the login's server and for no other."""
    if key or context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT:
        return key
    login = credentials.load()
    return login.key if login and login.url == context.params["url"] else ""


def server_options(command: F) -> F:
    """Add ``--url`` and ``--key``."""
    command = click.option(
        "--url",
        type=ServerAddress(),
        envvar="MODELYARD_URL",
        default=_find_url,
        is_eager=True,  # before --key, which asks for it
        help=f"The server.  [env: MODELYARD_URL; default: the one of `modelyard login`, or {_LOCAL_URL}]",
    )(command)
    return click.option(
        "--key",
        envvar="MODELYARD_KEY",
        default="",
        callback=_find_key,
        help="The API key.  [env: MODELYARD_KEY; default: the one of `modelyard login`]",
    )(command)


def explain(problem: Exception, url: str) -> str:
    """Return what went wrong, with the address that was asked if a server said so."""
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
        return "the disk is full; free some space and run the command again"
    if isinstance(problem, errors.MissingKey):
        return f"{url} needs an API key: give --key or MODELYARD_KEY, or run `modelyard login`"
    if isinstance(problem, (errors.UpstreamRefused, errors.DownloadFailed)):
        return problem.message  # said by another server than the one that was asked
    message = str(getattr(problem, "message", problem))
    return message if not isinstance(problem, errors.ModelyardError) or url in message else f"{url}: {message}"
