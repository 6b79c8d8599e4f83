"""`modelyard gc`: remove files that no model needs any more."""

import click
import msgspec

from modelyard.cli import context, home, options, output


@click.command(epilog="Example: modelyard gc --dry-run")
@options.home_and_quiet_options
@click.option(
    "--grace",
    type=options.Duration(),
    default="7d",
    show_default=True,
    help="Keep files that a model needed within this time.",
)
@click.option("--dry-run", is_flag=True, help="List the files, and remove nothing.")
@click.option(
    "--hub-repository",
    "repositories",
    metavar="REPOSITORY",
    multiple=True,
    help="Also forget what is kept of this repository of the hub behind the server, but for models. Repeatable.",
)
@click.option(
    "--unknown",
    "with_unknown",
    is_flag=True,
    help="Also remove files of the file store that the database does not know, such as after the restore of a backup.",
)
@options.json_option
def gc(grace: int, dry_run: bool, repositories: tuple[str, ...], with_unknown: bool, as_json: bool) -> None:
    """Remove stored files that no model has needed for a while. The server may be running."""
    config = home.load_settings()
    with context.open_cleaner(config) as cleaner:
        for repository in repositories:
            dropped, usage = cleaner.drop_hub_repository(repository, dry_run=dry_run)
            rest = f"{usage.files:,} files and {usage.repositories:,} repositories with {usage.size_bytes:,} bytes"
            verb = "would be forgotten" if dry_run else "forgotten"
            output.remark(f"{repository}: {dropped} entries {verb}; of the hub, {rest} are kept")
        blobs = cleaner.collect_garbage(grace, dry_run=dry_run)
    if with_unknown:
        with context.open_comparer(config) as comparer:
            blobs += comparer.remove_unknown(grace, dry_run=dry_run)
    if as_json:
        output.write_json([msgspec.to_builtins(blob) for blob in blobs])
        return
    for blob in blobs:
        click.echo(f"{blob.sha256} {blob.size_bytes:>15,}")
    size_bytes = sum(blob.size_bytes for blob in blobs)
    output.remark(f"{len(blobs)} files, {size_bytes:,} bytes {'would be removed' if dry_run else 'removed'}")
