"""Bytes in and out as routes: what is mounted where, and the parts behind it, put together."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Send
from litestar.types.asgi_types import HTTPScope

from modelyard import errors, wire
from modelyard.blobs import Storage
from modelyard.catalog import Catalog
from modelyard.covers import Covers
from modelyard.domain import Viewer
from modelyard.signing import SecretKey, Signer, fresh_secret
from modelyard.store import Store, signing_keys
from modelyard.uploads.uploads import UploadLimits, Uploads
from modelyard.web.api.covers import PATH as COVERS_PATH
from modelyard.web.api.covers import SEND_PATH, TEMPLATE, Sending, Showing
from modelyard.web.api.edit_models import PUT_PREFIX, Registering, id_of
from modelyard.web.api.files import PREFIX, Downloads
from modelyard.web.api.tus import PATH, Resumable, answer_tus
from modelyard.web.bodies import acting, changing
from modelyard.web.requests import Answer, Exchange, Method, send_error
from modelyard.web.routing import route

_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class Addresses:
    """How this server is reached: empty as each request was addressed; and what nginx before it calls the blobs."""

    public_url: str = ""
    accel_prefix: str = ""

    def base_of(self, exchange: Exchange) -> str:
        """Return what links in the answer to a request begin with."""
        if self.public_url:
            return self.public_url
        host = exchange.headers.get(b"host", b"")
        if not _HOST.fullmatch(host):
            server = exchange.scope.get("server") or ("localhost", None)
            host = f"{server[0]}:{server[1]}".encode() if server[1] else server[0].encode()
        return f"{exchange.scope['scheme']}://{host.decode()}"


@dataclass(frozen=True, slots=True)
class Transfers:
    """The routes, and what has to be done now and then."""

    downloads: Downloads
    uploading: Uploads
    details: Callable[[Exchange], Answer]
    # More methods of paths that are read too, by path.
    changes: Mapping[str, Mapping[str, Method]]
    mounts: list[ASGIRouteHandler]
    links_for: Callable[[Exchange], Callable[[str, str], str]]
    base_of: Callable[[Exchange], str]
    covers: Covers

    def flush(self) -> None:
        """Write down the downloads counted, and read the signing keys again."""
        self.downloads.signer.refresh()
        self.downloads.flush()


def open_signer(store: Store) -> Signer:
    """Return what signs and checks links; the first one to come makes the first key."""

    def read() -> list[SecretKey]:
        with store.reading() as connection:
            keys = signing_keys.signing_keys(connection)
        return [SecretKey(key.id, key.secret, key.ends_at) for key in keys]

    if not read():
        with store.transaction() as writing:
            if not signing_keys.signing_keys(writing.connection):
                signing_keys.add_signing_key(writing.connection, fresh_secret(), writing.now, others_end_at=writing.now)
    return Signer(read)


def open_transfers(
    catalog: Catalog,
    caller_of: Callable[[Exchange], Viewer],
    where: Storage,
    limits: UploadLimits,
    addresses: Addresses,
    ttl_seconds: int,
) -> Transfers:
    """Put the parts together."""
    signer = open_signer(catalog.store)
    served = Downloads(catalog.store, where.kept, signer, addresses.accel_prefix)
    uploading = Uploads(catalog.store, where.kept, where.incoming, limits)

    def links_for(exchange: Exchange) -> Callable[[str, str], str]:
        base = addresses.base_of(exchange)
        return lambda sha256, label: served.link(base, sha256, label, ttl_seconds)

    covers = Covers(catalog.store, where.kept, where.incoming)
    registering = Registering(uploading, catalog, signer, caller_of, addresses.base_of, links_for, ttl_seconds)
    resumable = Resumable(uploading, caller_of, addresses.base_of)
    sending = Sending(uploading, covers, caller_of, registering.answer_with, id_of)
    return Transfers(
        downloads=served,
        uploading=uploading,
        details=registering.details,
        changes={
            "/v3/model": {
                "POST": changing(registering.register),
                "PATCH": changing(registering.change),
                "DELETE": changing(registering.remove),
            }
        },
        mounts=[
            mount(
                PREFIX.rstrip("/"),
                "/files/{sha256}/{label}",
                {"GET": _downloading(served), "HEAD": _downloading(served)},
            ),
            mount(
                PUT_PREFIX.rstrip("/"),
                PUT_PREFIX + "{upload}",
                {"POST": changing(registering.announce), "PUT": acting(registering.put)},
            ),
            route(SEND_PATH, PUT=acting(sending.put), DELETE=changing(sending.remove)),
            mount(COVERS_PATH, TEMPLATE, dict.fromkeys(("GET", "HEAD"), acting(Showing(covers).answer))),
            mount(PATH, PATH, dict.fromkeys(_TUS_METHODS, acting(partial(answer_tus, resumable)))),
        ],
        links_for=links_for,
        base_of=addresses.base_of,
        covers=covers,
    )


_TUS_METHODS = ("POST", "HEAD", "PATCH", "DELETE", "OPTIONS")


def _downloading(served: Downloads) -> Method:
    async def handle(scope: HTTPScope, _: Receive, send: Send) -> None:
        await served.answer(scope, send)

    return acting(handle)


def mount(path: str, template: str, by_method: Mapping[str, Method]) -> ASGIRouteHandler:
    """Return a route for everything below a path: an ASGI route of Litestar takes no path parameters (2.25)."""
    allowed = (*by_method, *(() if "OPTIONS" in by_method else ("OPTIONS",)))
    allow = ", ".join(allowed).encode()

    async def pick(scope: HTTPScope, receive: Receive, send: Send) -> None:
        # Litestar cuts the path; errors, metrics and the log tell the whole.
        scope["path"] = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        scope["path_template"] = template
        method = by_method.get(scope["method"])
        if not (scope["path"] == path or scope["path"].startswith(path + "/")):
            await send_error(wire.render_error(errors.RouteNotFound(scope["path"])), scope, send)
        elif method is not None:
            await method(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            headers = [(b"allow", allow), (b"access-control-allow-methods", allow)]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await send_error(wire.render_error(errors.MethodNotAllowed(scope["method"], allowed)), scope, send)

    return asgi(path, is_mount=True, copy_scope=False)(pick)
