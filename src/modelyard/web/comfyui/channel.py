"""``/comfyui-manager/<key>/``: the catalogue as a channel of ComfyUI-Manager.

    GET model-list.json  →  {"models": [{name, type, base, save_path, description, reference, filename, url, size}]}

The Manager requests addresses without headers, so the key is a part of the path; without it in the path, the header
Authorization counts, also Basic with the key as the password. No log has the path: a line has the route instead.
The Manager asks its channel for five other lists. They are the project's own, or empty.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import msgspec
from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.auth import Auth
from modelyard.domain import ModelQuery, Scope, Viewer
from modelyard.index import ListedModel
from modelyard.layouts import comfyui_folder
from modelyard.store import servable_models
from modelyard.web.auth import authenticate
from modelyard.web.hub.context import HubContext
from modelyard.web.requests import Handler, Request
from modelyard.web.responses import UNSTORED, Response, send_response
from modelyard.web.routing import Shape

PREFIX = "/comfyui-manager"
MODEL_LIST = "model-list.json"
MODELS_MAX = 5_000
# The Manager keeps a list for a day, and people choose from it later.
LINK_SECONDS_MIN = 3 * 86_400
_SUFFIX = ".safetensors"
_PROJECT = "https://raw.githubusercontent.com/ltdrdata/ComfyUI-Manager/main/"
# The other lists of a channel, and what the Manager reads as an empty one.
OTHER_LISTS: Mapping[str, bytes] = {
    "custom-node-list.json": b'{"custom_nodes":[]}',
    "extension-node-map.json": b"{}",
    "alter-list.json": b'{"items":[]}',
    "github-stats.json": b"{}",
    "extras.json": b'{"favorites":[]}',
}
# The Manager's own words for types.
_TYPES = {
    "vae": "VAE",
    "upscaler": "upscale",
    "textualinversion": "embedding",
    "unet": "diffusion_model",
    "textencoder": "clip",
    "clipvision": "clip_vision",
    "ipadapter": "IP-Adapter",
}
_UNSAFE = re.compile(r"[/\\:\x00-\x1f\x7f]|^\.+")
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(wire.ModelRecord).decode


async def _refuse_unknown(request: Request, _receive: Receive, _send: Send) -> None:
    raise errors.RouteNotFound(f"{PREFIX}/{{key}}/{request.path.rpartition('/')[2]}")


def refusals() -> Shape:
    """Return how paths are refused that no route has: without the key, which errors must not show."""
    return Shape(_refuse_unknown, lambda handle: handle)


class ChannelModel(msgspec.Struct, frozen=True):
    """A model in the words of ComfyUI-Manager. All fields are always there."""

    name: str
    type: str
    base: str
    save_path: str
    description: str
    reference: str
    filename: str
    url: str
    size: str


class ChannelAnswer(msgspec.Struct, frozen=True):
    """The list of a channel."""

    models: list[ChannelModel]


@dataclass(frozen=True, slots=True)
class Channel:
    """Answers the routes of the channel."""

    context: HubContext
    auth: Auth
    ttl_seconds: int
    has_own_lists: bool

    async def get_models(self, request: Request, _: Receive, send: Send) -> None:
        """Send the models that the key may see and this server has, the most popular first."""
        viewer = self._viewer_of(request)
        query = wire.parse_query(request.query_string, partial(self.context.catalog.known_types, viewer)).query
        ids = await asyncio.to_thread(self._find_ids, viewer)
        response = await self.context.heavy_work.run(request, lambda: self._list_models(viewer, query, ids, request))
        await send_response(response, request, send, self.context.gzip_cache)

    def list_endpoint(self, name: str) -> Handler:
        """Return the handler of another list."""

        async def handle(request: Request, _: Receive, send: Send) -> None:
            self._viewer_of(request)
            if self.has_own_lists:
                response = Response(OTHER_LISTS[name], caching=UNSTORED)
            else:
                location = (b"location", (_PROJECT + name).encode())
                response = Response(b"", headers=(location,), status=307, caching=UNSTORED)
            await send_response(response, request, send, self.context.gzip_cache)

        return handle

    def _viewer_of(self, request: Request) -> Viewer:
        key = request.path_parameters.get("key", _password_of(request))
        if key is None:
            viewer = self.context.caller_of(request)
        else:
            viewer = authenticate(self.auth, self.context.rate_limit, request, f"Bearer {key}")
        if not viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        return viewer

    def _find_ids(self, viewer: Viewer) -> list[int]:
        with self.context.catalog.store.reading() as connection:
            return servable_models.find_ids(connection, viewer.team, _SUFFIX)

    def _list_models(self, viewer: Viewer, query: ModelQuery, ids: list[int], request: Request) -> Response:
        base = self.context.base_of(request)
        link_for = self.context.downloads.links_for(base, viewer, max(self.ttl_seconds, LINK_SECONDS_MIN))
        models: list[ChannelModel] = []
        for listed in self._search(viewer, query, ids):
            record = _decode(wire.fill_holes(listed.record, link_for, base))
            url = record.download_url
            if isinstance(url, str) and url and record.sd_name.lower().endswith(_SUFFIX):
                models.append(_describe(listed, record, url, base))
            if len(models) == MODELS_MAX:
                break
        return Response(_encode(ChannelAnswer(models)), caching=UNSTORED)

    def _search(self, viewer: Viewer, query: ModelQuery, ids: list[int]) -> Iterator[ListedModel]:
        for model_id in ids:
            if query.id in (None, model_id):
                one = replace(query, id=model_id, limit=1, start=None)
                yield from self.context.catalog.list_models(viewer, one, is_grouped=False).models


def _describe(listed: ListedModel, record: wire.ModelRecord, url: str, base: str) -> ChannelModel:
    title = listed.title or record.name
    is_version = record.name.casefold() not in ("", title.casefold())
    tags = f"Tags: {', '.join(record.tags)}. " if record.tags else ""
    return ChannelModel(
        name=f"{title} {record.name}" if is_version else title,
        type=_TYPES.get(record.type.name, record.type.name),
        base=record.base_model or "unknown",
        save_path=comfyui_folder(record.type.name),
        description=f"{tags}SHA-256 begins with {record.hash_sha256}." if record.hash_sha256 else tags.strip(),
        reference=f"{base}/models/{record.id}",
        filename=_UNSAFE.sub("_", record.sd_name),
        url=url,
        size=_format_size(listed.size_bytes),
    )


def _format_size(size_bytes: int | None) -> str:
    """Return a size as the Manager's own list spells it; empty if it is not known."""
    if size_bytes is None:
        return ""
    return f"{size_bytes / 1e9:.2f}GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.2f}MB"


def _password_of(request: Request) -> str | None:
    """Return the password of Basic authorization; None if the request has another or none."""
    header = request.headers.get(b"authorization", b"").decode("latin-1").strip()
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        raise errors.InvalidKey from None
