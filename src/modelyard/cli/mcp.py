"""`modelyard mcp`: tools for language models, on standard input and output."""

import asyncio
import importlib

import click

from modelyard import errors
from modelyard.cli import options
from modelyard.cli.server import server_options


@click.command(epilog="Example: modelyard mcp --url https://models.example.org --key $KEY")
@options.home_and_quiet_options
@server_options
@click.option("--json", is_flag=True, expose_value=False, help="Changes nothing: the messages are JSON without it.")
def mcp(url: str, key: str) -> int:
    """Answer a program with a language model, by the Model Context Protocol on standard input and output.

    The program starts this command itself; write it into the program's settings. The tools see and do what
    the key allows at the server. The server answers the same at /mcp.
    """
    try:
        server = importlib.import_module("modelyard.web.mcp.server")
    except ModuleNotFoundError:
        raise errors.ConfigurationError(
            "the Model Context Protocol is not installed; install it with: pip install 'modelyard[mcp]'"
        ) from None
    asyncio.run(server.serve_stdio(url, key))
    return 0
