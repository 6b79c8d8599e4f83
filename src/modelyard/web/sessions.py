"""Sessions of browsers: a user signs in with an API key, and gets a cookie that stands for the key.

    modelyard_session = <key id>.<random>.<signing key>.<expires>.<signature>      HttpOnly, SameSite=Lax

The cookie is signed and not stored, so any worker on any machine can check it, and nothing has to be deleted later. It
has the id of the key and not the key. Every request asks ``auth`` whether the key is still valid, so revoking a key
signs out everywhere at once. Requests that change something need two more proofs that a page of ours sent them: the
headers of the browser (``Sec-Fetch-Site``, ``Origin``), and a token that only our pages know.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Scope, Viewer
from modelyard.signing import Signature, Signer
from modelyard.web.auth import ViewerOf
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Header, Request

COOKIE = "modelyard_session"
TOKEN_FIELD = "token"  # noqa: S105 # the name of a field, not its content
TOKEN_HEADER = b"modelyard-token"
LASTS_SECONDS = 30 * 86_400
_SESSION, _TOKEN = "session", "token"
_VALUE_CHARS_MAX = 256


@dataclass(frozen=True, slots=True)
class Session:
    """The session of a request. ``token`` is the value that its forms have to send."""

    viewer: Viewer
    key_id: int
    token: str


@dataclass(frozen=True, slots=True)
class Sessions:
    """Makes and checks session cookies."""

    auth: Auth
    signer: Signer
    rate_limit: RateLimit
    clock: Callable[[], float] = time.time

    def begin(self, key: str, *, is_secure: bool) -> Header:
        """Return the header that signs in a browser as the team of the key. Raises InvalidKey."""
        key_id = self.auth.id_of(key.strip())
        nonce = secrets.token_hex(8)
        expires_at = int(self.clock()) + LASTS_SECONDS
        signed = parse_qs(self.signer.query(_SESSION, str(key_id), nonce, expires_at))
        value = f"{key_id}.{nonce}.{signed['key'][0]}.{expires_at}.{signed['signature'][0]}"
        return set_cookie(COOKIE, value, LASTS_SECONDS, is_secure=is_secure)

    def of(self, request: Request) -> Session | None:
        """Return the session of a request; None if there is none, or if it has expired.

        Raises InvalidKey if its key was revoked or has expired.
        """
        value = cookies(request).get(COOKIE, "")
        parts = value.split(".")
        if len(value) > _VALUE_CHARS_MAX or len(parts) != 5 or not (parts[0].isascii() and parts[0].isdigit()):
            return None
        key_id, nonce, *signature = parts
        try:
            expires_at = self.signer.check(_SESSION, key_id, nonce, Signature(*signature))
        except (errors.InvalidSignature, errors.LinkExpired):
            return None
        viewer = self.auth.viewer_of_id(int(key_id))
        token = self.signer.query(_TOKEN, key_id, nonce, expires_at).rpartition("=")[2]
        return Session(viewer, int(key_id), token)

    def caller(self, by_key: ViewerOf, request: Request) -> Viewer:
        """Return the viewer of an API request: that of the key, or of the session if a script of our pages sends it.

        A request is checked and counted once, however often it is asked for its caller.
        """
        if not request.is_identified:
            request.viewer = self._identify(by_key, request)
            request.is_identified = True
        return request.viewer

    def _identify(self, by_key: ViewerOf, request: Request) -> Viewer:
        if b"authorization" in request.headers or TOKEN_HEADER not in request.headers:
            return by_key(request)
        session = self.of(request)
        if session is None:
            return by_key(request)
        check_same_site(request)
        check_token(session, request.headers[TOKEN_HEADER].decode("latin-1"))
        request.viewer = session.viewer
        self.rate_limit.take(session.viewer.team or "")
        return session.viewer

    def reader(self, by_key: ViewerOf, request: Request) -> Viewer:
        """Return the viewer of an API request. Raises Forbidden if they may not read."""
        viewer = self.caller(by_key, request)
        if not viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        return viewer


def check_token(session: Session, token: str) -> None:
    """Raise CrossSiteRequest unless the token is that of the session."""
    if not hmac.compare_digest(session.token.encode(), token.encode(errors="replace")):
        raise errors.CrossSiteRequest


def check_same_site(request: Request) -> None:
    """Raise CrossSiteRequest if the page of another site made the browser send the request."""
    site = request.headers.get(b"sec-fetch-site")
    origin = request.headers.get(b"origin")
    if site is not None:
        is_ours = site in (b"same-origin", b"none")
    elif origin is not None:
        # Browsers do not send Sec-Fetch-Site over plain HTTP to another machine.
        host = request.headers.get(b"host", b"").decode("latin-1").lower()
        is_ours = bool(host) and _host_of(origin) == host
    else:
        is_ours = True  # not a browser: all browsers send one of the two headers with a POST
    if not is_ours:
        raise errors.CrossSiteRequest


def _host_of(origin: bytes) -> str:
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:  # a bracket without its end
        return ""


def cookies(request: Request) -> dict[str, str]:
    """Return the cookies of a request. Of two with the same name the first one is used: it is more specific."""
    result: dict[str, str] = {}
    # Repeated headers were joined by commas. No cookie of ours has a comma.
    for part in request.headers.get(b"cookie", b"")[:8192].decode("latin-1").replace(",", ";").split(";"):
        name, _, value = part.strip().partition("=")
        result.setdefault(name, value)
    return result


def set_cookie(name: str, value: str, seconds: int, *, is_secure: bool) -> Header:
    """Return the header that sets a cookie. 0 ``seconds`` deletes it."""
    secure = "; Secure" if is_secure else ""
    return b"set-cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}".encode()
