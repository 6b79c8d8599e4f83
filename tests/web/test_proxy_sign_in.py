"""Signing in by a reverse proxy: whose headers count, and which team, scopes and end a session has.

Not covered here: what a session may do once it exists (test_scopes.py, test_sessions.py).
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from modelyard import errors
from modelyard.auth import Person
from modelyard.domain import Scope
from modelyard.store import audit
from modelyard.web.proxy_sign_in import ProxySignIn
from tests.app_fixture import App, Reply, a_private, listening, open_app

OWN = 1_000_000_001
PROXY = "127.0.0.1/32"
TEAMS = "artists red read+write,chiefs red admin,Blue Team blue read"
SIGN_IN = "/sign-in?to=/upload"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, proxy_networks=PROXY, proxy_teams=TEAMS) as opened:
        opened.put(a_private(OWN, "red", sd_name="own.pt"))
        yield opened


def ask(yard: App, target: str, user: str = "", groups: str = "", **headers: str) -> Reply:
    """Ask as a browser whose requests pass the proxy."""
    names = {"remote_user": user, "remote_groups": groups}
    return yard.ask(target, None, **{name: text for name, text in names.items() if text}, **headers)


def cookie_of(reply: Reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


def token_of(page: Reply) -> str:
    match = re.search(r'name="token" value="([^"]+)"', page.body.decode())
    assert match is not None
    return match[1]


def test_the_first_page_signs_in_whom_the_proxy_names(yard: App) -> None:
    first = ask(yard, "/upload", "anna", "artists")
    signing_in = ask(yard, first.headers["location"], "anna", "artists")
    page = ask(yard, "/upload", "anna", "artists", cookie=cookie_of(signing_in))

    assert (303, SIGN_IN.replace("=/", "=%2F")) == (first.status, first.headers["location"])
    assert (303, "/upload") == (signing_in.status, signing_in.headers["location"])
    assert 200 == page.status
    assert b"Signed in as anna of red" in page.body


@pytest.mark.parametrize(
    ("groups", "team", "scopes"),
    [
        ("artists", "red", {Scope.READ, Scope.WRITE}),
        ("chiefs, artists", "red", {Scope.READ, Scope.WRITE, Scope.ADMIN}),
        ("Blue Team|chiefs", "red", {Scope.ADMIN}),
        ("Blue Team", "blue", {Scope.READ}),
        # One group, whose name has the other separator.
        ("Blue Team, my|chiefs", "blue", {Scope.READ}),
    ],
)
def test_the_first_group_of_the_setting_decides_the_team(yard: App, groups: str, team: str, scopes: set[Scope]) -> None:
    ask(yard, SIGN_IN, "anna", groups)

    assert [("anna", "proxy", team, scopes)] == [
        (key.name, key.provider, key.team, set(key.scopes)) for key in yard.access.list_keys()
    ]


def test_a_person_in_no_group_is_refused_and_may_use_a_key(yard: App) -> None:
    reply = ask(yard, SIGN_IN, "anna", "artist")
    by_key = yard.ask("/sign-in", None, method="POST", body=b"key=" + yard.key("red").encode(), remote_user="anna")

    assert (403, True) == (reply.status, b"anna is in no group that has a team here" in reply.body)
    assert b'name="key"' in reply.body
    assert 303 == by_key.status
    assert 200 == ask(yard, "/", "anna", cookie=cookie_of(by_key)).status


@pytest.mark.parametrize("networks", ["", "10.0.0.0/8", "127.0.0.2/32"])
def test_a_header_from_another_network_has_no_effect(tmp_path: Path, networks: str) -> None:
    teams = TEAMS if networks else ""
    with open_app(tmp_path, proxy_networks=networks, proxy_teams=teams, trusted_proxies=PROXY) as yard:
        # The client says that it is the proxy; a trusted proxy passes that on.
        reply = ask(yard, SIGN_IN, "anna", "chiefs", x_forwarded_for="10.0.0.1")

        assert (200, False) == (reply.status, "set-cookie" in reply.headers)
        assert b"anna" not in reply.body
        assert [] == yard.access.list_keys()


def test_over_sockets_the_address_of_the_connection_counts(yard: App, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    spoofed = {"Remote-User": "anna", "Remote-Groups": "chiefs"}
    with listening(yard) as address, open_app(tmp_path / "b", proxy_networks="10.0.0.0/8", proxy_teams=TEAMS) as other:
        by_proxy = address.ask(SIGN_IN, spoofed)
        with listening(other) as elsewhere:
            by_client = elsewhere.ask(SIGN_IN, spoofed | {"X-Forwarded-For": "10.0.0.1"})

    assert (303, 200) == (by_proxy.status, by_client.status)


class Browser:
    """A browser with a session of anna."""

    def __init__(self, yard: App) -> None:
        self.yard = yard
        self._cookie = cookie_of(ask(yard, SIGN_IN, "anna", "artists"))
        self._token = token_of(ask(yard, f"/models/{OWN}/edit", "anna", "artists", cookie=self._cookie))

    def open_page(self, user: str = "", groups: str = "") -> Reply:
        return ask(self.yard, "/upload", user, groups, cookie=self._cookie)

    def call(self, user: str = "", groups: str = "") -> int:
        return ask(self.yard, "/v3/user", user, groups, cookie=self._cookie, modelyard_token=self._token).status


def test_a_session_is_good_while_the_proxy_names_the_same_person_and_groups(yard: App) -> None:
    browser = Browser(yard)

    assert (200, 200) == (browser.open_page("anna", "artists").status, browser.call("anna", "artists"))
    # The proxy may let the API pass, for programs with keys.
    assert (303, 200) == (browser.open_page().status, browser.call())


@pytest.mark.parametrize(("user", "groups"), [("bob", "artists"), ("anna", "Blue Team"), ("anna", "nobody")])
@pytest.mark.parametrize("by", ["page", "api"])
def test_a_session_that_the_proxy_contradicts_has_ended_on_every_node(
    yard: App, tmp_path: Path, user: str, groups: str, by: str
) -> None:
    browser = Browser(yard)

    first = browser.open_page(user, groups).status if by == "page" else browser.call(user, groups)
    later = browser.call()
    with open_app(tmp_path, proxy_networks=PROXY, proxy_teams=TEAMS) as other_node:
        browser.yard = other_node
        elsewhere = browser.call("anna", "artists")
        page = browser.open_page("anna", "artists")

    assert (303 if by == "page" else 401, 401, 401) == (first, later, elsewhere)
    assert "/sign-in?ended=1" == page.headers["location"]
    with yard.store.transaction() as transaction:
        ends = sa.select(sa.func.count()).where(audit.rows.c.verb == "session.end")
        assert 1 == transaction.connection.execute(ends).scalar_one()


def test_a_browser_whose_user_changed_at_the_proxy_is_signed_in_as_the_new_user(yard: App) -> None:
    cookie = cookie_of(ask(yard, SIGN_IN, "anna", "artists"))

    first = ask(yard, "/upload", "bob", "artists", cookie=cookie)
    second = ask(yard, first.headers["location"], "bob", "artists", cookie=cookie)

    assert b"bob" in ask(yard, "/upload", "bob", "artists", cookie=cookie_of(second)).body


def test_forms_need_the_token_of_the_session(yard: App) -> None:
    cookie = cookie_of(ask(yard, SIGN_IN, "anna", "artists"))
    body = urlencode({"token": "x"}).encode()

    reply = ask(yard, f"/models/{OWN}/delete", "anna", "artists", cookie=cookie, method="POST", body=body)

    assert (403, True) == (reply.status, b"did not come from this server" in reply.body)


def test_the_headers_alone_are_no_key_of_the_api(yard: App) -> None:
    ask(yard, SIGN_IN, "anna", "chiefs")

    assert 401 == ask(yard, "/v3/model", "anna", "chiefs").status


def test_signing_out_ends_the_session_and_does_not_sign_in_again(yard: App) -> None:
    cookie = cookie_of(ask(yard, SIGN_IN, "anna", "artists"))

    out = ask(yard, "/sign-out", "anna", "artists", cookie=cookie, method="POST")
    form = ask(yard, out.headers["location"], "anna", "artists")
    again = ask(yard, "/sign-in", "anna", "artists", method="POST", body=b"by=proxy")

    assert "/sign-in?left=proxy" == out.headers["location"]
    assert (200, True) == (form.status, b"Continue as anna" in form.body)
    assert "/sign-in?ended=1" == ask(yard, "/upload", "anna", "artists", cookie=cookie).headers["location"]
    assert 200 == ask(yard, "/upload", "anna", "artists", cookie=cookie_of(again)).status


def test_the_button_of_the_proxy_needs_a_name_from_the_proxy(yard: App) -> None:
    reply = ask(yard, "/sign-in", "", "artists", method="POST", body=b"by=proxy")

    assert (403, True) == (reply.status, b"the proxy does not say who you are" in reply.body), reply.body
    assert "set-cookie" not in reply.headers


def test_a_revoked_person_is_out_at_once_until_the_access_is_given_back(yard: App) -> None:
    cookie = cookie_of(ask(yard, SIGN_IN, "anna", "artists"))
    person = yard.access.list_keys()[0]

    yard.access.revoke_key(str(person.id))
    ended = ask(yard, "/upload", "anna", "artists", cookie=cookie)
    refused = ask(yard, SIGN_IN, "anna", "chiefs")
    yard.access.restore_person(person.id)

    assert (303, "/sign-in?ended=1") == (ended.status, ended.headers["location"])
    assert (403, True) == (refused.status, b"an administrator revoked the access" in refused.body)
    assert 303 == ask(yard, SIGN_IN, "anna", "artists").status


def test_a_revoked_person_does_not_come_back_in_other_letters(yard: App) -> None:
    ask(yard, SIGN_IN, "kim", "artists")
    (person,) = yard.access.list_keys()
    yard.access.revoke_key(str(person.id))

    assert 403 == ask(yard, SIGN_IN, "Kim", "artists").status
    assert ["kim"] == [key.name for key in yard.access.list_keys()]


def test_a_sign_in_that_is_refused_as_revoked_writes_nothing_and_is_counted(tmp_path: Path) -> None:
    with open_app(tmp_path, proxy_networks=PROXY, proxy_teams=TEAMS, failures_per_minute=2) as yard:
        ask(yard, SIGN_IN, "anna", "artists")
        yard.access.revoke_key("1")
        before = yard.store.key_ring()

        statuses = [ask(yard, SIGN_IN, "anna", "chiefs").status for _ in range(3)]

        assert [403, 403, 429] == statuses
        assert before == yard.store.key_ring()


def test_a_revoked_person_whom_a_process_does_not_know_yet_stays_as_they_are(yard: App) -> None:
    person = Person("proxy", "anna", "anna", "red", frozenset({Scope.READ}))
    yard.access.admit(person)
    yard.access.revoke_key("1")
    before = yard.store.key_ring()

    with yard.store.transaction() as transaction:
        scopes = frozenset({Scope.ADMIN})
        record = transaction.put_person(person.digest, team="red", scopes=scopes, name="x", provider="proxy")

    assert before.keys == [(person.digest, record)]
    assert before == yard.store.key_ring()


def test_the_page_for_signing_in_starts_no_second_session_of_the_same_person(yard: App) -> None:
    cookie = cookie_of(ask(yard, SIGN_IN, "anna", "artists"))

    again = ask(yard, SIGN_IN, "anna", "artists", cookie=cookie)

    assert (303, "/upload") == (again.status, again.headers["location"])
    assert "set-cookie" not in again.headers


def test_a_person_begins_a_limited_number_of_sessions_in_a_minute(tmp_path: Path) -> None:
    with open_app(tmp_path, proxy_networks=PROXY, proxy_teams=TEAMS, failures_per_minute=2) as yard:
        statuses = [ask(yard, SIGN_IN, "anna", "artists").status for _ in range(3)]

        assert [303, 303, 429] == statuses
        assert 303 == ask(yard, SIGN_IN, "kim", "artists").status


def test_a_revoked_key_is_not_given_back(yard: App) -> None:
    yard.key("red")
    yard.access.revoke_key("1")

    with pytest.raises(errors.NotFound, match="is no person"):
        yard.access.restore_person(1)


def test_one_person_has_one_row_whose_scopes_follow_the_groups(yard: App) -> None:
    for groups in ("artists", "artists", "chiefs", "artists"):
        ask(yard, SIGN_IN, "anna", groups)

    assert [{Scope.READ, Scope.WRITE}] == [set(key.scopes) for key in yard.access.list_keys()]


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([(b"remote-user", b"anna"), (b"remote-user", b"bob")], "arrived more than once"),
        ([(b"remote-groups", b"x"), (b"remote-groups", b"chiefs"), (b"remote-user", b"anna")], "more than once"),
        ([(b"remote-user", b"\xff")], "is not UTF-8"),
        ([(b"remote-user", b"a\x00b")], "a name that is not accepted"),
        ([(b"remote-user", b"a" * 101)], "a name that is not accepted"),
        ([(b"remote-user", b"a"), (b"remote-groups", b"x" * 20_000)], "is too long"),
    ],
)
def test_a_header_that_the_proxy_did_not_replace_signs_in_nobody(
    yard: App, headers: list[tuple[bytes, bytes]], problem: str
) -> None:
    reply = asyncio.run(yard.answer(SIGN_IN.encode(), headers=headers))

    assert (403, True) == (reply.status, problem in reply.body.decode())
    assert [] == yard.access.list_keys()


@pytest.mark.parametrize(
    ("networks", "teams", "groups_header", "problem"),
    [
        (PROXY, "", "Remote-Groups", "proxy_teams is empty"),
        ("", TEAMS, "Remote-Groups", "proxy_networks is empty"),
        (PROXY, TEAMS, "remote-user", "the same header"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_the_start(
    networks: str, teams: str, groups_header: str, problem: str
) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        ProxySignIn("Remote-User", groups_header, networks, teams)
