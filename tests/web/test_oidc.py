"""Signing in by OpenID Connect: with a real provider, and with one that answers wrongly.

Not covered here: which group has which team (test_proxy_sign_in.py), and what a session may do (test_scopes.py).
"""

import asyncio
import base64
import hashlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwk

from modelyard import errors
from modelyard.outbound import Outbound, create_policy, origin_of
from modelyard.settings import Settings
from modelyard.signing import SecretKey, Signer
from modelyard.web.app import check_settings
from modelyard.web.oidc_client import OidcClient
from modelyard.web.oidc_sign_in import OidcSettings, OidcSignIn
from modelyard.web.team_rules import parse_rules
from tests.app_fixture import App, Reply, open_app
from tests.oidc_stub import CLIENT_ID, SECRET, Provider, serving

PUBLIC_URL = "http://models.test"
TEAMS = "artists red read+write,chiefs red admin"
BEGIN_AGAIN = "was not begun in this browser, was used before, or took longer"
CALLBACK = "/sign-in/oidc/callback"


def chosen(issuer: str) -> dict[str, str]:
    return {
        "oidc_issuer": issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": SECRET,
        "oidc_teams": TEAMS,
        "public_url": PUBLIC_URL,
        "outbound_allow_http": "yes",
    }


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serving() as running:
        yield running


@pytest.fixture
def yard(tmp_path: Path, provider: Provider) -> Iterator[App]:
    with open_app(tmp_path, **chosen(provider.url)) as opened:
        yield opened


def cookie_of(reply: Reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


def begin(yard: App, to: str = "/upload") -> tuple[str, dict[str, str]]:
    """Begin a sign-in; return the cookie and the parameters at the provider."""
    reply = yard.ask(f"/sign-in/oidc?{urlencode({'to': to})}", None)
    assert 303 == reply.status, reply.body
    query = parse_qs(urlsplit(reply.headers["location"]).query)
    return cookie_of(reply), {name: values[0] for name, values in query.items()}


def come_back(yard: App, cookie: str, **parameters: str) -> Reply:
    return yard.ask(f"{CALLBACK}?{urlencode(parameters)}", None, cookie=cookie)


def sign_in(yard: App, provider: Provider) -> Reply:
    cookie, query = begin(yard)
    provider.nonce = query["nonce"]
    return come_back(yard, cookie, code="c", state=query["state"])


def session_of(reply: Reply) -> str:
    """The cookie of the session; the other one is deleted."""
    return next(part for part in reply.headers["set-cookie"].split(", ") if part.startswith("modelyard_session="))


# --- A real provider


@contextmanager
def real_provider() -> Iterator[str]:
    """The provider of the package oidc-provider-mock, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end_at = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < end_at, "the provider does not start"
                    assert process.poll() is None, "the provider has ended"
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def call(url: str, method: str, body: bytes, kind: str) -> http.client.HTTPResponse:
    parsed = urlsplit(url)
    connection = http.client.HTTPConnection(parsed.netloc, timeout=30)
    connection.request(method, f"{parsed.path}?{parsed.query}", body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_a_person_signs_in_at_a_real_provider_and_signs_out_on_every_node(tmp_path: Path) -> None:
    form = "application/x-www-form-urlencoded"
    with real_provider() as issuer, open_app(tmp_path, **chosen(issuer)) as yard:
        claims = b'{"preferred_username": "anna", "groups": ["chiefs", "artists"]}'
        call(f"{issuer}/users/7", "PUT", claims, "application/json")
        begun = yard.ask("/sign-in/oidc?to=/keys", None)
        location = call(begun.headers["location"], "POST", b"sub=7", form).headers["Location"]
        finished = yard.ask(location.removeprefix(PUBLIC_URL), None, cookie=cookie_of(begun))
        cookie = session_of(finished).partition(";")[0]
        page = yard.ask("/keys", None, cookie=cookie)
        with open_app(tmp_path, **chosen(issuer)) as other_node:
            elsewhere = [other_node.ask("/keys", None, cookie=cookie)]
            left = yard.ask("/sign-out", None, cookie=cookie, method="POST")
            elsewhere.append(other_node.ask("/keys", None, cookie=cookie))
        offer = yard.ask(left.headers["location"], None)
        end = yard.ask("/sign-out/oidc", None).headers["location"]
        sent = parse_qs(urlsplit(end).query)
        confirmed = urlencode({"redirect_uri": sent["post_logout_redirect_uri"][0]}).encode()
        asked = call(end, "GET", b"", form).status
        back = call(f"{issuer}/oauth2/end_session/confirm", "POST", confirmed, form).headers["Location"]

    assert (303, "/keys") == (finished.status, finished.headers["location"])
    assert (200, True) == (page.status, b"Signed in as anna of red" in page.body)
    assert [200, 303] == [reply.status for reply in elsewhere]
    assert ("/sign-in?left=oidc", True) == (left.headers["location"], b'href="/sign-out/oidc"' in offer.body)
    assert (f"{issuer}/oauth2/end_session", [CLIENT_ID], 200) == (end.partition("?")[0], sent["client_id"], asked)
    assert f"{PUBLIC_URL}/" == back


@pytest.mark.parametrize("endpoint", [None, "ftp://elsewhere.example/", 7])
def test_a_provider_without_a_page_for_signing_out_signs_in_all_the_same(
    yard: App, provider: Provider, endpoint: object
) -> None:
    if endpoint is not None:
        provider.metadata["end_session_endpoint"] = endpoint
    cookie = session_of(sign_in(yard, provider)).partition(";")[0]
    left = yard.ask("/sign-out", None, cookie=cookie, method="POST")
    stayed = yard.ask("/sign-out/oidc", None)

    assert ("/sign-in?left=oidc", "/sign-in?left=here") == (left.headers["location"], stayed.headers["location"])
    assert b"you may still be signed in there" in yard.ask(stayed.headers["location"], None).body


# --- What is sent


def test_the_request_has_a_challenge_whose_verifier_is_sent_with_the_code(yard: App, provider: Provider) -> None:
    cookie, query = begin(yard)
    provider.nonce = query["nonce"]
    come_back(yard, cookie, code="c", state=query["state"])

    verifier = provider.forms[0]["code_verifier"][0]
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert (digest, "S256") == (query["code_challenge"], query["code_challenge_method"])
    assert ("code", CLIENT_ID, PUBLIC_URL + CALLBACK, "openid profile email") == tuple(
        query[name] for name in ("response_type", "client_id", "redirect_uri", "scope")
    )
    assert ["Basic " + base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()] == provider.authorizations
    assert SECRET not in str(query)


def test_the_secret_is_posted_where_the_provider_wants_that(yard: App, provider: Provider) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    sign_in(yard, provider)

    assert ([SECRET], [""]) == (provider.forms[0]["client_secret"], provider.authorizations)


def test_secrets_are_in_no_line_of_the_log_and_in_no_page(yard: App, provider: Provider) -> None:
    provider.token_status = 401
    reply = sign_in(yard, provider)
    verifier = provider.forms[0]["code_verifier"][0]

    assert (502, True) == (reply.status, b"does not accept oidc_client_id with oidc_client_secret" in reply.body)
    for secret in (SECRET, verifier, provider.nonce):
        assert secret not in str(yard.lines()) + reply.body.decode()


def test_a_person_without_a_group_is_refused_and_sees_the_form(yard: App, provider: Provider) -> None:
    provider.claims["groups"] = ["others"]
    reply = sign_in(yard, provider)

    assert (403, True) == (reply.status, b"anna is in no group that has a team here" in reply.body)
    assert b'name="key"' in reply.body
    assert [] == yard.access.list_keys()


def test_groups_may_come_with_the_userinfo(yard: App, provider: Provider) -> None:
    provider.metadata["userinfo_endpoint"] = f"{provider.url}/user"
    provider.claims["groups"] = None
    answer = provider.answer

    subjects = ["8", "7"]

    def with_user(path: str) -> tuple[int, object]:
        return (200, {"sub": subjects.pop(), "groups": "artists"}) if path == "/user" else answer(path)

    provider.answer = with_user  # type: ignore[method-assign] # this test's own provider
    replies = [sign_in(yard, provider) for _ in range(2)]

    assert [303, 403] == [reply.status for reply in replies]
    assert b"speaks of two people" in replies[1].body


def test_revoking_the_row_of_a_person_ends_the_session_and_refuses_the_next(yard: App, provider: Provider) -> None:
    cookie = session_of(sign_in(yard, provider)).partition(";")[0]
    yard.access.revoke_key("1")

    assert "/sign-in?ended=1" == yard.ask("/upload", None, cookie=cookie).headers["location"]
    assert b"an administrator revoked the access" in sign_in(yard, provider).body


# --- Tokens that prove nothing


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"iss": "http://elsewhere.test"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "made for another program"),
        ({"exp": 1_000_000}, "expired"),
        ({"exp": None}, "exp"),
        ({"iat": 4_000_000_000}, "issued in the future"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_signs_in_nobody(
    yard: App, provider: Provider, claims: dict[str, object], problem: str
) -> None:
    provider.claims = claims
    reply = sign_in(yard, provider)

    assert (403, True) == (reply.status, problem in reply.body.decode()), reply.body
    assert [] == yard.access.list_keys()


def forge(provider: Provider, kind: str) -> Any:
    """Return a token whose signature proves nothing."""
    if kind == "none":
        return provider.unsigned()
    if kind == "hs256 with the public key":
        pem = provider.key.as_pem(private=False)
        return provider.sign("HS256", jwk.OctKey.import_key(base64.b64encode(pem)))
    if kind == "hs256 with the secret":
        return provider.sign("HS256", jwk.OctKey.import_key(SECRET * 4))
    if kind == "another key":
        return provider.sign(key=jwk.RSAKey.generate_key(2048, {"kid": "one"}))
    if kind == "deep":
        return base64.urlsafe_b64encode(b'{"alg":' + b"[" * 3_000).decode().rstrip("=") + ".e30.AA"
    return kind


@pytest.mark.parametrize(
    "kind",
    [
        "none",
        "hs256 with the public key",
        "hs256 with the secret",
        "another key",
        "deep",
        "x",
        "a.b.c",
        "é.é.é",
        "." * 9_000,
    ],
)
def test_a_token_whose_signature_proves_nothing_signs_in_nobody(yard: App, provider: Provider, kind: str) -> None:
    cookie, query = begin(yard)
    provider.nonce = query["nonce"]
    provider.token = forge(provider, kind)
    reply = come_back(yard, cookie, code="c", state=query["state"])

    assert (403, True) == (reply.status, b"ID token" in reply.body), reply.body
    assert [] == yard.access.list_keys()


def test_keys_are_read_again_when_the_provider_has_new_ones_and_not_for_every_forged_token(provider: Provider) -> None:
    now = [time.time()]
    policy = create_policy("", allow_http=True, origins={origin_of(provider.url)})
    client = OidcClient(provider.url, CLIENT_ID, SECRET, Outbound(policy), lambda: now[0])
    provider.nonce = "n"

    def redeem() -> object:
        return client.redeem("c", PUBLIC_URL, "n", "v", "groups")["sub"]

    assert "7" == redeem()
    provider.key = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
    for _ in range(3):
        with pytest.raises(errors.SignInRefused):
            redeem()
    assert 1 == provider.paths.count("/keys")
    now[0] += 5
    assert "7" == redeem()
    assert 2 == provider.paths.count("/keys")


# --- Answers in the browser


def test_a_state_works_once(yard: App, provider: Provider) -> None:
    cookie, query = begin(yard)
    provider.nonce = query["nonce"]
    replies = [come_back(yard, cookie, code="c", state=query["state"]) for _ in range(2)]

    assert [303, 403] == [reply.status for reply in replies]
    assert BEGIN_AGAIN in replies[1].body.decode()
    assert 1 == len(provider.forms)


def test_an_answer_is_taken_from_the_browser_that_began_only(yard: App, provider: Provider) -> None:
    mine, query = begin(yard)
    others, _ = begin(yard)
    text = mine.partition("=")[2]
    cookies = (
        "x=1",
        others,
        "modelyard_oidc=" + text[:-1] + ("A" if text[-1] != "A" else "B"),
        "modelyard_oidc=a.b.c.d",
    )

    replies = [come_back(yard, cookie, code="c", state=query["state"]) for cookie in cookies]

    assert [403] * len(cookies) == [reply.status for reply in replies]
    assert all(BEGIN_AGAIN in reply.body.decode() for reply in replies)
    assert [] == provider.forms


def test_a_sign_in_may_take_ten_minutes(tmp_path: Path, provider: Provider) -> None:
    now = [1_700_000_000.0]
    policy = create_policy("", allow_http=True, origins={origin_of(provider.url)})
    rules = parse_rules(TEAMS)
    settings = OidcSettings(provider.url, CLIENT_ID, SECRET, "openid", "groups", rules, PUBLIC_URL)
    with open_app(tmp_path) as yard:
        signer = Signer(lambda: [SecretKey(1, b"1" * 32)], clock=lambda: now[0])
        oidc = OidcSignIn(settings, policy, yard.access, signer)
        address, cookie = oidc.begin("/", now[0])
        query = parse_qs(urlsplit(address).query)
        now[0] += 600

        with pytest.raises(errors.SignInRefused, match=BEGIN_AGAIN):
            oidc.read_attempt(cookie, {"state": query["state"], "code": ["c"]})


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"error": "access_denied"}, "the provider did not sign you in (access_denied)"),
        ({"error": "<b>"}, "the provider did not sign you in (without a reason)"),
        ({}, "the provider did not sign you in (without a reason)"),
        ({"code": "c" * 5_000}, "the provider did not sign you in (without a reason)"),
        ({"code": "c", "iss": "http://elsewhere.test"}, "another provider than the sign-in was begun at"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_refusal_is_shown_beside_the_form(
    yard: App, provider: Provider, parameters: dict[str, str], problem: str
) -> None:
    cookie, query = begin(yard)
    reply = come_back(yard, cookie, state=query["state"], **parameters)

    assert (403, True) == (reply.status, problem in reply.body.decode())
    assert b'href="/sign-in/oidc?to=%2F"' in reply.body
    assert [] == provider.forms


def test_the_provider_may_refuse_the_code(yard: App, provider: Provider) -> None:
    provider.token_status = 400
    reply = sign_in(yard, provider)

    assert (403, True) == (reply.status, b"the provider refuses the sign-in (invalid_grant)" in reply.body)


def test_the_address_after_the_sign_in_is_on_this_server(yard: App, provider: Provider) -> None:
    cookie, query = begin(yard, "https://elsewhere.test/")
    provider.nonce = query["nonce"]

    assert "/" == come_back(yard, cookie, code="c", state=query["state"]).headers["location"]


# --- Providers that do not work


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"issuer": "http://elsewhere.test"}, "the provider calls itself"),
        ({"token_endpoint": "ftp://x"}, "no usable token_endpoint"),
        ({"jwks_uri": 7}, "no usable jwks_uri"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no usable authorization_endpoint"),
    ],
    ids=str,
)
def test_metadata_that_cannot_be_used_is_an_error_in_words(
    yard: App, provider: Provider, metadata: dict[str, object], problem: str
) -> None:
    provider.metadata = metadata
    reply = yard.ask("/sign-in/oidc", None)

    assert (502, True) == (reply.status, problem in reply.body.decode())


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b"{" * 100_000, b" " * 300_000])
def test_an_answer_that_is_no_object_is_an_error_in_words(yard: App, provider: Provider, body: bytes) -> None:
    provider.answer = lambda _: (200, body)  # type: ignore[method-assign] # this test's own provider
    reply = yard.ask("/sign-in/oidc", None)

    assert (502, True) == (reply.status, b"the provider of identities has no usable answer" in reply.body)


@pytest.mark.parametrize("status", [404, 500])
def test_a_status_that_is_no_success_is_an_error_in_words(yard: App, provider: Provider, status: int) -> None:
    provider.answer = lambda _: (status, {})  # type: ignore[method-assign] # this test's own provider
    reply = yard.ask("/sign-in/oidc", None)

    assert ({404: 502, 500: 503}[status], True) == (reply.status, b"the provider of identities" in reply.body)


@pytest.mark.parametrize("key", [{"kty": "RSA", "n": 7}, {"kty": "EC", "crv": "none"}, {"kty": "RSA"}], ids=str)
def test_keys_that_cannot_be_read_are_an_error_in_words(yard: App, provider: Provider, key: dict[str, object]) -> None:
    cookie, query = begin(yard)
    provider.nonce = query["nonce"]
    answer = provider.answer
    provider.answer = lambda path: (200, {"keys": [key]}) if path == "/keys" else answer(path)  # type: ignore[method-assign] # this test's own provider
    reply = come_back(yard, cookie, code="c", state=query["state"])

    assert (502, True) == (reply.status, b"the provider&#39;s keys cannot be read" in reply.body), reply.body


@pytest.mark.parametrize(
    "claims", [{"preferred_username": "a\x07", "sub": "7\x07"}, {"sub": "7" * 300}], ids=lambda value: str(value)[:30]
)
def test_a_name_that_cannot_be_shown_signs_in_nobody(yard: App, provider: Provider, claims: dict[str, object]) -> None:
    provider.claims = claims
    reply = sign_in(yard, provider)

    assert (403, True) == (reply.status, b"the provider sends a name that is not accepted" in reply.body), reply.body
    assert [] == yard.access.list_keys()


def test_a_provider_that_is_away_is_an_error_in_words_and_keys_go_on_working(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        with open_app(tmp_path, **chosen(f"http://127.0.0.1:{unused.getsockname()[1]}")) as yard:
            reply = yard.ask("/sign-in/oidc", None)
            by_key = yard.ask("/sign-in", None, method="POST", body=b"key=" + yard.key().encode())

    assert (503, True) == (reply.status, b"the provider of identities does not answer" in reply.body)
    assert 303 == by_key.status


def test_a_slow_provider_keeps_few_threads_and_no_other_request_waits(yard: App, provider: Provider) -> None:
    is_released = threading.Event()
    respond = provider.answer

    def wait(path: str) -> tuple[int, object]:
        is_released.wait(60)
        return respond(path)

    provider.answer = wait  # type: ignore[method-assign] # the provider becomes slow

    async def ask_all() -> tuple[Reply, list[int], list[Reply]]:
        attempts = [asyncio.create_task(yard.answer(b"/sign-in/oidc", headers=[])) for _ in range(24)]
        try:
            form = await asyncio.wait_for(yard.answer(b"/sign-in", headers=[]), 10)
            early = [attempt.result() for attempt in attempts if attempt.done()]
        finally:
            is_released.set()
        return form, [reply.status for reply in await asyncio.gather(*attempts)], early

    form, statuses, early = asyncio.run(ask_all())

    assert 200 == form.status
    assert [*8 * [303], *16 * [503]] == sorted(statuses)
    assert [(503, "1")] * 16 == [(reply.status, reply.headers["retry-after"]) for reply in early]


def test_after_a_failure_the_provider_is_left_alone_for_some_seconds(provider: Provider) -> None:
    now = [1_700_000_000.0]
    policy = create_policy("", allow_http=True, origins={origin_of(provider.url)})
    client = OidcClient(provider.url, CLIENT_ID, SECRET, Outbound(policy), lambda: now[0])
    provider.metadata = {"issuer": "http://other.test"}

    problems = []
    for _ in range(2):
        with pytest.raises(errors.UpstreamFailed) as problem:
            client.check_issuer(provider.url)
        problems.append(problem.value.message)
        provider.metadata = {}
    now[0] += 5
    client.check_issuer(provider.url)

    assert problems[0] == problems[1]
    assert 2 == len(provider.paths)


# --- What others at the same address do


def test_callbacks_that_were_not_begun_lock_nobody_out(tmp_path: Path, provider: Provider) -> None:
    with open_app(tmp_path, **chosen(provider.url), failures_per_minute=2) as yard:
        statuses = [yard.ask(f"{CALLBACK}?code=c&state=s", None).status for _ in range(4)]

        assert [403] * 4 == statuses
        assert 303 == sign_in(yard, provider).status


@pytest.mark.parametrize(("status", "expected"), [(400, 403), (404, 502), (500, 503)])
def test_attempts_that_reach_the_provider_and_fail_are_counted(
    tmp_path: Path, provider: Provider, status: int, expected: int
) -> None:
    provider.token_status = status
    with open_app(tmp_path, **chosen(provider.url), failures_per_minute=2) as yard:
        statuses = [sign_in(yard, provider).status for _ in range(3)]

    assert [expected, expected, 429] == statuses
    assert 2 == len(provider.forms)


def test_anonymous_pages_for_signing_in_do_not_use_up_the_limit_of_the_address(tmp_path: Path) -> None:
    with open_app(tmp_path, rate_limit_per_minute=2) as yard:
        body = b"key=" + yard.key("red").encode()
        forms = [yard.ask("/sign-in", None).status for _ in range(3)]
        others = [yard.ask("/status", None).status for _ in range(3)]
        by_key = yard.ask("/sign-in", None, method="POST", body=body)

    assert [200, 200, 200] == forms
    assert [303, 303, 429] == others
    assert 303 == by_key.status


# --- Settings


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("oidc_client_id", "", "oidc_client_id is empty"),
        ("oidc_client_secret", "", "oidc_client_secret is empty"),
        ("oidc_teams", "", "oidc_teams is empty"),
        ("public_url", "", "public_url is empty"),
        ("oidc_scopes", "profile", "the scope openid"),
        ("outbound_allow_http", "no", "oidc_issuer is not https"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_the_start(tmp_path: Path, name: str, value: str, problem: str) -> None:
    values: dict[str, Any] = chosen("http://issuer.test") | {name: value}
    with pytest.raises(errors.ConfigurationError, match=problem):
        check_settings(Settings(home=tmp_path, **values))


def test_the_secret_is_not_shown_where_settings_are(tmp_path: Path) -> None:
    values: dict[str, Any] = chosen("http://issuer.test")

    assert SECRET not in repr(Settings(home=tmp_path, **values))


def test_without_a_provider_there_is_no_page_and_no_button(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        statuses = [yard.ask(path, None).status for path in ("/sign-in/oidc", CALLBACK)]

        assert [404, 404] == statuses
        assert b"oidc" not in yard.ask("/sign-in", None).body
