"""The pages people see: which address shows what.

    /                     gallery.py     search, filters, cards; /parts/… are pieces of it for its script
    /models/ID            model.py       one model; /edit and /delete change it (changing.py)
    /sign-in, /sign-out   signing.py     a key for a session; /preferences
    /upload, /keys        team.py        what a team does here
    /status               status.py      what the server holds, and how it does
    /docs                 reference.py   the API, to read and to try

Server-rendered, and whole without scripts; ``static/page.js`` makes them quicker. They hold nothing of their own: what
they show comes from ``catalog``, what they change goes through the same verbs as the API.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Send
from litestar.types.asgi_types import HTTPScope

from modelyard import errors, wire
from modelyard.web.api.routes import mount
from modelyard.web.pages import api_docs, edit, keys, model, sign_in, status, upload
from modelyard.web.pages.gallery import Gallery
from modelyard.web.pages.page import SIGN_IN, Site, Visit, showing
from modelyard.web.requests import Answer, Method, send_error
from modelyard.web.routing import route

__all__ = ["Site", "routes"]

_MODEL = re.compile(r"/models/[^/]+(?P<rest>/edit|/delete)?")


def routes(site: Site) -> list[ASGIRouteHandler]:
    """Return the routes of all pages."""
    gallery = Gallery(site)

    def waiting(show: Callable[[Site, Visit], Answer]) -> Method:
        return showing(site, partial(show, site), waits=True)

    return [
        route("/", GET=showing(site, gallery.show)),
        route("/parts/results", GET=showing(site, gallery.show_results)),
        route("/parts/filters", GET=showing(site, gallery.show_filters)),
        _models(
            {"": waiting(model.show), "/edit": waiting(edit.show_edit)},
            {"/edit": waiting(edit.edit), "/delete": waiting(edit.delete)},
        ),
        route("/undo", POST=waiting(edit.undo)),
        route("/upload", GET=waiting(upload.show_upload)),
        mount(upload.UPLOADED.rstrip("/"), upload.UPLOADED + "{upload}", {"GET": waiting(upload.show_uploaded)}),
        route("/keys", GET=waiting(keys.show_keys), POST=waiting(keys.make_key)),
        route("/keys/revoke", POST=waiting(keys.revoke_key)),
        route("/status", GET=waiting(status.show)),
        route("/docs", GET=showing(site, partial(api_docs.show, site))),
        route(
            SIGN_IN,
            GET=showing(site, sign_in.show),
            POST=showing(site, partial(sign_in.sign_in, site), waits=True, proven=False),
        ),
        route("/sign-out", POST=showing(site, sign_in.sign_out, proven=False)),
        route("/preferences", POST=showing(site, sign_in.choose, proven=False)),
    ]


def _models(gets: Mapping[str, Method], posts: Mapping[str, Method]) -> ASGIRouteHandler:
    """Return the route of everything below ``/models``."""

    def picking(by_rest: Mapping[str, Method]) -> Method:
        async def pick(scope: HTTPScope, receive: Receive, send: Send) -> None:
            found = _MODEL.fullmatch(scope["path"])
            rest = (found["rest"] or "") if found else "elsewhere"
            method = by_rest.get(rest)
            if method is not None:
                scope["path_template"] = "/models/{id}" + rest
                await method(scope, receive, send)
            else:
                await send_error(wire.render_error(errors.RouteNotFound(scope["path"])), scope, send)

        return pick

    return mount(
        model.PREFIX.rstrip("/"), "/models/{id}", {"GET": picking(gets), "HEAD": picking(gets), "POST": picking(posts)}
    )
