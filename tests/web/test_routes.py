"""Every route of the table asks for the key and the scope that the table says, and shows no team another's model.

Not covered here: what each route answers to those who may ask (test_api.py, test_pages.py, test_tus.py and others).
"""

from collections.abc import Iterator
from functools import reduce

import pytest

from modelyard.domain import Scope
from modelyard.web.routing import Kind, Route
from tests.app_fixture import App, Reply, a_private, open_app

SECRET = "unheardOf"
OWN = 1_000_000_001
# Good for every route that takes a small one: who may write is asked after it is read.
BODY = b'{"name": "night", "model_name": "night", "file_extension": "safetensors"}'
PARAMETERS = {
    "{upload:upload}": 32 * "a",
    "{upload}": 32 * "a",
    "{sha256:sha256}": 64 * "a",
    "{label:label}": "night.safetensors",
    "{name}": 32 * "a",
    "{width}": "640.webp",
    "{id}": str(OWN),
    "{name:static}": "page.js",
    "{namespace}": "red",
    "{path:label}": "README.md",
    "{revision}": "main",
    "{session}": "1",
}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(tmp_path_factory.mktemp("routes")) as opened:
        opened.put(a_private(OWN, "red", name=SECRET, sd_name=f"{SECRET}.safetensors"))
        yield opened


def calls(yard: App) -> list[tuple[Route, str]]:
    """Every route with each of its methods but OPTIONS, which is answered to everybody."""
    table = yard.app._app.table
    return [(route, method) for route in table for method in route.methods.split() if method != "OPTIONS"]


def target(route: Route) -> str:
    path = reduce(lambda text, name: text.replace(name, PARAMETERS[name]), PARAMETERS, route.path)
    return f"{path}?id={OWN}" if path.startswith("/v3/model") and path != "/v3/model/facets" else path


def ask_by_key(yard: App, route: Route, method: str, key: str | None) -> Reply:
    given = {"tus_resumable": "1.0.0"} | ({"authorization": f"Bearer {key}"} if key else {})
    return yard.ask(target(route), None, method=method, body=BODY, **given)


def test_every_path_and_method_stands_in_the_table_once(yard: App) -> None:
    stood = [(route.path, method) for route in yard.app._app.table for method in route.methods.split()]

    assert sorted(set(stood)) == sorted(stood)


def test_without_a_key_only_what_is_open_or_a_link_is_answered(yard: App) -> None:
    refused = {
        (route.path, method)
        for route, method in calls(yard)
        if route.kind is Kind.KEY and ask_by_key(yard, route, method, None).status == 401
    }

    assert {(route.path, method) for route, method in calls(yard) if route.kind is Kind.KEY} == refused


def test_a_stranger_is_sent_to_sign_in_from_every_page_that_needs_a_scope(yard: App) -> None:
    sent = {
        (route.path, method)
        for route, method in calls(yard)
        if route.kind is Kind.PAGE
        and (reply := yard.ask(target(route), None, method=method)).status == 303
        and reply.headers["location"].startswith("/sign-in")
    }

    assert {(route.path, method) for route, method in calls(yard) if route.kind is Kind.PAGE and route.scope} == sent


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (Scope.READ, {Scope.READ, Scope.DOWNLOAD}),
        (Scope.WRITE, {Scope.WRITE}),
        (Scope.DOWNLOAD, {Scope.DOWNLOAD}),
    ],
)
def test_a_key_without_the_scope_of_the_table_is_refused(yard: App, scope: Scope, allowed: set[Scope]) -> None:
    asked = [(route, method) for route, method in calls(yard) if route.kind is Kind.KEY]
    refused = {
        (route.path, method)
        for route, method in asked
        if ask_by_key(yard, route, method, yard.key("red", scope)).status == 403
    }

    assert {(route.path, method) for route, method in asked if route.scope not in allowed} == refused


def test_no_route_shows_a_team_the_private_model_of_another(yard: App) -> None:
    key = yard.key("blue", Scope.READ, Scope.WRITE)
    shown = {
        (route.path, method)
        for route, method in calls(yard)
        if SECRET.encode() in ask_by_key(yard, route, method, key).body
    }

    assert set() == shown
