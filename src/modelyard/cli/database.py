"""`modelyard migrate`, `modelyard backup` and `modelyard restore`: the record and the files, to somewhere else."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from modelyard import blobs, errors, settings, store
from modelyard.cli import options, output, progress
from modelyard.index import SegmentDirectory
from modelyard.store import backup as store_backup
from modelyard.store import copy

# Within a folder that `backup` makes.
_RECORD, _FILES = "record", "files"


@click.command(epilog="Example: modelyard migrate --to postgresql://modelyard@db.example.org/modelyard")
@options.home_option
@click.option("--from", "source", metavar="URL", help="The database to copy; not given: the one that is set.")
@click.option("--to", "target", metavar="URL", required=True, help="The database to copy it to, empty.")
@click.option("--blobs-from", metavar="URL", help="Where files are kept; not given: where it is set.")
@click.option("--blobs-to", metavar="URL", help="A folder or s3://bucket/prefix to copy the files to.")
def migrate(source: str | None, target: str, blobs_from: str | None, blobs_to: str | None) -> None:
    """Copy the record to another database, and with --blobs-to the files, and compare both at the end.

    Stop the servers first: what is written meanwhile is noticed at the end, and not copied. Begun again after an
    interruption, it goes on where that was.
    """
    read = options.read_settings()
    with _opened(source or read.database_url) as copied, _opened(target) as into:
        if copied.identity == into.identity:
            raise errors.ConfigurationError("both are the same database")
        with progress.metered("copying", copy.count_rows(copied)) as (meter, _):
            counts = copy.copy(copied, into, meter.models)
    output.remark(f"the record is copied and the same: {counts['models']:,} models, {sum(counts.values()):,} rows")
    if blobs_to is not None:
        _copy_files(read, read.storage_url if blobs_from is None else blobs_from, blobs_to)


@click.command(epilog="Example: modelyard backup /var/backups/modelyard-monday")
@options.home_option
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--with-files", is_flag=True, help="Make PATH a folder, with the model files that are kept here.")
def backup(path: Path, with_files: bool) -> None:
    """Write the record into the file PATH, as it is at one moment. The server may be running.

    SQLite is copied by its own means; for PostgreSQL its program pg_dump has to be installed. The index is not in it:
    it is made again from the record.
    """
    read = options.read_settings()
    if not with_files:
        store_backup.backup(read.database_url, path)
    else:
        try:
            path.mkdir(parents=True)
        except OSError as problem:
            raise errors.ConfigurationError(f"{path} cannot be made: {problem.strerror}") from problem
        # The record first: files it names stay where they are for days after their model is gone.
        store_backup.backup(read.database_url, path / _RECORD)
        _copy_files(read, read.storage_url, str(path / _FILES))
    output.remark(f"backed up to {path}")


@click.command(epilog="Example: modelyard restore /var/backups/modelyard-monday")
@options.home_option
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the database that is there.")
def restore(path: Path, force: bool) -> None:
    """Make the database be what `modelyard backup` wrote to PATH. No server may be running on it.

    What was written after the backup is not in it. The index is built anew by the next start.
    """
    read = options.read_settings()
    _refuse_served(read)
    store_backup.restore(path / _RECORD if path.is_dir() else path, read.database_url, force=force)
    if path.is_dir() and (path / _FILES).is_dir():
        _copy_files(read, str(path / _FILES), read.storage_url)
    output.remark(f"restored from {path}")


@contextlib.contextmanager
def _opened(url: str) -> Iterator[store.Store]:
    opened = store.open_store(url)
    try:
        yield opened
    finally:
        opened.close()


def _copy_files(read: settings.Settings, source: str, target: str) -> None:
    of_source, of_target = (blobs.open_storage(url, read.home, os.environ).kept for url in (source, target))
    scratch = read.home / "blobs" if target == "" or target.startswith("s3://") else Path(target)
    scratch.mkdir(parents=True, exist_ok=True)
    total = sum(size_bytes for _, size_bytes in of_source.all())
    with (
        tempfile.TemporaryDirectory(dir=scratch, prefix=".copying-") as folder,
        progress.metered("files", total) as (meter, _),
    ):
        count, copied = blobs.copy(of_source, of_target, Path(folder), meter.models)
    output.remark(f"{count:,} files are there, {copied:,} of them copied now")


def _refuse_served(read: settings.Settings) -> None:
    if (read.home / "index").is_dir() and SegmentDirectory(read.home / "index", "", "").is_served():
        raise errors.ConfigurationError(f"a server runs on {read.home}; stop it first")
