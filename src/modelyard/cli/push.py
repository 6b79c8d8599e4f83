"""`modelyard push`: upload models' files to a server."""

import os
from pathlib import Path

import click

from modelyard.cli import options
from modelyard.cli.transfer import OnBytes, Transfers, server_options
from modelyard.client import Client


@click.command(epilog="Example: modelyard push --key $KEY my-lora.safetensors")
@options.home_option
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="The name of the model; for one file only.")
@click.option("--type", "type_name", help="The type of the model, if the file does not show it.")
@click.option("--base-model", help="The base model, if the file does not show it.")
@click.option("--tags", help="Tags, separated by commas.")
@server_options
def push(
    files: tuple[Path, ...],
    name: str | None,
    type_name: str | None,
    base_model: str | None,
    tags: str | None,
    url: str,
    key: str,
) -> int:
    """Upload models' files, four at a time. They become private models of the key's team."""
    if name and len(files) > 1:
        raise click.UsageError("--name is for one file")
    options_by_field = {"name": name, "type_name": type_name, "base_model": base_model, "tags": tags}
    fields = {field: text for field, text in options_by_field.items() if text}

    def upload(client: Client, path: str, on_bytes: OnBytes) -> str:
        model = client.upload(Path(path), on_bytes, **fields)
        return f"{path}: model {model.id}, {model.sd_name}"

    return Transfers(url, key).run([*map(os.fspath, files)], upload)
