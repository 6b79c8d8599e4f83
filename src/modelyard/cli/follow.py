"""`modelyard follow`: print what changes at a server."""

import time

import click
import httpx2
import msgspec

from modelyard import errors
from modelyard.cli import options, output
from modelyard.cli.server import explain, server_options
from modelyard.client import Client, ModelChange

# How long to wait before the server is asked again, after the client has given up.
_AWAY_SECONDS = 5


@click.command(epilog="Example: modelyard follow --key $KEY --json --since 812")
@options.home_and_quiet_options
@click.option(
    "--since",
    default="0",
    show_default=True,
    metavar="REVISION",
    help="Begin after this revision, or the `next` of a line.",
)
@click.option("--once", is_flag=True, help="End when there is no further change, instead of waiting for one.")
@server_options
@options.json_option
def follow(since: str, once: bool, url: str, key: str, as_json: bool) -> int:
    """Print what changes at a server, one line a change, until you press Ctrl-C.

    A line says which model is new, changed or removed. If the server is away, the command waits for it and continues
    after the last line. With --json, `next` of a line is what --since takes.
    """
    position: int | str = since
    while True:
        try:
            with Client(url, key) as client:
                for change in client.changes(position, waits=not once):
                    _show(change, as_json=as_json)
                    position = change.next
            return 0
        except (errors.Unavailable, httpx2.TransportError) as problem:
            if once:
                raise
            output.warn(f"{explain(problem, url)}; continuing after {position} when it answers")
            time.sleep(_AWAY_SECONDS)
        except errors.Unauthenticated as problem:
            raise errors.ConfigurationError(explain(problem, url)) from None
        except errors.Gone as problem:
            raise errors.Gone(f"{problem.message}: --since 0", detail="", **problem.facts) from None


def _show(change: ModelChange, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(change))
    else:
        name = f" {change.model.sd_name}" if change.model else ""
        click.echo(output.printable(f"{change.revision} {change.change} {change.id}{name}"))
