"""`modelyard push`: upload models' files to a server."""

import os
from pathlib import Path
from typing import cast

import click

from modelyard.cli import options
from modelyard.cli.base_models import complete_base_model
from modelyard.cli.server import server_options
from modelyard.cli.transfer import OnBytes, Result, Transfers, limit_rate_option
from modelyard.client import Client, Model, UploadFields, hash_file
from modelyard.domain import MODEL_TYPES

_WAIT_SECONDS = 600.0
_TYPES = [name for name in MODEL_TYPES if name != "unknown"]


@click.command(epilog="Example: modelyard push --key $KEY my-lora.safetensors")
@options.home_and_quiet_options
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="The name of the model; for one file only.")
@click.option("--title", help="The title of the model, in any script; for one file only.")
@click.option(
    "--type",
    "type_name",
    type=click.Choice(_TYPES, case_sensitive=False),
    help="The type of the model, if the file does not show it.",
)
@click.option("--base-model", shell_complete=complete_base_model, help="The base model, if the file does not show it.")
@click.option("--tags", help="Tags, separated by commas.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=1),
    default=_WAIT_SECONDS,
    show_default=True,
    help="How many seconds to wait for the verification of each file.",
)
@limit_rate_option
@server_options
@options.json_option
def push(
    files: tuple[Path, ...],
    name: str | None,
    title: str | None,
    type_name: str | None,
    base_model: str | None,
    tags: str | None,
    wait_seconds: float,
    rate: int | None,
    url: str,
    key: str,
    as_json: bool,
) -> int:
    """Upload models' files, four at a time. They become private models of the key's team.

    A file that the server has already is not sent again. The command waits until the server has verified each file; the
    exit code is 1 if it refuses one.
    """
    if (name or title) and len(files) > 1:
        raise click.UsageError("--name and --title are for one file")
    if not key:
        raise click.UsageError(
            "give --key or MODELYARD_KEY, or run `modelyard login`: an upload needs a key with the scope write"
        )
    options_by_field = {"name": name, "title": title, "type_name": type_name, "base_model": base_model, "tags": tags}
    fields = cast("UploadFields", {field: text for field, text in options_by_field.items() if text})

    def upload(client: Client, path: str, on_bytes: OnBytes) -> Result:
        model = _find_same_file(client, Path(path))
        if model is not None:
            return _describe(path, model, " (the server has this file already)", is_new=False)
        model = client.upload(Path(path), on_bytes, wait_seconds=wait_seconds, **fields)
        return _describe(path, model, "", is_new=True)

    return Transfers(url, key, rate=rate, as_json=as_json).run([*map(os.fspath, files)], upload)


def _describe(path: str, model: Model, remark: str, *, is_new: bool) -> Result:
    fields = {"model": model.id, "sd_name": model.sd_name, "is_new": is_new}
    return Result(f"{path}: model {model.id}, {model.sd_name}{remark}", fields)


def _find_same_file(client: Client, path: Path) -> Model | None:
    """Return the private model of the key's team that has exactly the bytes of a file."""
    for model in client.models(hash=hash_file(path), visibility="private"):
        if model.download_url is not None:
            return model
    return None
