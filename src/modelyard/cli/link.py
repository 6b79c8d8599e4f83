"""`modelyard link` and `modelyard unlink`: say by hand which version a file is."""

import click

from modelyard import library
from modelyard.cli import home, options, output
from modelyard.paths import display_path

_FILE = click.Path(exists=True, dir_okay=False, path_type=bytes)


@click.command(epilog="Example: modelyard link ~/ComfyUI/models/loras/pair_high.safetensors 667788")
@options.home_and_quiet_options
@click.argument("file", type=_FILE)
@click.argument("version", type=click.IntRange(min=1))
@options.json_option
def link(file: bytes, version: int, as_json: bool) -> None:
    """Make FILE one of the files of VERSION, an imported version, by its id.

    Use it where neither a hash nor a sidecar says so, for example for the files of a ZIP. Later scans keep the link.
    """
    with home.open_store(home.load_settings()) as store:
        library.link(store, file, version)
    if as_json:
        output.write_json({"file": display_path(file), "model": version})
        return
    output.remark(f"{display_path(file)} is a file of version {version} now")


@click.command(epilog="Example: modelyard unlink ~/ComfyUI/models/loras/pair_high.safetensors")
@options.home_and_quiet_options
@click.argument("file", type=_FILE)
@options.json_option
def unlink(file: bytes, as_json: bool) -> None:
    """Make FILE a model of its own, also if its hash or a sidecar says that it belongs to an imported version."""
    with home.open_store(home.load_settings()) as store:
        outcome = library.unlink(store, file)
    if as_json:
        output.write_json({"file": display_path(file), "model": outcome.model_id})
        return
    output.remark(f"{display_path(file)} is the model {outcome.model_id} now")
