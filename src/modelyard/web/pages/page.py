"""What every page needs: who visits, what their form says, and an answer in HTML, errors too.

request → session → viewer → show(visit) → Answer → ETag, gzip
              └ a key that is not good any more: signed out, and asked to sign in
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote

from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.auth import Auth
from modelyard.catalog import Catalog
from modelyard.domain import Scope, Viewer
from modelyard.registry.models import Models
from modelyard.uploads.uploads import Uploads
from modelyard.web import sessions
from modelyard.web.bodies import Disconnected, read_small
from modelyard.web.pages.templates import HTML, PAGE_HEADERS, render
from modelyard.web.pages.traffic import Pulse
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Handler, Header, Request
from modelyard.web.responses import GzipCache, Response, send_response
from modelyard.web.sessions import Session, Sessions

SIGN_IN = "/sign-in"
NSFW_COOKIE = "modelyard_nsfw"
# The same address shows each visitor something else, and what it shows is looked at again each time.
_CACHING: tuple[Header, ...] = ((b"cache-control", b"private, no-cache"), (b"vary", b"Cookie, Accept-Encoding"))
_UNSTORED: tuple[Header, ...] = ((b"cache-control", b"no-store"),)
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")


@dataclass(frozen=True, slots=True)
class Site:
    """The parts that pages speak with."""

    catalog: Catalog
    access: Auth
    sessions: Sessions
    rate_limit: RateLimit
    uploading: Uploads
    models: Models
    links_for: Callable[[Request], Callable[[str, str], str]]
    base_of: Callable[[Request], str]
    gzip_cache: GzipCache
    pulse: Pulse
    home: Path
    shows_nsfw: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page. ``viewer`` is None for a stranger where strangers may see nothing."""

    request: Request
    viewer: Viewer | None
    session: Session | None
    shows_nsfw: bool
    form: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def reader(self) -> Viewer:
        """Who looks at models. Raises MissingKey or Forbidden."""
        if self.viewer is None:
            raise errors.MissingKey
        if not self.viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        return self.viewer

    def member(self, scope: Scope) -> Session:
        """Return the session of somebody who may do this. Raises MissingKey or Forbidden."""
        if self.session is None:
            raise errors.MissingKey
        if not self.session.viewer.may(scope):
            raise errors.Forbidden(scope)
        return self.session

    def said(self, name: str) -> str:
        """Return a field of the form, empty where it was not sent."""
        return self.form.get(name, [""])[0].strip()

    @property
    def query_string(self) -> bytes:
        """What the address says after its question mark."""
        return self.request.query_string

    @property
    def address(self) -> str:
        """The address asked for, on this server."""
        query = self.query_string.decode("latin-1")
        path = quote(self.request.scope["path"])
        return f"{path}?{query}" if query else path

    @property
    def is_secure(self) -> bool:
        """Whether cookies may be kept to encrypted connections."""
        return bool(self.request.scope["scheme"] == "https")


Show = Callable[[Visit], Response]


def showing(site: Site, show: Show, *, waits: bool = False, proven: bool = True) -> Handler:
    """Return what sends a page. ``waits``: it asks the database, so it runs in a thread.

    ``proven``: what is posted changes something, and has to bring the session's token.
    """

    async def answer(request: Request, receive: Receive, send: Send) -> None:
        try:
            form = _form(await read_small(request, receive)) if request.method == "POST" else {}
            visit = _visit(site, request, form, proven=proven)
            answered = await asyncio.to_thread(show, visit) if waits else show(visit)
        except Disconnected:
            answered = Response(b"", HTML, status=408, caching=_UNSTORED)
        except errors.ModelyardError as error:
            answered = _problem(request, error)
        await send_response(answered, request, send, site.gzip_cache)

    return answer


def _form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise errors.InvalidValue("the form cannot be read") from None


def _visit(site: Site, request: Request, form: Mapping[str, list[str]], *, proven: bool) -> Visit:
    session = site.sessions.of(request)
    if session is not None:
        viewer: Viewer | None = session.viewer
        request.team = session.viewer.team
        site.rate_limit.take(session.viewer.team or "")
    else:
        site.rate_limit.take("address " + request.caller_address)
        try:
            viewer = site.access.viewer_of(None)
        except errors.MissingKey:
            viewer = None
    if request.method == "POST":
        sessions.check_same_site(request)
        if session is not None and proven:
            sessions.check_token(session, form.get(sessions.TOKEN_FIELD, [""])[0])
    chosen = sessions.cookies(request).get(NSFW_COOKIE)
    return Visit(request, viewer, session, chosen == "shown" if chosen else site.shows_nsfw, form)


def page(
    visit: Visit, template: str, /, *, status: int = 200, headers: tuple[Header, ...] = (), **values: object
) -> Response:
    """Return a whole page made from a template."""
    body = render(template, visit=visit, **values).encode()
    # What a form brought about is shown once: a key that was made is not to be found again by going back.
    is_kept = status == 200 and visit.request.method != "POST"
    return Response(body, HTML, (*PAGE_HEADERS, *headers), status, _CACHING if is_kept else _UNSTORED)


def part(body: str) -> Response:
    """Return a piece of a page, for its script to put in."""
    return Response(body.encode(), HTML, PAGE_HEADERS, caching=_CACHING)


def redirect(address: str, *headers: Header) -> Response:
    """Send the browser on to an address of ours."""
    return Response(b"", HTML, ((b"location", address.encode("latin-1", "replace")), *headers), 303, _UNSTORED)


def local(address: str) -> str:
    """Return an address of ours that a form named, or the gallery's for one that is not ours."""
    return address if _LOCAL.fullmatch(address) else "/"


def _problem(request: Request, error: errors.ModelyardError) -> Response:
    """Return the page that says what went wrong, or the way to sign in."""
    visit = Visit(request, None, None, shows_nsfw=False)
    if isinstance(error, errors.InvalidKey):
        gone = sessions.set_cookie(sessions.COOKIE, "", 0, is_secure=visit.is_secure)
        return redirect(f"{SIGN_IN}?ended=1", gone)
    if isinstance(error, errors.MissingKey):
        to = visit.address if request.method == "GET" else "/"
        return redirect(SIGN_IN if to == "/" else f"{SIGN_IN}?to={quote(to, safe='')}")
    rendered = wire.render_error(error)
    message = "internal error" if rendered.status == 500 else error.message
    headers: tuple[Header, ...] = tuple((name.lower().encode(), text.encode()) for name, text in rendered.headers)
    return page(visit, "problem.html", status=rendered.status, headers=headers, code=rendered.status, message=message)
