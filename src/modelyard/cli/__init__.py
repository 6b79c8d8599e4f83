"""The commands. Results go to standard output, everything else to standard error; exit codes are 0 done, 1 not done,
or interrupted, 2 misused.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from modelyard import __version__, errors
from modelyard.cli.options import home_option

# Where each command is, and its line in `modelyard --help`. A command's module is imported when it is called: the web
# server and the catalogue take most of a second to import, which `modelyard --help` and `modelyard key` must not cost.
COMMANDS = {
    "serve": ("modelyard.cli.serve:serve", "Answer the API, and the pages to try it on."),
    "import": ("modelyard.cli.import_civitai:import_", "Take models in from other catalogues' records."),
    "add": ("modelyard.cli.add:add", "Take model files in where they lie."),
    "search": ("modelyard.cli.search:search", "Search the catalogue from the terminal."),
    "verify": ("modelyard.cli.index:verify", "Check every byte of the index, and the database."),
    "reindex": ("modelyard.cli.index:reindex", "Build the index anew from the database."),
    "inspect": ("modelyard.cli.inspect:inspect", "Say what a model file is, with the evidence."),
    "export": ("modelyard.cli.export:export", "Write what is known, for other programs."),
    "pull": ("modelyard.cli.pull_push:pull", "Fetch models' files from a server."),
    "push": ("modelyard.cli.pull_push:push", "Send models' files to a server."),
    "jobs": ("modelyard.cli.jobs:jobs", "List the work to be done, and what was given up."),
    "migrate": ("modelyard.cli.database:migrate", "Copy the record to another database, and the files."),
    "backup": ("modelyard.cli.database:backup", "Write the record into a file, while it is served."),
    "restore": ("modelyard.cli.database:restore", "Make the database be what a backup has."),
    "gc": ("modelyard.cli.gc:gc", "Remove files that no model needs any more."),
    "key": ("modelyard.cli.key:key", "Make, list and revoke API keys."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed; click's own documented way to do it is a subclass."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """Return the names in the order of the table."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 # click's signature
        """Import the command's module and return the command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 # click's signature
        """Write the list of commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: modelyard serve --demo",
)
@click.version_option(__version__, prog_name="modelyard")
@home_option
def cli() -> None:
    """A catalogue of generative-image models, answering GET /v3/model."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors of ours become one line on standard error."""
    try:
        code = cli.main(arguments, prog_name="modelyard", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 1
    except errors.InvalidRequest as error:
        return _complain(error, 2)
    except errors.ModelyardError as error:
        return _complain(error, 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _complain(error: errors.ModelyardError, code: int) -> int:
    click.echo(f"modelyard: {error.message}", err=True)
    return code


def main() -> None:
    """Run as a program."""
    sys.exit(run())
