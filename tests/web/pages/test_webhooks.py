"""The pages of webhooks: creating one with the example of the form, its buttons, and wrong input."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain import Scope
from tests.app_fixture import App, open_app
from tests.webhook_fixture import SETTINGS

from .page_text import main_text
from .test_pages import Browser, signed_in

URL = "http://127.0.0.1:9/hook"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, **SETTINGS) as app:
        yield app


@pytest.fixture
def red(yard: App) -> Browser:
    return signed_in(yard, "red", Scope.ADMIN)


def placeholder(body: bytes, field: str) -> str:
    return html.unescape(re.findall(rf'<input id="{field}"[^>]* placeholder="([^"]*)"', body.decode())[0])


def test_the_form_accepts_its_own_example_of_a_filter_and_shows_the_secret_once(red: Browser) -> None:
    example = placeholder(red.ask("/webhooks").body, "filter")
    created = red.post("/webhooks", fields={"url": URL, "event": "model.put", "filter": example})
    listed = red.ask("/webhooks").body
    page = red.ask(re.findall(r'href="(/webhooks/[0-9a-f]{32})"', listed.decode())[0]).body

    assert (200, True) == (created.status, "whsec_" in main_text(created.body))
    assert f"Filter {example}" in " ".join(main_text(page).split())
    assert b"whsec_" not in listed + page


def test_a_filter_that_does_not_exist_is_refused_and_stays_in_the_form(red: Browser) -> None:
    reply = red.post("/webhooks", fields={"url": URL, "event": "model.put", "filter": "filter.colour=red"})

    assert 400 == reply.status
    assert "filter: 'filter.colour' is not accepted" in main_text(reply.body)
    assert b'value="filter.colour=red"' in reply.body


def create(browser: Browser) -> tuple[str, str]:
    """Create a webhook by the form, and return its page and its secret."""
    created = browser.post("/webhooks", fields={"url": URL, "event": "model.put"})
    page = re.findall(r'href="(/webhooks/[0-9a-f]{32})"', browser.ask("/webhooks").body.decode())[0]
    return page, secret_of(created.body)


def secret_of(body: bytes) -> str:
    return re.findall(r"whsec_[A-Za-z0-9+/=]+", main_text(body))[0]


def test_the_buttons_rotate_test_and_delete(red: Browser) -> None:
    page, secret = create(red)
    rotated = red.post(page, fields={"action": "rotate"})
    tested = red.post(page, fields={"action": "test"})
    shown = main_text(red.ask(page).body)
    deleted = red.post(page, fields={"action": "delete"})

    assert (200, 303, 303) == (rotated.status, tested.status, deleted.status)
    assert secret != secret_of(rotated.body)
    assert (page, "/webhooks") == (tested.headers["location"], deleted.headers["location"])
    assert "webhook.test" in shown
    assert 404 == red.ask(page).status


def test_a_button_that_does_not_exist_changes_nothing(red: Browser) -> None:
    page, _ = create(red)
    before = red.ask(page).body
    reply = red.post(page, fields={"action": "explode"})

    assert (400, True) == (reply.status, "action: 'explode' is not accepted" in main_text(reply.body))
    assert main_text(before) == main_text(red.ask(page).body)


def test_buttons_of_another_teams_webhook_find_nothing(yard: App, red: Browser) -> None:
    page, _ = create(red)
    blue = signed_in(yard, "blue", Scope.ADMIN)

    assert [404] * 3 == [blue.post(page, fields={"action": action}).status for action in ("rotate", "test", "delete")]
    assert 200 == red.ask(page).status
