"""`modelyard send`: have a generator fetch models' files."""

import threading

import click

from modelyard import errors, targets
from modelyard.cli import options
from modelyard.cli.server import ServerAddress, server_options
from modelyard.cli.transfer import OnBytes, Result, Transfers
from modelyard.client import Client
from modelyard.outbound import AddressPolicy, Outbound, origin_of
from modelyard.targets import Progress, Shipment, Target


@click.command(epilog="Example: modelyard send --key $KEY nightHarbour_1000000001 --to http://comfy:8188")
@options.home_and_quiet_options
@click.argument("names", nargs=-1, required=True, metavar="NAME|TITLE|ID|HASH…")
@click.option(
    "--to",
    "target",
    type=ServerAddress(),
    required=True,
    help="The address of ComfyUI or InvokeAI, as http://comfy:8188.",
)
@server_options
@options.json_option
def send(names: tuple[str, ...], target: str, url: str, key: str, as_json: bool) -> int:
    """Have a generator fetch models' files from the server by signed links, and wait until it has them.

    The generator has to reach the server at the address of --url, or at the one in the server's setting public_url.
    ComfyUI needs POST /api/assets/download, which not every version has. `modelyard pull --layout comfyui` works with
    all of them.
    """
    policy = AddressPolicy(origins=frozenset({origin_of(target)}), is_exclusive=True)
    outbound = Outbound(policy)
    wait = threading.Event().wait

    def deliver(client: Client, name: str, on_bytes: OnBytes) -> Result:
        model = client.find(name)
        if not model.download_url:
            raise errors.NotFound(f"{model.sd_name}: the server has no file of this model")

        def show(progress: Progress) -> None:
            on_bytes(progress.done_bytes or 0, progress.total_bytes or 0)

        shipment = Shipment(model.download_url, model.sd_name, model.type.name)
        targets.deliver(outbound, Target(target, target), shipment, show, wait)
        return Result(f"{model.sd_name} is at {target} now", {"model": model.id, "target": target})

    return Transfers(url, key, as_json=as_json).run([*dict.fromkeys(names)], deliver)
