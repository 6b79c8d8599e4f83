"""`modelyard backup` and `modelyard restore`: the database and the files, to a backup and back."""

import shlex
import subprocess
import time
from pathlib import Path

import click

from modelyard import errors
from modelyard.cli import home, options, output
from modelyard.cli.database import copy_files, refuse_served
from modelyard.settings import Settings
from modelyard.store import backup as store_backup

# What a backup with files has in its folder.
_DATABASE, _FILES = "record", "files"


@click.command(epilog="Example: modelyard backup /var/backups/modelyard-monday")
@options.home_and_quiet_options
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--with-files", is_flag=True, help="Create the folder PATH with the database and the stored model files.")
@click.option(
    "--then",
    metavar="COMMAND",
    default="",
    help="Run COMMAND, such as an rsync of the model files. If it fails, PATH is not written.",
)
@options.json_option
def backup(path: Path, with_files: bool, then: str, as_json: bool) -> None:
    """Write the database to the file PATH, as it is at one moment. The server may be running.

    PostgreSQL needs its program pg_dump. The index is not in the backup: Modelyard builds it again from the database.

    With --then, the file gets its name, and the status page shows its time, only after COMMAND has succeeded. No shell
    reads COMMAND.
    """
    command = _split(then)
    if command and with_files:
        raise click.UsageError("--then and --with-files exclude each other")
    config = home.load_settings()
    if not with_files:
        store_backup.backup(config.database_url, path, lambda: _run(command))
    else:
        try:
            path.mkdir(parents=True)
        except OSError as problem:
            raise errors.ConfigurationError(f"cannot create {path}: {problem.strerror}") from problem
        # The database first: a file stays for days after its model is gone, so every file that it names is copied.
        store_backup.backup(config.database_url, path / _DATABASE)
        copy_files(config, config.storage_url, str(path / _FILES))
    _record_time(config)
    if as_json:
        output.write_json({"path": str(path), "with_files": with_files})
        return
    output.remark(f"backed up to {path}")


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}; accepted: a command with its arguments", param_hint="--then") from None


def _run(command: list[str]) -> None:
    """Run the command that completes a backup. Raises ConfigurationError if it fails."""
    if not command:
        return
    try:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    except OSError as problem:
        raise errors.ConfigurationError(
            f"there is no backup: {command[0]} cannot be run: {problem.strerror}"
        ) from problem
    if code:
        raise errors.ConfigurationError(f"there is no backup: {command[0]} ended with the code {code}")


def _record_time(config: Settings) -> None:
    """Store the time of the backup, which the status page shows. The backup is complete without it."""
    try:
        store_backup.record_backup(config.database_url, round(time.time()))
    except errors.DatabaseUnavailable as problem:
        output.warn(f"the backup is complete, but its time was not stored for the status page: {problem.message}")


@click.command(epilog="Example: modelyard restore /var/backups/modelyard-monday")
@options.home_and_quiet_options
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--force", is_flag=True, help="Replace an existing database.")
@options.json_option
def restore(path: Path, force: bool, as_json: bool) -> None:
    """Restore the database, and the files if there are any, from what `modelyard backup` wrote to PATH.

    Stop the server first. Changes after the backup are lost. The next start builds the index again.
    """
    config = home.load_settings()
    refuse_served(config, config.database_url)
    keys = store_backup.restore(path / _DATABASE if path.is_dir() else path, config.database_url, force=force)
    if path.is_dir() and (path / _FILES).is_dir():
        copy_files(config, str(path / _FILES), config.storage_url)
    if as_json:
        output.write_json({"path": str(path), "valid_again": [key.id for key in keys]})
    else:
        output.remark(f"restored from {path}")
    if keys:
        output.warn(
            "these keys were revoked after the backup and work again; revoke them with: modelyard key revoke ID"
        )
    for key in keys:
        output.warn(f"  {key.id}  {key.hint}  team {key.team}, scopes {','.join(sorted(key.scopes))}")
