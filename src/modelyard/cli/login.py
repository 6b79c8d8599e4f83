"""`modelyard login` and `modelyard logout`: keep the address of a server and a key for it, and forget them."""

import sys

import click

from modelyard import errors
from modelyard.cli import credentials, options, output
from modelyard.cli.server import ServerAddress, explain
from modelyard.client import Client, User


@click.command(epilog="Example: modelyard login https://models.example.org")
@options.home_and_quiet_options
@click.argument("url", type=ServerAddress(), envvar="MODELYARD_URL", default="http://127.0.0.1:8080", metavar="[URL]")
@options.json_option
def login(url: str, as_json: bool) -> None:
    """Keep the address of a server and an API key, so that `pull` and `push` need no options.

    URL is the server.  [env: MODELYARD_URL; default: http://127.0.0.1:8080]  The command asks for the key, or reads it
    from standard input: `modelyard login URL < key.txt`. It keeps nothing that the server does not accept. The file
    is readable by you alone. The options --url and --key come before the variables MODELYARD_URL and MODELYARD_KEY, and
    both before the login. The key of the login goes to the server of the login only.
    """
    key = _read_key(url)
    user = _check(url, key)
    path = credentials.save(credentials.Login(url, key))
    if as_json:
        output.write_json({"url": url, "team": user.team, "scopes": user.scopes})
        return
    output.remark(f"logged in to {url} as team {user.team} ({', '.join(user.scopes)}); kept in {path}")


@click.command(epilog="Example: modelyard logout")
@options.home_and_quiet_options
@options.json_option
def logout(as_json: bool) -> None:
    """Forget the address and the key that `modelyard login` keeps. The key stays valid."""
    try:
        former = credentials.load()
    except errors.ConfigurationError:
        # It cannot be used, and is removed all the same.
        former = None
    is_there = credentials.find_path().exists()
    credentials.remove()
    if as_json:
        output.write_json({"url": former.url if former else None})
        return
    output.remark(f"logged out of {former.url}" if former else "logged out" if is_there else "there is no login")


def _read_key(url: str) -> str:
    if sys.stdin.isatty():
        key = str(click.prompt(f"API key for {url}", hide_input=True, err=True))
    else:
        key = sys.stdin.readline()
    key = key.strip()
    if not key:
        raise click.UsageError("there is no key on standard input; accepted: one line with the key")
    if not key.isascii() or not key.isprintable():
        raise click.UsageError("the key has a character that no key has")
    return key


def _check(url: str, key: str) -> User:
    """Return whose key it is. Raises the server's error, with its address, if it does not accept the key."""
    try:
        with Client(url, key) as client:
            return client.user()
    except errors.ModelyardError as problem:
        raise errors.ConfigurationError(f"{explain(problem, url)}; nothing was kept") from problem
