"""`modelyard pull`: download models' files from a server."""

from pathlib import Path

import click

from modelyard.cli import options
from modelyard.cli.transfer import OnBytes, Transfers, server_options
from modelyard.client import Client, Model

# The folder of each type, below the program's own folder. Other types go to a folder with the type's name.
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


@click.command(epilog="Example: modelyard pull --layout comfyui --root ~/ComfyUI nightHarbour_1000000001")
@options.home_option
@click.argument("models", nargs=-1, required=True, metavar="NAME|TITLE|ID|HASH…")
@click.option(
    "--layout",
    type=click.Choice([*LAYOUTS]),
    help="Put each file into the folder where this program looks for its type.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder for the files; with --layout, the program's own folder.  [default: the current folder]",
)
@server_options
def pull(models: tuple[str, ...], layout: str | None, root: Path, url: str, key: str) -> int:
    """Download models' files, four at a time, and verify each.

    A file that is there already is not downloaded again; another file of its name is replaced. If you interrupt the
    command, the next pull continues.
    """

    def download(client: Client, name: str, on_bytes: OnBytes) -> str:
        model = client.find(name)
        return f"{client.download(model, _choose_folder(model, layout, root), on_bytes)}"

    return Transfers(url, key).run(models, download)


def _choose_folder(model: Model, layout: str | None, root: Path) -> Path:
    if layout is None:
        return root
    folder = LAYOUTS[layout].get(model.type.name)
    # The name of a type comes from a server: it must not lead out of the folder.
    return root / folder if folder else root / "models" / "".join(c for c in model.type.name if c.isalnum())
