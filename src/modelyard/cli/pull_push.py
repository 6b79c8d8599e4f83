"""`modelyard pull` and `modelyard push`: files from a server and to one."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from modelyard import errors
from modelyard.cli import options, output
from modelyard.client import Client
from modelyard.wire import ModelRecord

AT_ONCE = 4
# Where programs look for each type, below their own folder. What is not here goes where the type is called by name.
LAYOUTS: dict[str, dict[str, str]] = {
    "comfyui": {
        "checkpoint": "models/checkpoints",
        "lora": "models/loras",
        "locon": "models/loras",
        "dora": "models/loras",
        "vae": "models/vae",
        "controlnet": "models/controlnet",
        "upscaler": "models/upscale_models",
        "textualinversion": "models/embeddings",
        "hypernetwork": "models/hypernetworks",
        "unet": "models/diffusion_models",
        "textencoder": "models/text_encoders",
        "clip": "models/text_encoders",
        "clipvision": "models/clip_vision",
        "ipadapter": "models/ipadapter",
    },
    "a1111": {
        "checkpoint": "models/Stable-diffusion",
        "lora": "models/Lora",
        "locon": "models/Lora",
        "dora": "models/Lora",
        "vae": "models/VAE",
        "controlnet": "models/ControlNet",
        "upscaler": "models/ESRGAN",
        "textualinversion": "embeddings",
        "hypernetwork": "models/hypernetworks",
    },
}

F = TypeVar("F", bound=Callable[..., Any])
Told = Callable[[int, int], None]


def _server_options(command: F) -> F:
    command = click.option(
        "--url", envvar="MODELYARD_URL", default="http://127.0.0.1:8080", show_default=True, help="The server."
    )(command)
    return click.option("--key", envvar="MODELYARD_KEY", default="", help="The key.  [env: MODELYARD_KEY]")(command)


@click.command(epilog="Example: modelyard pull --layout comfyui --root ~/ComfyUI nightHarbour_1000000001")
@options.home_option
@click.argument("wanted", nargs=-1, required=True, metavar="NAME|ID|HASH…")
@click.option("--layout", type=click.Choice([*LAYOUTS]), help="Put each file where this program looks for its type.")
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to put files in, or the program's own with --layout.",
)
@_server_options
def pull(wanted: tuple[str, ...], layout: str | None, root: Path, url: str, key: str) -> int:
    """Fetch models' files, four at a time, each verified. What was interrupted is continued by the next pull."""

    def one(name: str, told: Told) -> str:
        with Client(url, key) as client:
            model = client.find(name)
            folder = _folder_of(model, layout, root)
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / model.sd_name
            if target.exists():
                return f"{target} is there already"
            return f"{client.download(model, target, told)}"

    return _each(wanted, one)


@click.command(epilog="Example: modelyard push --key $KEY my-lora.safetensors")
@options.home_option
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What to call it; of one file only.")
@click.option("--type", "type_name", help="Its type, where the file does not show it.")
@click.option("--base-model", help="What it was made for, where the file does not show it.")
@click.option("--tags", help="Divided by commas.")
@_server_options
def push(
    files: tuple[Path, ...],
    name: str | None,
    type_name: str | None,
    base_model: str | None,
    tags: str | None,
    url: str,
    key: str,
) -> int:
    """Send models' files, which become private models of the key's team."""
    if name and len(files) > 1:
        raise click.UsageError("--name is for one file")
    given = {"name": name, "type_name": type_name, "base_model": base_model, "tags": tags}
    said = {word: text for word, text in given.items() if text}

    def one(path: str, told: Told) -> str:
        with Client(url, key) as client:
            model = client.upload(Path(path), told, **said)
            return f"{path}: model {model.id}, {model.sd_name}"

    return _each(tuple(map(os.fspath, files)), one)


def _folder_of(model: ModelRecord, layout: str | None, root: Path) -> Path:
    if layout is None:
        return root
    # A type's name comes from a server: it must not lead elsewhere.
    known = LAYOUTS[layout].get(model.type.name)
    return root / known if known else root / "models" / "".join(c for c in model.type.name if c.isalnum())


def _each(names: tuple[str, ...], one: Callable[[str, Told], str]) -> int:
    """Do one thing for each name, some at once, with bars on a terminal; return the exit code."""
    console = Console(stderr=True, highlight=False, markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    failed = threading.Event()
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):

        def work(name: str) -> None:
            task = progress.add_task(output.printable(name), total=None)
            try:
                done = one(name, lambda at, whole: progress.update(task, completed=at, total=whole))
                click.echo(output.printable(done))
            except (errors.ModelyardError, OSError, msgspec.MsgspecError) as problem:
                failed.set()
                console.print(output.printable(f"{name}: {getattr(problem, 'message', problem)}"))

        for future in [pool.submit(work, name) for name in names]:
            future.result()
    return 1 if failed.is_set() else 0
