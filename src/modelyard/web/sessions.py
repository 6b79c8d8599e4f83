"""Sessions of browsers: a user signs in with an API key, and gets a cookie that stands for the key.

A person whom a proxy or a provider of identities names has a row among the keys (``auth``), and the same cookie.

    modelyard_session = <key fingerprint>.<session>.<signing key>.<expires>.<signature>      HttpOnly, SameSite=Lax

The cookie is signed and not stored, so any worker on any machine can check it. It has the fingerprint of the key and
not the key. Every request asks ``auth`` whether the key is still valid and whether the session ended: signing out ends
one session, and revoking a key ends all its sessions, at once and everywhere. If the public URL is HTTPS, the cookie is
``__Host-modelyard_session``, which browsers accept over HTTPS and from this host only.

Requests that change something need two more proofs that a page of ours sent them: the headers of the browser
(``Sec-Fetch-Site``, ``Origin``), and a token that only our pages know.
"""

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from modelyard import errors
from modelyard.auth import Auth, Person
from modelyard.domain import Scope, Viewer
from modelyard.signing import Signature, Signer
from modelyard.web.auth import ViewerOf
from modelyard.web.oidc_sign_in import OidcSignIn
from modelyard.web.proxy_sign_in import ProxySignIn
from modelyard.web.rate_limit import RateLimit, counter_of
from modelyard.web.requests import Header, Request

COOKIE = "modelyard_session"
SECURE_COOKIE = "__Host-" + COOKIE
TOKEN_FIELD = "token"  # noqa: S105 # the name of a field, not its content
TOKEN_HEADER = b"modelyard-token"
LASTS_SECONDS = 30 * 86_400
# Who may sign in is decided elsewhere, and asked again after this time.
PERSON_LASTS_SECONDS = 12 * 3600
_SESSION, _TOKEN, _CODE = "session", "token", "code"
_CODE_SECONDS = 3600
_VALUE_CHARS_MAX = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """The session of a request. ``token`` is the value that its forms have to send."""

    id: str
    viewer: Viewer
    key_id: int
    token: str
    expires_at: int
    # What the person signed in by; empty for a key.
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Makes and checks session cookies."""

    auth: Auth
    signer: Signer
    rate_limit: RateLimit
    clock: Callable[[], float] = time.time
    # Whether the public URL is HTTPS.
    is_https: bool = False
    proxy: ProxySignIn | None = None
    oidc: OidcSignIn | None = None

    @property
    def cookie_name(self) -> str:
        """The name of the cookie."""
        return SECURE_COOKIE if self.is_https else COOKIE

    def set_cookie(self, name: str, value: str, seconds: int, *, is_secure: bool) -> Header:
        """Return the header that sets a cookie. 0 ``seconds`` deletes it."""
        secure = "; Secure" if is_secure or self.is_https else ""
        return b"set-cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}".encode()

    def begin(self, key: str, *, is_secure: bool) -> Header:
        """Return the header that signs in a browser as the team of the key. Raises InvalidKey, RateLimited."""
        fingerprint = self.auth.fingerprint_of(key.strip())
        self.rate_limit.count_session(fingerprint)
        return self._begin(fingerprint, is_secure=is_secure)

    def begin_for(self, person: Person, *, is_secure: bool) -> Header:
        """Return the header that signs in a browser as a person. Raises SignInRefused, RateLimited."""
        fingerprint = self.auth.admit(person).viewer.key_fingerprint
        self.rate_limit.count_session(fingerprint)
        return self._begin(fingerprint, is_secure=is_secure, seconds=PERSON_LASTS_SECONDS)

    def create_code(self, key: str) -> str:
        """Return a code that signs in one browser as the team of the key, within an hour. Raises InvalidKey."""
        fingerprint, nonce = self.auth.fingerprint_of(key), secrets.token_hex(8)
        return self._compose(_CODE, fingerprint, nonce, int(self.clock()) + _CODE_SECONDS)

    def redeem(self, code: str, *, is_secure: bool) -> Header:
        """Return the header that signs in a browser by a code, which is worth nothing afterwards.

        Raises InvalidKey for a code that was used or has expired, or that this server did not make.
        """
        parts = self._parse(_CODE, code)
        if parts is None:
            raise errors.InvalidKey
        fingerprint, nonce, expires_at = parts
        self.auth.find(fingerprint, is_new=True)
        # A code that was used is remembered as a session that ended.
        self.auth.use_once(nonce, expires_at)
        return self._begin(fingerprint, is_secure=is_secure)

    def _begin(self, fingerprint: str, *, is_secure: bool, seconds: int = LASTS_SECONDS) -> Header:
        session_id = secrets.token_hex(8)
        expires_at = int(self.clock()) + seconds
        self.auth.begin_session(fingerprint, session_id)
        value = self._compose(_SESSION, fingerprint, session_id, expires_at)
        return self.set_cookie(self.cookie_name, value, seconds, is_secure=is_secure)

    def _compose(self, kind: str, fingerprint: str, name: str, expires_at: int) -> str:
        """Return the text of a cookie or a code, which ``_parse`` reads."""
        signed = parse_qs(self.signer.query(kind, fingerprint, name, expires_at))
        return f"{fingerprint}.{name}.{signed['key'][0]}.{expires_at}.{signed['signature'][0]}"

    def _parse(self, kind: str, text: str) -> tuple[str, str, int] | None:
        """Return fingerprint, name and end of a text; None if it has expired, or if no server of ours made it."""
        parts = text.split(".")
        if len(text) > _VALUE_CHARS_MAX or len(parts) != 5:
            return None
        fingerprint, name, *signature = parts
        try:
            return fingerprint, name, self.signer.check(kind, fingerprint, name, Signature(*signature))
        except (errors.InvalidSignature, errors.LinkExpired):
            return None

    def end(self, session: Session | None, *, is_secure: bool) -> Header:
        """End a session, also for copies of its cookie, and return the header that deletes the cookie."""
        if session is not None:
            self.auth.end_session(session.id, session.expires_at, session.viewer)
        return self.set_cookie(self.cookie_name, "", 0, is_secure=is_secure)

    def of(self, request: Request, *, is_page: bool = True) -> Session | None:
        """Return the session of a request; None if there is none, if it has expired, or if the proxy contradicts it.

        A session ends when the proxy names somebody else, or the same person with other groups. Raises InvalidKey if
        its key was revoked or has expired, or if the user signed out.
        """
        parts = self._parse(_SESSION, cookies(request).get(self.cookie_name, ""))
        if parts is None:
            return None
        fingerprint, session_id, expires_at = parts
        key = self.auth.find(fingerprint, is_new=True)
        if key.provider == "proxy":
            if self.proxy is None or self.proxy.is_silent(request, is_page=is_page):
                return None
            if self.proxy.contradicts(request, key):
                self._end_soon(session_id, expires_at, key.viewer)
                return None
        if self.auth.has_ended(session_id):
            raise errors.InvalidKey
        token = self.signer.query(_TOKEN, fingerprint, session_id, expires_at).rpartition("=")[2]
        return Session(session_id, key.viewer, key.key_id, token, expires_at, key.provider)

    def _end_soon(self, session: str, expires_at: int, viewer: Viewer) -> None:
        """End a session without a wait of the event loop for the database."""
        if self.auth.has_ended(session):
            return
        self.auth.refuse_session(session, expires_at, viewer)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # in a thread
            self._store_refused()
        else:
            loop.run_in_executor(None, self._store_refused)

    def _store_refused(self) -> None:
        try:
            self.auth.store_refused_sessions()
        except errors.Unavailable as problem:
            log.warning("the end of a session is not stored yet: %s", problem.message)

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
        session = self.of(request, is_page=False)
        if session is None:
            return by_key(request)
        check_same_site(request)
        check_token(session, request.headers[TOKEN_HEADER].decode("latin-1"))
        request.viewer = session.viewer
        self.rate_limit.take(counter_of(request))
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
