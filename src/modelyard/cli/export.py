"""`modelyard export`: write what the catalogue knows, for other programs."""

from collections import Counter

import click

from modelyard.cli import home, options, output
from modelyard.library import sidecar_export
from modelyard.library.sidecar_export import SidecarFormat
from modelyard.library.walk import scan
from modelyard.paths import display_path

# How many messages a result may have on standard error.
_MESSAGES_MAX = 10
_RESULTS = {
    "written": "written",
    "unchanged": "unchanged",
    "foreign": "left alone: written by another program",
    "unknown": "left alone: the file is not in the catalogue",
    "failed": "failed",
}


@click.group(epilog="Example: modelyard export sidecars --format civitai-info ~/ComfyUI/models/loras")
@options.home_and_quiet_options
def export() -> None:
    """Write what the catalogue knows, for other programs."""


@export.command(epilog="Example: modelyard export sidecars --format a1111 ~/webui/models/Lora")
@options.home_and_quiet_options
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=bytes))
@click.option(
    "--format",
    "format_name",
    type=click.Choice([sidecar_format.value for sidecar_format in SidecarFormat]),
    required=True,
    help="The program that reads the sidecars.",
)
@click.option("--force", is_flag=True, help="Replace sidecars of other programs too, and keep their unknown fields.")
@options.json_option
def sidecars(paths: tuple[bytes, ...], format_name: str, force: bool, as_json: bool) -> int:
    """Write a sidecar beside each model file in PATHS that is in the catalogue.

    Sidecars that another program wrote stay as they are, unless you use --force. The exit code is 1 if a sidecar could
    not be written.
    """
    counts: Counter[str] = Counter()
    with home.open_store(home.load_settings()) as store:
        for item in sidecar_export.export(store, scan(paths), SidecarFormat(format_name), force=force):
            counts[item.result] += 1
            if item.reason and counts[item.result] <= _MESSAGES_MAX:
                output.warn(f"{display_path(item.path)}: {item.reason}")
    if as_json:
        output.write_json({result: counts[result] for result in _RESULTS})
    else:
        rows = [(text, f"{counts[result]:,}") for result, text in _RESULTS.items() if counts[result]]
        output.write_table(("sidecars", "number"), rows, numeric=("number",))
    return 1 if counts["failed"] else 0
