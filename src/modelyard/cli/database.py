"""`modelyard database`: copy the database, and the files, to somewhere else."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from modelyard import blobs, errors, settings
from modelyard.cli import home, options, output
from modelyard.cli.progress import Progress
from modelyard.index import SegmentDirectory
from modelyard.store import Store, open_store, presence
from modelyard.store import copy as store_copy

_SCRATCH_PREFIX = ".copying-"
_LEFTOVER_SECONDS = 86_400


@click.group(epilog="Example: modelyard database copy --to postgresql://modelyard@db.example.org/modelyard")
@options.home_and_quiet_options
def database() -> None:
    """Copy the database to another one, such as from SQLite to PostgreSQL."""


@database.command(epilog="Example: modelyard database copy --to postgresql://modelyard@db.example.org/modelyard")
@options.home_and_quiet_options
@click.option("--from", "source_url", metavar="URL", help="The database to copy.  [default: the setting database_url]")
@click.option(
    "--to",
    "target_url",
    metavar="URL",
    required=True,
    help="An empty database to copy to, such as sqlite:////srv/new.sqlite.",
)
@click.option("--blobs-from", metavar="URL", help="The storage to copy from.  [default: the setting storage_url]")
@click.option("--blobs-to", metavar="URL", help="Copy the files too, to this folder or s3://bucket/prefix.")
@options.json_option
def copy(source_url: str | None, target_url: str, blobs_from: str | None, blobs_to: str | None, as_json: bool) -> None:
    """Copy the database to another one, and with --blobs-to the files, and compare both at the end.

    Stop the servers first: the command refuses a database that is served, and fails at the end if something was
    written meanwhile. If you interrupt it, run it again to continue.
    """
    config = home.load_settings()
    for option, url in (("--from", source_url or config.database_url), ("--to", target_url)):
        with _naming(option):
            refuse_served(config, url)
    with (
        _open("--from", source_url or config.database_url) as source,
        _open("--to", target_url) as target,
    ):
        if source.identity == target.identity:
            raise errors.ConfigurationError("both are the same database")
        with Progress() as progress:
            bar = progress.add_bar("copying", store_copy.count_rows(source), "rows")
            counts = store_copy.copy(source, target, bar.advance)
    output.remark(f"copied and compared {counts['models']:,} models, {sum(counts.values()):,} rows")
    if blobs_to is not None:
        copy_files(config, config.storage_url if blobs_from is None else blobs_from, blobs_to)
    if as_json:
        output.write_json(
            {"models": counts["models"], "rows": sum(counts.values()), "with_files": blobs_to is not None}
        )


@database.command(name="copy-files", epilog="Example: modelyard database copy-files --to s3://modelyard/files")
@options.home_and_quiet_options
@click.option(
    "--from", "source_url", metavar="URL", help="The storage to copy from.  [default: the setting storage_url]"
)
@click.option("--to", "target_url", metavar="URL", required=True, help="A folder, or s3://bucket/prefix.")
@options.json_option
def copy_stored_files(source_url: str | None, target_url: str, as_json: bool) -> None:
    """Copy the stored files to another storage.

    Files that the target has are skipped, so you can run it again to continue, or while servers run.
    """
    config = home.load_settings()
    count, copied_count = copy_files(config, config.storage_url if source_url is None else source_url, target_url)
    if as_json:
        output.write_json({"files": count, "copied": copied_count})


def refuse_served(config: settings.Settings, url: str) -> None:
    """Raise ConfigurationError if a server uses a database: of this home, of the database's folder, or of any node."""
    folders = [config.home] if url == config.database_url else []
    if url.startswith("sqlite:///"):
        folders.append(Path(url.removeprefix("sqlite:///")).absolute().parent)
    for folder in folders:
        if (folder / "index").is_dir() and SegmentDirectory(folder / "index", "", "").is_served():
            raise errors.ConfigurationError(f"a server runs on {folder}; stop it first")
    presence.refuse_database_in_use(url)


@contextlib.contextmanager
def _naming(option: str) -> Iterator[None]:
    """Say in an error of configuration which option it is about."""
    try:
        yield
    except errors.ConfigurationError as problem:
        raise errors.ConfigurationError(f"{option}: {problem.message.removeprefix('database: ')}") from None


@contextlib.contextmanager
def _open(option: str, url: str) -> Iterator[Store]:
    """Open the database of an option. The file of counters that processes share goes if it was not there before."""
    counters = Path(url.partition("///")[2] + "-counters") if url.startswith("sqlite:///") else None
    is_new = counters is not None and not counters.exists()
    with _naming(option):
        store = open_store(url)
    with contextlib.closing(store):
        yield store
    if counters is not None and is_new:
        counters.unlink(missing_ok=True)


def copy_files(config: settings.Settings, source_url: str, target_url: str) -> tuple[int, int]:
    """Copy the files of one storage that another one does not have; return how many there are, and were copied."""
    source, target = (blobs.open_storage(url, config.home, os.environ).kept for url in (source_url, target_url))
    is_remote = target_url == "" or target_url.startswith("s3://")
    scratch = config.home / "blobs" if is_remote else Path(target_url)
    scratch.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(scratch)
    size_bytes = sum(size_bytes for _, size_bytes in source.all())
    with tempfile.TemporaryDirectory(dir=scratch, prefix=_SCRATCH_PREFIX) as folder, Progress() as progress:
        bar = progress.add_bar("copying files", size_bytes, "bytes")
        count, new_count = blobs.copy(source, target, Path(folder), bar.advance)
    output.remark(f"the target has all {count:,} files; {new_count:,} of them were copied now")
    return count, new_count


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed left, but not the folder of a run that may be under way."""
    for path in folder.glob(_SCRATCH_PREFIX + "*"):
        if path.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
