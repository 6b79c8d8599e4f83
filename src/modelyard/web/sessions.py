"""Who is signed in: a key is traded once for a cookie, and the cookie is worth what the key is worth at that moment.

    modelyard_session = <key id>.<random>.<signing key>.<expires>.<signature>      HttpOnly, SameSite=Lax

The cookie is sealed, not stored: any worker on any machine can check it, and nothing has to be cleared. It names the
key and does not hold it, so every request asks ``access`` whether that key is still good: revoking it signs out
everywhere at once. What changes something needs two more proofs that our own page asked: the browser's word
on where the request came from (``Sec-Fetch-Site``, ``Origin``), and a token that only our pages were given.
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
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Exchange, Header

COOKIE = "modelyard_session"
TOKEN_FIELD = "token"  # noqa: S105 # the name of a field, not its content
TOKEN_HEADER = b"modelyard-token"
LASTS_SECONDS = 30 * 86_400
_SESSION, _TOKEN = "session", "token"
_VALUE_CHARS_MAX = 256
CallerOf = Callable[[Exchange], Viewer]


@dataclass(frozen=True, slots=True)
class Session:
    """A request that comes from somebody signed in. ``token`` is what their forms have to send."""

    viewer: Viewer
    key_id: int
    token: str


@dataclass(frozen=True, slots=True)
class Sessions:
    """Makes and reads session cookies."""

    access: Auth
    signer: Signer
    rate_limit: RateLimit
    clock: Callable[[], float] = time.time

    def begin(self, key: str, *, is_secure: bool) -> Header:
        """Return the header that signs the browser in as the key's team. Raises InvalidKey."""
        key_id = self.access.id_of(key.strip())
        nonce = secrets.token_hex(8)
        expires_at = int(self.clock()) + LASTS_SECONDS
        signed = parse_qs(self.signer.query(_SESSION, str(key_id), nonce, expires_at))
        value = f"{key_id}.{nonce}.{signed['key'][0]}.{expires_at}.{signed['signature'][0]}"
        return set_cookie(COOKIE, value, LASTS_SECONDS, is_secure=is_secure)

    def of(self, exchange: Exchange) -> Session | None:
        """Return the session of a request; None where there is none, or it has ended. Raises InvalidKey for one
        whose key is not good any more."""
        value = cookies(exchange).get(COOKIE, "")
        parts = value.split(".")
        if len(value) > _VALUE_CHARS_MAX or len(parts) != 5 or not (parts[0].isascii() and parts[0].isdigit()):
            return None
        key_id, nonce, *signed = parts
        try:
            expires_at = self.signer.check(_SESSION, key_id, nonce, Signature(*signed))
        except (errors.InvalidSignature, errors.LinkExpired):
            return None
        viewer = self.access.viewer_of_id(int(key_id))
        token = self.signer.query(_TOKEN, key_id, nonce, expires_at).rpartition("=")[2]
        return Session(viewer, int(key_id), token)

    def caller(self, otherwise: CallerOf, exchange: Exchange) -> Viewer:
        """Return who calls the API: whom the key speaks for, or without one the session of our own page's script."""
        if b"authorization" in exchange.headers or TOKEN_HEADER not in exchange.headers:
            return otherwise(exchange)
        session = self.of(exchange)
        if session is None:
            return otherwise(exchange)
        refuse_foreign(exchange)
        refuse_without_token(session, exchange.headers[TOKEN_HEADER].decode("latin-1"))
        exchange.team = session.viewer.team
        self.rate_limit.take(session.viewer.team or "")
        return session.viewer

    def reader(self, otherwise: CallerOf, exchange: Exchange) -> Viewer:
        """Return who calls the API, if they may read. Raises Forbidden."""
        viewer = self.caller(otherwise, exchange)
        if not viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        return viewer


def refuse_without_token(session: Session, given: str) -> None:
    """Raise CrossSiteRequest unless the token is this session's."""
    if not hmac.compare_digest(session.token.encode(), given.encode(errors="replace")):
        raise errors.CrossSiteRequest


def refuse_foreign(exchange: Exchange) -> None:
    """Raise CrossSiteRequest for a request that another site's page made the browser send."""
    site = exchange.headers.get(b"sec-fetch-site")
    origin = exchange.headers.get(b"origin")
    if site is not None:
        is_ours = site in (b"same-origin", b"none")
    elif origin is not None:
        # Browsers do not send the other over plain HTTP to another machine.
        host = exchange.headers.get(b"host", b"").decode("latin-1").lower()
        is_ours = bool(host) and _host_of(origin) == host
    else:
        is_ours = True  # no browser: every one of them says where a POST comes from
    if not is_ours:
        raise errors.CrossSiteRequest


def _host_of(origin: bytes) -> str:
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:  # a bracket that is never closed
        return ""


def cookies(exchange: Exchange) -> dict[str, str]:
    """Return the cookies of a request; the first of two of one name, which is the more specific one."""
    found: dict[str, str] = {}
    # Repeated headers were joined by commas, which no cookie of ours holds.
    for part in exchange.headers.get(b"cookie", b"")[:8192].decode("latin-1").replace(",", ";").split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, value)
    return found


def set_cookie(name: str, value: str, seconds: int, *, is_secure: bool) -> Header:
    """Return the header that sets one of our cookies; ``seconds`` 0 takes it away."""
    secure = "; Secure" if is_secure else ""
    return b"set-cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}".encode()
