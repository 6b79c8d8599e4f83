"""Signing in, signing out, and the visitor's preferences.

A proxy that names the visitor signs them in without a question, except after they signed out or were signed out.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, quote

from modelyard import errors
from modelyard.auth import Person
from modelyard.web import oidc_sign_in
from modelyard.web.oidc_sign_in import OidcSignIn
from modelyard.web.pages.page import (
    NSFW_COOKIE,
    SIGN_IN,
    VIEW_COOKIE,
    PageContext,
    PageRequest,
    ensure_local,
    redirect,
    render_page,
)
from modelyard.web.requests import Header
from modelyard.web.responses import Response
from modelyard.web.sessions import cookies

_CALLBACK_BYTES_MAX = 16_384


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the sign-in form. With the code of a sign-in link, start a session instead; a code works once."""
    parameters = _read_parameters(page_request)
    to = _find_target(parameters)
    if "code" in parameters:
        try:
            return redirect(to, context.sessions.redeem(parameters["code"][0], is_secure=page_request.is_secure))
        except errors.InvalidKey:
            context.rate_limit.count_failure(page_request.request)
    if not {"ended", "left"} & parameters.keys():
        try:
            person = _find_person(context, page_request)
            if person is not None:
                if page_request.session is not None and page_request.session.provider == person.provider:
                    return redirect(to)  # the session is that of the same person
                return redirect(to, context.sessions.begin_for(person, is_secure=page_request.is_secure))
        except errors.SignInRefused as problem:
            context.rate_limit.count_failure(page_request.request)
            # With an API key they may sign in all the same.
            return _render_form(context, page_request, to, status=403, problem=problem.message)
    left = parameters.get("left", [""])[0]
    return _render_form(context, page_request, to, has_ended="ended" in parameters, left=left)


def start_oidc(context: PageContext, page_request: PageRequest) -> Response:
    """Redirect to the provider of identities. Raises RouteNotFound if there is none."""
    oidc, to = _require_oidc(context), _find_target(_read_parameters(page_request))
    address, cookie = oidc.begin(to, context.sessions.clock())
    return redirect(address, _set_attempt(context, page_request, cookie, oidc_sign_in.LASTS_SECONDS))


def finish_oidc(context: PageContext, page_request: PageRequest) -> Response:
    """Start the session of the person whom the provider sends back, or show the form with the reason."""
    oidc = _require_oidc(context)
    parameters = parse_qs(page_request.query_string[:_CALLBACK_BYTES_MAX].decode("latin-1"))
    cookie = cookies(page_request.request).get(_attempt_cookie(context), "")
    no_attempt = _set_attempt(context, page_request, "", 0)
    try:
        attempt, expires_at = oidc.read_attempt(cookie, parameters)
        with _count_failures(context, page_request):
            person = oidc.finish(attempt, expires_at, parameters)
            session = context.sessions.begin_for(person, is_secure=page_request.is_secure)
    except errors.SignInRefused as problem:
        return _render_form(context, page_request, "/", status=403, problem=problem.message, headers=(no_attempt,))
    return redirect(ensure_local(attempt.to), session, no_attempt)


def sign_in(context: PageContext, page_request: PageRequest) -> Response:
    """Start a session for a key or for the proxy's person, and redirect to the page that the visitor came from."""
    to = ensure_local(page_request.read_field("to"))
    if page_request.read_field("by") == "proxy":
        person = _find_person(context, page_request)
        if person is None:
            raise errors.SignInRefused("the proxy does not say who you are; sign in at the proxy first")
        try:
            return redirect(to, context.sessions.begin_for(person, is_secure=page_request.is_secure))
        except errors.SignInRefused:
            context.rate_limit.count_failure(page_request.request)
            raise
    try:
        cookie = context.sessions.begin(page_request.read_field("key"), is_secure=page_request.is_secure)
    except errors.InvalidKey:
        context.rate_limit.count_failure(page_request.request)
        return _render_form(context, page_request, to, status=401, is_refused=True)
    return redirect(to, cookie)


def sign_out(context: PageContext, page_request: PageRequest) -> Response:
    """End the session on the server and in the browser."""
    session = page_request.session
    # From any other page the proxy would sign the visitor in again. That page also leads a person to the provider: the
    # browser follows no redirect from a form to another server (form-action).
    to = f"{SIGN_IN}?left={session.provider}" if session is not None and session.provider else "/"
    return redirect(to, context.sessions.end(session, is_secure=page_request.is_secure))


def end_oidc(context: PageContext, _: PageRequest) -> Response:
    """Redirect to where the provider of identities ends its own session, or say that it has no such page."""
    return redirect(_require_oidc(context).find_end() or f"{SIGN_IN}?left=here")


def choose(context: PageContext, page_request: PageRequest) -> Response:
    """Store what is done with models that are not safe for work, or how models are listed, and redirect back."""
    nsfw, view = page_request.read_field("nsfw"), page_request.read_field("view")
    if view:
        name, preference = VIEW_COOKIE, "list" if view == "list" else "grid"
    else:
        name, preference = NSFW_COOKIE, nsfw if nsfw in ("shown", "hidden") else "blurred"
    cookie = context.sessions.set_cookie(name, preference, 366 * 86_400, is_secure=page_request.is_secure)
    return redirect(ensure_local(page_request.read_field("to")), cookie)


@contextmanager
def _count_failures(context: PageContext, page_request: PageRequest) -> Iterator[None]:
    """Count a failure of what asks the provider. Raises RateLimited before that if the address has had too many."""
    context.rate_limit.refuse_failing(page_request.request)
    try:
        yield
    except (errors.SignInRefused, errors.Unavailable, errors.UpstreamFailed):
        context.rate_limit.count_failure(page_request.request)
        raise


def _read_parameters(page_request: PageRequest) -> dict[str, list[str]]:
    return parse_qs(page_request.query_string[:4096].decode("latin-1"))


def _find_target(parameters: dict[str, list[str]]) -> str:
    return ensure_local(parameters.get("to", ["/"])[0])


def _require_oidc(context: PageContext) -> OidcSignIn:
    if context.sessions.oidc is None:
        raise errors.RouteNotFound(oidc_sign_in.START)
    return context.sessions.oidc


def _attempt_cookie(context: PageContext) -> str:
    return ("__Host-" if context.sessions.is_https else "") + oidc_sign_in.COOKIE


def _set_attempt(context: PageContext, page_request: PageRequest, value: str, seconds: int) -> Header:
    name = _attempt_cookie(context)
    return context.sessions.set_cookie(name, value, seconds, is_secure=page_request.is_secure)


def _find_person(context: PageContext, page_request: PageRequest) -> Person | None:
    proxy = context.sessions.proxy
    return None if proxy is None else proxy.person_of(page_request.request)


def _render_form(
    context: PageContext,
    page_request: PageRequest,
    to: str,
    *,
    status: int = 200,
    has_ended: bool = False,
    left: str = "",
    is_refused: bool = False,
    problem: str = "",
    headers: tuple[Header, ...] = (),
) -> Response:
    person = None
    with suppress(errors.SignInRefused):
        person = _find_person(context, page_request)
    return render_page(
        page_request,
        "sign_in.html",
        status=status,
        headers=headers,
        to=to,
        has_ended=has_ended,
        left=left,
        is_refused=is_refused,
        problem=problem,
        person_name=person.name if person else "",
        oidc_address=f"{oidc_sign_in.START}?to={quote(to, safe='')}" if context.sessions.oidc else "",
    )
