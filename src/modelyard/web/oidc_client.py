"""What this server asks a provider of identities: its metadata, its keys, and who a code stands for.

    <issuer>/.well-known/openid-configuration → endpoints; kept for an hour
    jwks_uri                                  → keys; read again when a token is signed by an unknown one
    token_endpoint      code + PKCE verifier  → ID token: signature, issuer, audience, times, nonce
    userinfo_endpoint                         → claims that the ID token does not have
    end_session_endpoint                      ← the browser of a person who signs out there too

OpenID Connect Core 1.0 and RP-Initiated Logout 1.0, RFC 7636 (PKCE), RFC 8414 and RFC 9207. Only signatures with a key
pair are accepted: a secret that both sides have, and no signature at all, prove nothing. The library joserfc comes with
the extra ``oidc``.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from modelyard import errors
from modelyard.outbound import Limits, Outbound, parse_url
from modelyard.outbound.connection import Answer

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEY_KINDS = ("RSA", "EC", "OKP")
_METADATA_SECONDS = 3600
# An unknown key makes the client read the keys again at most this often, so that forged tokens cause few requests.
_KEYS_SECONDS_MIN = 5
_LEEWAY_SECONDS = 60
_BODY_BYTES_MAX = 256 * 1024
_LIMITS = Limits(seconds_max=15.0, header_seconds=10.0, idle_seconds=10.0, connect_seconds=5.0)
# After a failure the provider is left alone for so long.
_PAUSE_SECONDS = 5

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where the provider answers what."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    # Empty if the provider has none, or one that cannot be used.
    end_session_endpoint: str
    posts_secret: bool


class OidcClient:
    """Asks one provider. Threads may share it."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str,
        outbound: Outbound,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._outbound = outbound
        self._clock = clock
        self._metadata: Metadata | None = None
        self._metadata_at = 0.0
        self._failure: errors.ModelyardError | None = None
        self._failed_at = 0.0
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    def address_of(self, redirect_uri: str, scopes: str, state: str, nonce: str, verifier: str) -> str:
        """Return the address at the provider where a person signs in. Raises Unavailable or UpstreamFailed."""
        endpoint = self._find_metadata().authorization_endpoint
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        parameters = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(endpoint, parameters)

    def end_address_of(self, return_uri: str) -> str:
        """Return the address at the provider where a person signs out, empty if it has none.

        The ID token of the session is not kept, so the provider may ask the person. Raises Unavailable, UpstreamFailed.
        """
        endpoint = self._find_metadata().end_session_endpoint
        parameters = {"client_id": self._client_id, "post_logout_redirect_uri": return_uri}
        return _with_query(endpoint, parameters) if endpoint else ""

    def redeem(self, code: str, redirect_uri: str, nonce: str, verifier: str, claim: str) -> Claims:
        """Return what the provider says of the person whom a code stands for, with ``claim`` if it knows that.

        Raises SignInRefused for an answer that proves nothing, Unavailable or UpstreamFailed for no usable one.
        """
        metadata = self._find_metadata()
        tokens = self._exchange(metadata, code, redirect_uri, verifier)
        claims = self._check_token(metadata, str(tokens.get("id_token", "")), nonce)
        if claim not in claims and metadata.userinfo_endpoint and tokens.get("access_token"):
            claims = {**self._ask_user(metadata, str(tokens["access_token"]), claims["sub"]), **claims}
        return claims

    def check_issuer(self, issuer: str) -> None:
        """Raise SignInRefused if the answer in the browser comes from another provider (RFC 9207)."""
        if issuer != self._find_metadata().issuer:
            raise errors.SignInRefused("the answer comes from another provider than the sign-in was begun at")

    def _find_metadata(self) -> Metadata:
        now = self._clock()
        if self._metadata is None or now >= self._metadata_at + _METADATA_SECONDS:
            if self._failure is not None and now < self._failed_at + _PAUSE_SECONDS:
                raise type(self._failure)(self._failure.message)
            try:
                document = self._get_json(f"{self._issuer}/.well-known/openid-configuration")
                self._metadata = self._parse_metadata(document)
            except (errors.Unavailable, errors.UpstreamFailed) as failure:
                self._failure, self._failed_at = failure, self._clock()
                raise
            self._metadata_at, self._keys, self._failure = now, None, None
        return self._metadata

    def _parse_metadata(self, document: Claims) -> Metadata:
        issuer = str(document.get("issuer", ""))
        if issuer.rstrip("/") != self._issuer:
            raise errors.UpstreamFailed(
                f"the provider calls itself {issuer[:200]!r}, and oidc_issuer is {self._issuer!r}; set it to that name"
            )
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Metadata(
            issuer,
            self._parse_endpoint(document, "authorization_endpoint"),
            self._parse_endpoint(document, "token_endpoint"),
            self._parse_endpoint(document, "jwks_uri"),
            self._parse_endpoint(document, "userinfo_endpoint") if "userinfo_endpoint" in document else "",
            self._find_end_session(document),
            posts_secret=isinstance(methods, list) and "client_secret_basic" not in methods,
        )

    def _parse_endpoint(self, document: Claims, name: str) -> str:
        url = document.get(name)
        try:
            parsed = parse_url(url if isinstance(url, str) else "")
        except errors.AddressRefused:
            raise errors.UpstreamFailed(f"the provider's metadata has no usable {name}") from None
        if self._issuer.startswith("https:") and parsed.scheme != "https":
            raise errors.UpstreamFailed(f"the provider's {name} is not https")
        return str(url)

    def _find_end_session(self, document: Claims) -> str:
        with suppress(errors.UpstreamFailed):  # signing in does not need it
            return self._parse_endpoint(document, "end_session_endpoint")
        return ""

    def _exchange(self, metadata: Metadata, code: str, redirect_uri: str, verifier: str) -> Claims:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if metadata.posts_secret:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        else:
            secret = f"{quote(self._client_id, safe='')}:{quote(self._client_secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        body = urlencode(form).encode()
        with (
            _failures(),
            self._outbound.open(
                metadata.token_endpoint, method="POST", headers=headers, body=body, limits=_LIMITS, redirects_max=0
            ) as answer,
        ):
            if answer.status == 401:
                raise errors.UpstreamFailed("the provider does not accept oidc_client_id with oidc_client_secret")
            if answer.status == 400:
                problem = _word(_read_object(answer).get("error"))
                raise errors.SignInRefused(f"the provider refuses the sign-in ({problem}); begin again")
            answer.refuse_status(200)
            return _read_object(answer)

    def _check_token(self, metadata: Metadata, token: str, nonce: str) -> Claims:
        """Return the claims of an ID token. Raises SignInRefused unless it is ours, of now, and signed by a key."""
        try:
            try:
                claims = dict(jwt.decode(token, self._find_keys(metadata), algorithms=_ALGORITHMS).claims)
            except (InvalidKeyIdError, BadSignatureError):
                claims = dict(jwt.decode(token, self._find_keys(metadata, is_old=True), algorithms=_ALGORITHMS).claims)
            jwt.JWTClaimsRegistry(
                now=lambda: int(self._clock()),
                leeway=_LEEWAY_SECONDS,
                iss={"essential": True, "value": metadata.issuer},
                aud={"essential": True, "value": self._client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except JoseError as problem:
            reason = problem.description or problem.error
            raise errors.SignInRefused(
                f"the provider's ID token is not accepted: {reason[:200]}; begin again"
            ) from None
        except (ValueError, TypeError, RecursionError):
            raise errors.SignInRefused("the provider's ID token is no token; begin again") from None
        if claims.get("azp", self._client_id) != self._client_id:
            raise errors.SignInRefused("the provider's ID token was made for another program; begin again")
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise errors.SignInRefused("the provider's ID token does not say who it is for")
        return claims

    def _find_keys(self, metadata: Metadata, *, is_old: bool = False) -> KeySet:
        now = self._clock()
        if self._keys is None or (is_old and now >= self._keys_at + _KEYS_SECONDS_MIN):
            listed = self._get_json(metadata.jwks_uri).get("keys")
            keys = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
            usable = [key for key in keys if key.get("kty") in _KEY_KINDS and key.get("use", "sig") == "sig"]
            try:
                self._keys = KeySet.import_key_set({"keys": usable})
            except (JoseError, ValueError, TypeError, KeyError):
                raise errors.UpstreamFailed("the provider's keys cannot be read") from None
            self._keys_at = now
        return self._keys

    def _ask_user(self, metadata: Metadata, access_token: str, subject: object) -> Claims:
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        claims = self._get_json(metadata.userinfo_endpoint, headers)
        if claims.get("sub") != subject:
            raise errors.SignInRefused("the provider speaks of two people; begin again")
        return claims

    def _get_json(self, url: str, headers: Mapping[str, str] | None = None) -> Claims:
        with _failures(), self._outbound.open(url, headers=headers, limits=_LIMITS) as answer:
            answer.refuse_status(200)
            return _read_object(answer)


@contextmanager
def _failures() -> Iterator[None]:
    """Say of every failed request that it was the provider's."""
    try:
        yield
    except errors.Unavailable as problem:
        raise errors.Unavailable(f"the provider of identities does not answer: {problem.message}") from None
    except (errors.DownloadFailed, errors.TooLarge) as problem:
        raise errors.UpstreamFailed(f"the provider of identities has no usable answer: {problem.message}") from None


def _read_object(answer: Answer) -> Claims:
    document = answer.read_json(_BODY_BYTES_MAX)
    if not isinstance(document, dict):
        raise errors.DownloadFailed(f"{answer.host} answers with JSON that is no object")
    return document


def _with_query(endpoint: str, parameters: Mapping[str, str]) -> str:
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def _word(value: object) -> str:
    """Return a code of an error, which is shown to people, if it is one."""
    text = value if isinstance(value, str) else ""
    return text if len(text) <= 60 and text.replace("_", "").isalnum() and text.isascii() else "without a reason"
