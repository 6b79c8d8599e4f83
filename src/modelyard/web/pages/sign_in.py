"""Signing in, signing out, and the visitor's preferences."""

from contextlib import suppress
from urllib.parse import parse_qs

from modelyard import errors
from modelyard.web.pages.page import (
    NSFW_COOKIE,
    VIEW_COOKIE,
    PageContext,
    PageRequest,
    ensure_local,
    redirect,
    render_page,
)
from modelyard.web.responses import Response


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the sign-in form. With the code of a sign-in link, start a session instead; a code works once."""
    parameters = parse_qs(page_request.query_string[:4096].decode("latin-1"))
    to = ensure_local(parameters.get("to", ["/"])[0])
    if "code" in parameters:
        with suppress(errors.InvalidKey):
            return redirect(to, context.sessions.redeem(parameters["code"][0], is_secure=page_request.is_secure))
    return render_page(page_request, "sign_in.html", to=to, has_ended="ended" in parameters, is_refused=False)


def sign_in(context: PageContext, page_request: PageRequest) -> Response:
    """Start a session for a key, and redirect to the page that the visitor came from."""
    to = ensure_local(page_request.read_field("to"))
    try:
        cookie = context.sessions.begin(page_request.read_field("key"), is_secure=page_request.is_secure)
    except errors.InvalidKey:
        return render_page(page_request, "sign_in.html", status=401, to=to, has_ended=False, is_refused=True)
    return redirect(to, cookie)


def sign_out(context: PageContext, page_request: PageRequest) -> Response:
    """End the session on the server and in the browser."""
    return redirect("/", context.sessions.end(page_request.session, is_secure=page_request.is_secure))


def choose(context: PageContext, page_request: PageRequest) -> Response:
    """Store what is done with models that are not safe for work, or how models are listed, and redirect back."""
    nsfw, view = page_request.read_field("nsfw"), page_request.read_field("view")
    if view:
        name, preference = VIEW_COOKIE, "list" if view == "list" else "grid"
    else:
        name, preference = NSFW_COOKIE, nsfw if nsfw in ("shown", "hidden") else "blurred"
    cookie = context.sessions.set_cookie(name, preference, 366 * 86_400, is_secure=page_request.is_secure)
    return redirect(ensure_local(page_request.read_field("to")), cookie)
