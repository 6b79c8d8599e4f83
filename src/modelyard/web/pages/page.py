"""Parts that every page needs: the request with its session and form, and an HTML response, also for errors.

request → session → viewer → show(page_request) → response → ETag, gzip
              └ the key was revoked or has expired: the session ends, and the browser goes to /sign-in
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import quote

from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.auth import Auth
from modelyard.catalog import Catalog
from modelyard.covers import BYTES_MAX, Covers
from modelyard.domain import Scope, Viewer
from modelyard.index import OverBudgetError, quick_budget
from modelyard.registry.models import Models
from modelyard.uploads.uploads import Uploads
from modelyard.web import sessions
from modelyard.web.api.sends import SendEndpoints
from modelyard.web.bodies import JSON_BYTES_MAX, Disconnected, read_up_to
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.pages.forms import is_multipart, parse_form
from modelyard.web.pages.installation import Installation
from modelyard.web.pages.templates import HTML, PAGE_HEADERS, render
from modelyard.web.pages.traffic import TrafficHistory
from modelyard.web.rate_limit import RateLimit, counter_of
from modelyard.web.requests import Handler, Header, Request
from modelyard.web.responses import GzipCache, Response, send_response
from modelyard.web.sessions import Session, Sessions
from modelyard.web.thread_pool import ThreadPool
from modelyard.webhooks.webhooks import Webhooks

SIGN_IN = "/sign-in"
NSFW_COOKIE = "modelyard_nsfw"
VIEW_COOKIE = "modelyard_view"
# A page differs for each visitor, and the browser asks again each time whether it changed.
_CACHING: tuple[Header, ...] = ((b"cache-control", b"private, no-cache"), (b"vary", b"Cookie, Accept-Encoding"))
_NO_STORE: tuple[Header, ...] = ((b"cache-control", b"no-store"),)
_LOCAL_ADDRESS = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")


@dataclass(frozen=True, slots=True)
class PageContext:
    """The parts of the server that pages use."""

    catalog: Catalog
    auth: Auth
    sessions: Sessions
    rate_limit: RateLimit
    heavy_work: HeavyWork
    uploads: Uploads
    models: Models
    covers: Covers
    links_for: Callable[[Request], Callable[[str, str], str]]
    base_of: Callable[[Request], str]
    gzip_cache: GzipCache
    traffic: TrafficHistory
    installation: Installation
    send_endpoints: SendEndpoints
    webhooks: Webhooks
    shows_nsfw: bool
    serves_suspicious: bool = False
    # Forms with a picture wait here, so that they do not occupy the threads of other requests.
    picture_turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request for a page. ``viewer`` is None if the visitor has no session and anonymous access is off."""

    request: Request
    viewer: Viewer | None
    session: Session | None
    shows_nsfw: bool
    # What the visitor chose for the gallery: no models that are not safe for work, and a list instead of a grid.
    hides_nsfw: bool = False
    is_list: bool = False
    form: Mapping[str, list[str]] = field(default_factory=dict)
    picture: bytes = b""

    @property
    def reader(self) -> Viewer:
        """The viewer, who may read models. Raises MissingKey or Forbidden."""
        if self.viewer is None:
            raise errors.MissingKey
        if not self.viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        return self.viewer

    def require_session(self, scope: Scope) -> Session:
        """Return the session, whose key has this scope. Raises MissingKey or Forbidden."""
        if self.session is None:
            raise errors.MissingKey
        if not self.session.viewer.may(scope):
            raise errors.Forbidden(scope)
        return self.session

    def read_field(self, name: str) -> str:
        """Return the value of a form field; empty if the form has no such field."""
        return self.form.get(name, [""])[0].strip()

    @property
    def query_string(self) -> bytes:
        """The part of the address after its question mark."""
        return self.request.query_string

    @property
    def address(self) -> str:
        """The path and query string of the request."""
        query = self.query_string.decode("latin-1")
        path = quote(self.request.scope["path"])
        return f"{path}?{query}" if query else path

    @property
    def is_secure(self) -> bool:
        """Whether the request came over HTTPS, so that cookies can be restricted to HTTPS."""
        return bool(self.request.scope["scheme"] == "https")


Show = Callable[[PageRequest], Response]


def make_handler(
    context: PageContext,
    show: Show,
    *,
    asks_database: bool = False,
    needs_token: bool = True,
    takes_picture: bool = False,
    pool: ThreadPool | None = None,
) -> Handler:
    """Return the handler of a page. If ``asks_database``, the page is made in a thread, or in one of the ``pool``.

    If ``needs_token``, a POST request with a session must carry the session's token. If ``takes_picture``, its form
    may have a picture, and needs a session that may write.
    """

    async def respond(request: Request, receive: Receive) -> Response:
        page_request = read_page_request(context, request)
        if request.method == "POST":
            page_request = await _read_form(page_request, receive, needs_token=needs_token, takes_picture=takes_picture)
        async with context.picture_turn if page_request.picture else contextlib.nullcontext():
            if pool is not None:
                return await pool.run(partial(show, page_request), "too many sign-ins wait for the provider; try again")
            return await _show(context, show, page_request, asks_database=asks_database)

    return page_endpoint(context, respond)


def page_endpoint(context: PageContext, respond: Callable[[Request, Receive], Awaitable[Response]]) -> Handler:
    """Return the handler that sends a page, or the page for the error that ``respond`` raises."""

    async def answer(request: Request, receive: Receive, send: Send) -> None:
        try:
            response = await respond(request, receive)
        except Disconnected:
            response = Response(b"", HTML, status=408, caching=_NO_STORE)
        except errors.ModelyardError as error:
            response = _render_error(context, request, error)
        await send_response(response, request, send, context.gzip_cache)

    return answer


async def _show(context: PageContext, show: Show, page_request: PageRequest, *, asks_database: bool) -> Response:
    if asks_database:
        return await asyncio.to_thread(show, page_request)
    page_request.request.budget = quick_budget()
    try:
        return show(page_request)
    except OverBudgetError:
        return await context.heavy_work.run(page_request.request, partial(show, page_request))


async def _read_form(
    page_request: PageRequest, receive: Receive, *, needs_token: bool, takes_picture: bool
) -> PageRequest:
    """Return the request with its form. Refuses forged forms, and reads none without the session that it needs."""
    sessions.check_same_site(page_request.request)
    if needs_token and page_request.session is None:
        raise errors.MissingKey
    content_type = page_request.request.headers.get(b"content-type", b"")
    bytes_max = JSON_BYTES_MAX
    if takes_picture and is_multipart(content_type):
        page_request.require_session(Scope.WRITE)
        bytes_max += BYTES_MAX
    form = parse_form(content_type, await read_up_to(bytes_max, page_request.request, receive, "the form"))
    if needs_token and page_request.session is not None:
        sessions.check_token(page_request.session, form.fields.get(sessions.TOKEN_FIELD, [""])[0])
    return replace(page_request, form=form.fields, picture=form.file)


def read_page_request(context: PageContext, request: Request) -> PageRequest:
    """Find the session and viewer of a request, and count it against the rate limit."""
    session = context.sessions.of(request)
    if session is not None:
        viewer: Viewer | None = session.viewer
        request.viewer = session.viewer
        context.rate_limit.take(counter_of(request))
    else:
        # Who has no session yet must be able to get one, whatever others at the address do.
        if not request.scope["path"].startswith(SIGN_IN):
            context.rate_limit.take(counter_of(request))
        try:
            viewer = context.auth.viewer_of(None)
        except errors.MissingKey:
            viewer = None
    cookies = sessions.cookies(request)
    preference = cookies.get(NSFW_COOKIE)
    shows_nsfw = preference == "shown" if preference else context.shows_nsfw
    return PageRequest(request, viewer, session, shows_nsfw, preference == "hidden", cookies.get(VIEW_COOKIE) == "list")


def render_page(
    page_request: PageRequest,
    template: str,
    /,
    *,
    status: int = 200,
    headers: tuple[Header, ...] = (),
    changes_nothing: bool = False,
    **values: object,
) -> Response:
    """Return a complete page made from a template. The result of a form that ``changes_nothing`` can be shown again."""
    body = render(template, page_request=page_request, **values).encode()
    # The result of a form is shown once: going back in the browser must not show a new key again.
    is_cacheable = status == 200 and (page_request.request.method != "POST" or changes_nothing)
    return Response(body, HTML, (*PAGE_HEADERS, *headers), status, _CACHING if is_cacheable else _NO_STORE)


def render_part(body: str) -> Response:
    """Return a part of a page, which the page's script inserts."""
    return Response(body.encode(), HTML, PAGE_HEADERS, caching=_CACHING)


def redirect(address: str, *headers: Header) -> Response:
    """Redirect the browser to an address of this server."""
    return Response(b"", HTML, ((b"location", address.encode("latin-1", "replace")), *headers), 303, _NO_STORE)


def ensure_local(address: str) -> str:
    """Return an address from a form if it is on this server, otherwise the gallery's."""
    return address if _LOCAL_ADDRESS.fullmatch(address) else "/"


def _render_error(context: PageContext, request: Request, error: errors.ModelyardError) -> Response:
    """Return the page for an error, or a redirect to the sign-in page."""
    page_request = PageRequest(request, None, None, shows_nsfw=False)
    if isinstance(error, errors.InvalidKey):
        no_cookie = context.sessions.end(None, is_secure=page_request.is_secure)
        return redirect(f"{SIGN_IN}?ended=1", no_cookie)
    if isinstance(error, errors.MissingKey):
        to = page_request.address if request.method == "GET" else "/"
        return redirect(SIGN_IN if to == "/" else f"{SIGN_IN}?to={quote(to, safe='')}")
    return render_problem(context, request, error)


def render_problem(context: PageContext, request: Request, error: errors.ModelyardError) -> Response:
    """Return the page for an error, with the visitor's session in its header."""
    session = None
    with contextlib.suppress(errors.ModelyardError):  # also if the database does not answer
        session = context.sessions.of(request)
    page_request = PageRequest(request, session.viewer if session else None, session, shows_nsfw=False)
    rendered = wire.render_error(error)
    message = "internal error" if rendered.status == 500 else error.message
    if isinstance(error, errors.RouteNotFound):
        message = "There is no page at this address."
    headers: tuple[Header, ...] = tuple((name.lower().encode(), text.encode()) for name, text in rendered.headers)
    return render_page(
        page_request, "problem.html", status=rendered.status, headers=headers, code=rendered.status, message=message
    )
