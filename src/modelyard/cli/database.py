"""`modelyard database`: copy the database, and the files, to somewhere else."""

import contextlib
import os
import tempfile
from pathlib import Path

import click

from modelyard import blobs, errors, settings
from modelyard.cli import home, options, output
from modelyard.cli.progress import Progress
from modelyard.store import copy as store_copy
from modelyard.store import open_store


@click.group(epilog="Example: modelyard database copy --to postgresql://modelyard@db.example.org/modelyard")
@options.home_and_quiet_options
def database() -> None:
    """Copy the database to another one, such as from SQLite to PostgreSQL."""


@database.command(epilog="Example: modelyard database copy --to postgresql://modelyard@db.example.org/modelyard")
@options.home_and_quiet_options
@click.option("--from", "source_url", metavar="URL", help="The database to copy.  [default: the setting database_url]")
@click.option("--to", "target_url", metavar="URL", required=True, help="The database to copy it to, which is empty.")
@click.option("--blobs-from", metavar="URL", help="The storage to copy from.  [default: the setting storage_url]")
@click.option("--blobs-to", metavar="URL", help="Copy the files too, to this folder or s3://bucket/prefix.")
@options.json_option
def copy(source_url: str | None, target_url: str, blobs_from: str | None, blobs_to: str | None, as_json: bool) -> None:
    """Copy the database to another one, and with --blobs-to the files, and compare both at the end.

    Stop the servers first: the command fails at the end if something was written meanwhile. If you interrupt it, run
    it again to continue.
    """
    config = home.load_settings()
    with (
        contextlib.closing(open_store(source_url or config.database_url)) as source,
        contextlib.closing(open_store(target_url)) as target,
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


def copy_files(config: settings.Settings, source_url: str, target_url: str) -> None:
    """Copy the files of one storage that another one does not have."""
    source, target = (blobs.open_storage(url, config.home, os.environ).kept for url in (source_url, target_url))
    is_remote = target_url == "" or target_url.startswith("s3://")
    scratch = config.home / "blobs" if is_remote else Path(target_url)
    scratch.mkdir(parents=True, exist_ok=True)
    size_bytes = sum(size_bytes for _, size_bytes in source.all())
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".copying-") as folder, Progress() as progress:
        bar = progress.add_bar("copying files", size_bytes, "bytes")
        count, new_count = blobs.copy(source, target, Path(folder), bar.advance)
    output.remark(f"the target has all {count:,} files; {new_count:,} of them were copied now")
