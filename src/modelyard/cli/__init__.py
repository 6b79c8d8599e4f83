"""The commands.

Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 failure, 2 wrong usage, 130
interruption.
"""

import errno
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from modelyard import describe_version, errors
from modelyard.cli.options import accept_any_text, home_and_quiet_options, name_option

# Where each command is, and its line in `modelyard --help`. A command's module is imported when the command runs: the
# web server, the catalogue and the store take most of a second to import, and `modelyard --help` needs none of them.
COMMANDS = {
    "serve": ("modelyard.cli.serve:serve", "Run the server, with the API and the pages."),
    "import": ("modelyard.cli.import_civitai:import_", "Import models from the records of other catalogues."),
    "add": ("modelyard.cli.add:add", "Add model files where they lie."),
    "search": ("modelyard.cli.search:search", "Search the catalogue from the terminal."),
    "resolve": ("modelyard.cli.resolve:resolve", "List the models that a workflow or a picture needs."),
    "show": ("modelyard.cli.show:show", "Show everything that is known of a model."),
    "explain": ("modelyard.cli.explain:explain", "Show every fact of a model, and its source."),
    "fetch": ("modelyard.cli.fetch:fetch", "Get model files from Civitai, a hub or addresses."),
    "mirror": ("modelyard.cli.mirror:mirror", "Get the files of listed versions that are not here."),
    "edit": ("modelyard.cli.edit:edit", "Change what the owner says of a model."),
    "rm": ("modelyard.cli.rm:rm", "Remove models from the catalogue."),
    "link": ("modelyard.cli.link:link", "Make a file one of an imported version's files."),
    "unlink": ("modelyard.cli.link:unlink", "Make a file a model of its own again."),
    "inspect": ("modelyard.cli.inspect:inspect", "Show what a model file is, with the evidence."),
    "export": ("modelyard.cli.export:export", "Write what the catalogue knows, for other programs."),
    "pull": ("modelyard.cli.pull:pull", "Download models' files from a server."),
    "send": ("modelyard.cli.send:send", "Have a generator fetch models' files from a server."),
    "follow": ("modelyard.cli.follow:follow", "Print what changes at a server."),
    "mcp": ("modelyard.cli.mcp:mcp", "Answer a program with a language model."),
    "push": ("modelyard.cli.push:push", "Upload models' files to a server."),
    "login": ("modelyard.cli.login:login", "Keep the address of a server and a key for it."),
    "logout": ("modelyard.cli.login:logout", "Forget the address and the key."),
    "verify": ("modelyard.cli.verify:verify", "Check the index and the database for damage."),
    "reindex": ("modelyard.cli.reindex:reindex", "Build the index again from the database."),
    "jobs": ("modelyard.cli.jobs:jobs", "List background jobs, and run failed jobs again."),
    "gc": ("modelyard.cli.gc:gc", "Remove files that no model needs any more."),
    "database": ("modelyard.cli.database:database", "Copy the database to another one."),
    "backup": ("modelyard.cli.backup:backup", "Write a backup of the database, and of the files."),
    "restore": ("modelyard.cli.backup:restore", "Restore the database from a backup."),
    "key": ("modelyard.cli.key:key", "Create, list and revoke API keys."),
    "audit": ("modelyard.cli.audit:audit", "List who changed what."),
    "webhook": ("modelyard.cli.webhook:webhook", "Create, test and delete webhooks of teams."),
    "signing-key": ("modelyard.cli.signing_key:signing_key", "Change the secret that signs download links."),
    "completion": ("modelyard.cli.completion:completion", "Write the script of completions for a shell."),
}


# Permissions, read-only file systems and quotas: the place is named, and a traceback would not help.
_OPERATORS_ERRORS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.EIO, errno.ESTALE})


class LazyGroup(click.Group):
    """A group that imports a command when it is needed, as click's documentation shows it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """Return the names in the order of the table."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 # click's signature
        """Import the command's module and return the command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return accept_any_text(command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands from the table, without an import."""
        names = [
            CompletionItem(name, help=summary) for name, (_, summary) in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 # click's signature
        """Write the list of commands from the table, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Environment: MODELYARD_HOME is the home folder. MODELYARD_URL and MODELYARD_KEY are the server and the key "
    "of pull and push.\n\nExit codes: 0 success, 1 failure, 2 wrong usage, 130 interruption.\n\n"
    "Example: modelyard serve --demo",
)
@click.version_option(describe_version(), prog_name="modelyard")
@home_and_quiet_options
def cli() -> None:
    """A catalogue of generative-image models that answers GET /v3/model."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Modelyard's own errors become one line on standard error."""
    typed = arguments if arguments is not None else sys.argv[1:]
    try:
        code = cli.main(arguments, prog_name="modelyard", standalone_mode=False, obj=typed)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _show_misuse(error)
        return error.exit_code
    except click.Abort:
        # click raises it for Ctrl-C. A shell reports 130 for a program that SIGINT ended.
        return 130
    except errors.InvalidRequest as error:
        _write_problem(f"modelyard: {name_option(error, typed)}")
        return 2
    except errors.ModelyardError as error:
        _write_problem(f"modelyard: {error}")
        return 1
    except BrokenPipeError:
        # The reader of our output has closed it (`| head`). Python would raise the error again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _show_system_error(error)
    return code if isinstance(code, int) else 0


def _show_system_error(error: OSError) -> int:
    """Write what the system refused, if it is for the operator to mend; otherwise raise the error again."""
    if error.errno == errno.ENOSPC:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _write_problem("modelyard: cannot write: the disk is full")
        return 1
    if error.errno not in _OPERATORS_ERRORS or error.filename is None:
        raise error
    _write_problem(f"modelyard: {os.fsdecode(error.filename)}: {error.strerror}")
    return 1


def _show_misuse(error: click.ClickException) -> None:
    """Write a mistake in the arguments: with the usage on a terminal, as one line elsewhere."""
    if sys.stderr.isatty():
        error.show()
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "modelyard"
    _write_problem(f"{command}: {error.format_message().rstrip('.')}; see `{command} --help`")


def _write_problem(text: str) -> None:
    """Write one line on standard error, whatever the text has."""
    click.echo(re.sub(r"\s*[\r\n]\s*", " ", text), err=True)


def main() -> None:
    """Run as a program. A character that the output cannot show is written as its number, such as ``\\u65e5``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
