"""Signing in and out, and what a visitor chooses to see."""

from urllib.parse import parse_qs

from modelyard import errors
from modelyard.web import sessions
from modelyard.web.pages.page import NSFW_COOKIE, Site, Visit, local, page, redirect
from modelyard.web.responses import Response


def show(visit: Visit) -> Response:
    """Answer the form that takes a key."""
    asked = parse_qs(visit.query_string[:4096].decode("latin-1"))
    to = local(asked.get("to", ["/"])[0])
    return page(visit, "sign_in.html", to=to, ended="ended" in asked, refused=False)


def sign_in(site: Site, visit: Visit) -> Response:
    """Trade a key for a session, and go on to where the visitor came from."""
    to = local(visit.said("to"))
    try:
        started = site.sessions.begin(visit.said("key"), is_secure=visit.is_secure)
    except errors.InvalidKey:
        return page(visit, "sign_in.html", status=401, to=to, ended=False, refused=True)
    return redirect(to, started)


def sign_out(visit: Visit) -> Response:
    """End the session."""
    return redirect("/", sessions.set_cookie(sessions.COOKIE, "", 0, is_secure=visit.is_secure))


def choose(visit: Visit) -> Response:
    """Keep whether covers that are not safe for work are shown, and go back."""
    chosen = "shown" if visit.said("nsfw") == "shown" else "blurred"
    kept = sessions.set_cookie(NSFW_COOKIE, chosen, 366 * 86_400, is_secure=visit.is_secure)
    return redirect(local(visit.said("to")), kept)
