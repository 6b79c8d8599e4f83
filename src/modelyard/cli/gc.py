"""`modelyard gc`: remove the bytes that no model needs any more."""

import click
import msgspec

from modelyard.cli import options, output, storing


@click.command(epilog="Example: modelyard gc --dry-run")
@options.home_option
@click.option(
    "--grace", type=options.Duration(), default="7d", show_default=True, help="How long nothing may have needed it."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@options.json_option
def gc(grace: int, dry_run: bool, as_json: bool) -> None:
    """Remove files that no model has pointed at for a while. The server may be running."""
    with storing.opened_cleaner(options.read_settings()) as cleaner:
        collected = cleaner.collect_garbage(grace, dry_run=dry_run)
    if as_json:
        output.write_json([msgspec.to_builtins(each) for each in collected])
        return
    for each in collected:
        click.echo(f"{each.sha256} {each.size_bytes:>15,}")
    freed = sum(each.size_bytes for each in collected)
    output.remark(f"{len(collected)} files, {freed:,} bytes {'would be removed' if dry_run else 'removed'}")
