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
