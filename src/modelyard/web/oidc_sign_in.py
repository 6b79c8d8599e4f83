"""Signing in by OpenID Connect: the authorization code flow with PKCE, for the pages.

    /sign-in/oidc            cookie with state, nonce and verifier → the provider
    /sign-in/oidc/callback   code and state → the cookie's state, once → tokens → person → session
    /sign-out/oidc           → the provider, which ends its own session

    modelyard_oidc = <state, nonce, verifier, address>.<signing key>.<expires>.<signature>     HttpOnly, ten minutes

The cookie is signed and not stored, so the provider may send the browser to another node. A state works once: it is
remembered as a session that ended.
"""

import base64
import importlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from modelyard import errors
from modelyard.auth import Auth, Person
from modelyard.outbound import AddressPolicy, Outbound
from modelyard.signing import Signature, Signer
from modelyard.web.team_rules import TeamRule, choose_team

START, CALLBACK, END = "/sign-in/oidc", "/sign-in/oidc/callback", "/sign-out/oidc"
COOKIE = "modelyard_oidc"
LASTS_SECONDS = 600
MISSING = "oidc_issuer is set, and OpenID Connect is not installed here; run: pip install 'modelyard[oidc]'"
_PURPOSE = "oidc"
_VALUE_CHARS_MAX = 4096
_CODE_CHARS_MAX = 4096
_NAME_CHARS_MAX = 100
_SUBJECT_CHARS_MAX = 255
_NAME_CLAIMS = ("preferred_username", "email", "name", "sub")
_BEGIN_AGAIN = (
    "this sign-in was not begun in this browser, was used before, or took longer than ten minutes; begin again"
)


class Provider(Protocol):
    """What ``oidc_client.OidcClient`` does; its library comes with an extra."""

    def address_of(self, redirect_uri: str, scopes: str, state: str, nonce: str, verifier: str) -> str:
        """Return the address at the provider where a person signs in."""

    def redeem(self, code: str, redirect_uri: str, nonce: str, verifier: str, claim: str) -> Mapping[str, object]:
        """Return the claims of the person whom a code stands for."""

    def check_issuer(self, issuer: str) -> None:
        """Raise SignInRefused for the name of another provider."""

    def end_address_of(self, return_uri: str) -> str:
        """Return the address at the provider where a person signs out, empty if it has none."""


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """A sign-in under way: what its cookie has."""

    state: str
    nonce: str
    verifier: str
    to: str


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """The settings of OpenID Connect. ``public_url`` is where the provider sends the browser back."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    team_claim: str
    rules: tuple[TeamRule, ...]
    public_url: str

    def check(self, *, allows_http: bool) -> None:
        """Raise ConfigurationError if they do not fit together."""
        needs = {"oidc_client_id": self.client_id, "oidc_client_secret": self.client_secret}
        needs |= {"oidc_teams": "x" if self.rules else "", "public_url": self.public_url}
        for name, text in needs.items():
            if not text:
                raise errors.ConfigurationError(f"oidc_issuer is set and {name} is empty; OpenID Connect needs both")
        if "openid" not in self.scopes.split():
            raise errors.ConfigurationError("oidc_scopes does not have the scope openid, without which nobody is named")
        if not (self.issuer.startswith("https://") or allows_http):
            raise errors.ConfigurationError("oidc_issuer is not https; use https, or set outbound_allow_http")


class OidcSignIn:
    """Begins and ends sign-ins at one provider. Threads may share it."""

    def __init__(self, settings: OidcSettings, policy: AddressPolicy, auth: Auth, signer: Signer) -> None:
        """Take the settings, which were checked. Raises ConfigurationError if the extra is not installed."""
        self._settings = settings
        self._auth = auth
        self._signer = signer
        self._provider: Provider = import_client().OidcClient(
            settings.issuer, settings.client_id, settings.client_secret, Outbound(policy)
        )
        self._redirect_uri = settings.public_url + CALLBACK
        self._return_uri = settings.public_url + "/"

    def begin(self, to: str, now: float) -> tuple[str, str]:
        """Return the address at the provider, and the value of the cookie. Raises Unavailable or UpstreamFailed."""
        attempt = Attempt(secrets.token_urlsafe(16), secrets.token_urlsafe(16), secrets.token_urlsafe(32), to)
        address = self._provider.address_of(
            self._redirect_uri, self._settings.scopes, attempt.state, attempt.nonce, attempt.verifier
        )
        text = base64.urlsafe_b64encode(msgspec.json.encode(attempt)).rstrip(b"=").decode()
        signed = parse_qs(self._signer.query(_PURPOSE, text, "", int(now) + LASTS_SECONDS))
        return address, f"{text}.{signed['key'][0]}.{signed['expires'][0]}.{signed['signature'][0]}"

    def find_end(self) -> str:
        """Return where a person signs out at the provider, empty if that has no such page.

        Raises Unavailable or UpstreamFailed.
        """
        return self._provider.end_address_of(self._return_uri)

    def read_attempt(self, cookie: str, parameters: Mapping[str, list[str]]) -> tuple[Attempt, int]:
        """Return the sign-in that this browser began, and when it expires. Asks nobody. Raises SignInRefused."""
        attempt, expires_at = self._read_cookie(cookie)
        state = parameters.get("state", [""])[0]
        if not secrets.compare_digest(state.encode(errors="replace"), attempt.state.encode()):
            raise errors.SignInRefused(_BEGIN_AGAIN)
        return attempt, expires_at

    def finish(self, attempt: Attempt, expires_at: int, parameters: Mapping[str, list[str]]) -> Person:
        """Return who signed in. Raises SignInRefused, and Unavailable or UpstreamFailed of the provider."""
        try:
            self._auth.use_once(f"oidc {attempt.state}", expires_at)
        except errors.InvalidKey:
            raise errors.SignInRefused(_BEGIN_AGAIN) from None
        if "iss" in parameters:
            self._provider.check_issuer(parameters["iss"][0])
        code = parameters.get("code", [""])[0]
        if not code or len(code) > _CODE_CHARS_MAX:
            reason = parameters.get("error", [""])[0]
            is_plain = reason.isascii() and reason.replace("_", "").isalnum() and len(reason) <= 60
            raise errors.SignInRefused(
                f"the provider did not sign you in ({reason if is_plain else 'without a reason'}); begin again"
            )
        claim = self._settings.team_claim
        claims = self._provider.redeem(code, self._redirect_uri, attempt.nonce, attempt.verifier, claim)
        return self._person_of(claims)

    def _person_of(self, claims: Mapping[str, object]) -> Person:
        subject = str(claims["sub"])
        texts = (claims.get(name) for name in _NAME_CLAIMS)
        names = [text for text in texts if isinstance(text, str) and text.isprintable() and text]
        if not names or len(subject) > _SUBJECT_CHARS_MAX:
            raise errors.SignInRefused("the provider sends a name that is not accepted")
        name = names[0][:_NAME_CHARS_MAX]
        value = claims.get(self._settings.team_claim, [])
        groups = {text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)}
        team, scopes = choose_team(self._settings.rules, name, groups)
        return Person("oidc", f"{self._settings.issuer} {subject}", name, team, scopes)

    def _read_cookie(self, cookie: str) -> tuple[Attempt, int]:
        parts = cookie.split(".")
        if len(cookie) > _VALUE_CHARS_MAX or len(parts) != 4:
            raise errors.SignInRefused(_BEGIN_AGAIN)
        text, *signature = parts
        try:
            expires_at = self._signer.check(_PURPOSE, text, "", Signature(*signature))
        except (errors.InvalidSignature, errors.LinkExpired):
            raise errors.SignInRefused(_BEGIN_AGAIN) from None
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=="), type=Attempt), expires_at


def import_client() -> Any:
    """Return the module of the client. Raises ConfigurationError if the extra is not installed."""
    try:
        return importlib.import_module("modelyard.web.oidc_client")
    except ModuleNotFoundError as problem:
        raise errors.ConfigurationError(MISSING) from problem
