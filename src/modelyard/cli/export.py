"""`modelyard export`: what is known, written for other programs."""

from collections import Counter

import click

from modelyard.cli import options, output
from modelyard.library import sidecar_export
from modelyard.library.sidecar_export import SidecarFormat
from modelyard.library.walk import scan
from modelyard.paths import display_path

# Of each reason so many are told one by one.
_TOLD_MAX = 10
_RESULTS = {
    "written": "written",
    "unchanged": "unchanged",
    "foreign": "left: somebody else's",
    "unknown": "left: the file is not in the catalogue",
    "failed": "failed",
}


@click.group(epilog="Example: modelyard export side-cars --format civitai-info ~/ComfyUI/models/loras")
@options.home_option
def export() -> None:
    """Write what is known, for other programs."""


@export.command("side-cars", epilog="Example: modelyard export side-cars --format a1111 ~/webui/models/Lora")
@options.home_option
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=bytes))
@click.option(
    "--format", "form", type=click.Choice([form.value for form in SidecarFormat]), required=True, help="Whose."
)
@click.option("--force", is_flag=True, help="Replace other programs' side-cars too, keeping fields we do not know.")
@options.json_option
def side_cars(paths: tuple[bytes, ...], form: str, force: bool, as_json: bool) -> int:
    """Write a side-car beside each model file in PATHS that the catalogue knows: what it knows of the model.

    What another program wrote is left alone, unless forced. The exit code is 1 if something could not be written.
    """
    counts: Counter[str] = Counter()
    with options.opened_store(options.read_settings()) as opened:
        for written in sidecar_export.export(opened, scan(paths), SidecarFormat(form), force=force):
            counts[written.result] += 1
            if written.reason and counts[written.result] <= _TOLD_MAX:
                output.remark(f"{display_path(written.path)}: {written.reason}")
    if as_json:
        output.write_json({result: counts[result] for result in _RESULTS})
    else:
        rows = [(text, f"{counts[result]:,}") for result, text in _RESULTS.items() if counts[result]]
        output.write_table(("side-cars", "number"), rows, numeric=("number",))
    return 1 if counts["failed"] else 0
