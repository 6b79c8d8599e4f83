"""`modelyard rm`: remove models from the catalogue."""

import sys

import click

from modelyard.cli import context, home, models, options, output
from modelyard.registry.models import Models


@click.command(epilog="Example: modelyard rm 7A28BA3463")
@options.home_and_quiet_options
@click.argument("names", metavar="MODEL...", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Remove without asking.")
@options.json_option
def rm(names: tuple[str, ...], *, yes: bool, as_json: bool) -> int:
    """Remove each MODEL, an id, a name, a title or a hash, after asking.

    A file that was added in its folder stays there, and later scans do not list it again while it stays as it is.
    `modelyard gc` removes stored files that no model needs. An import adds its models again.
    """
    config = home.load_settings()
    storage = context.open_storage(config)
    with home.open_store(config) as store:
        entries = models.find_each(store, names)
        for entry in entries:
            owner = f"team {entry.model.team}" if entry.model.team else "no team"
            (output.remark if yes else output.warn)(
                f"{entry.model.id}  {entry.model.sd_name}  {entry.model.visibility}, {owner}"
            )
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("nobody can answer the question here; remove without asking with --yes")
            these = "this model" if len(entries) == 1 else f"these {len(entries)} models"
            if not click.confirm(f"Remove {these}?", err=True):
                output.warn("nothing was removed")
                return 1
        registry = Models(store, storage.kept, storage.incoming)
        for entry in entries:
            registry.remove_as_operator(entry.model.id)
    if as_json:
        output.write_json({"removed": [entry.model.id for entry in entries]})
    else:
        output.remark(f"removed: {len(entries)}")
    return 0
