"""The page of deleted models over HTTP, and the page of a team."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain import Scope
from modelyard.facts import Entry, Facts, Layer
from tests.app_fixture import App, a_private, open_app
from tests.transfers import ask, checking, lora_bytes, upload

from .page_text import main_text
from .test_pages import OWN, Browser, signed_in


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, team_quota_bytes=100_000) as app:
        own = a_private(OWN, "red", name="own", sd_name="own.pt")
        with app.store.transaction() as transaction:
            transaction.put([Entry(own, {Layer.USER: Facts(name="own", sd_name="own.pt", type=own.type)})])
        yield app


@pytest.fixture
def red(yard: App) -> Browser:
    return signed_in(yard)


def test_a_deletion_leads_to_the_list_where_its_team_restores_the_model(yard: App, red: Browser) -> None:
    blue = signed_in(yard, "blue")
    deleted = red.post(f"/models/{OWN}/delete")
    assert (303, f"/deleted?id={OWN}") == (deleted.status, deleted.headers["location"])
    page = main_text(red.ask(f"/deleted?id={OWN}").body)

    assert "own was deleted. It no longer appears in searches." in page
    assert "30 days left" in page
    assert 404 == red.ask(f"/models/{OWN}").status
    assert "own" not in main_text(blue.ask("/deleted").body)
    assert 404 == blue.post(f"/deleted/{OWN}/restore").status
    restored = red.post(f"/deleted/{OWN}/restore")
    assert (303, f"/models/{OWN}") == (restored.status, restored.headers["location"])
    assert 200 == red.ask(f"/models/{OWN}").status
    assert "Your team deleted no model" in main_text(red.ask("/deleted").body)


@pytest.mark.parametrize("model_id", ["123456", f"{OWN}"])
def test_the_list_does_not_claim_that_another_model_was_deleted(red: Browser, model_id: str) -> None:
    page = main_text(red.ask(f"/deleted?id={model_id}").body)

    assert f"Model {model_id} is not in this list and cannot be restored here." in page
    assert "was deleted" not in page


def test_what_is_deleted_over_the_api_is_on_the_list_until_it_is_purged(yard: App, red: Browser) -> None:
    reply = ask(yard, f"/v3/model?id={OWN}", method="DELETE")
    listed = red.ask("/deleted").body.decode()
    purged = red.post(f"/deleted/{OWN}/purge")

    assert (200, b"{}") == (reply.status, reply.body)
    assert f'action="/deleted/{OWN}/restore"' in listed
    assert (303, "/deleted") == (purged.status, purged.headers["location"])
    assert f"/deleted/{OWN}/" not in red.ask("/deleted").body.decode()
    assert 404 == red.post(f"/deleted/{OWN}/restore").status


def test_deleting_and_revoking_ask_first(red: Browser) -> None:
    model, keys = (red.ask(path).body.decode() for path in (f"/models/{OWN}", "/keys"))

    for page, action in ((model, f"/models/{OWN}/delete"), (keys, "/keys/revoke")):
        assert re.search(
            rf'<details class="ask"><summary[^>]*>.*?</summary>\s*<form method="post" action="{action}"', page
        )


def test_the_page_of_a_team_shows_its_keys_its_space_and_its_models(yard: App, red: Browser, tmp_path: Path) -> None:
    yard.access.create_key("red", [Scope.READ], name="anna’s laptop", purpose="drawing")
    yard.access.create_key("blue", [Scope.READ], name="of blue")
    upload(yard, "sent", lora_bytes())
    checking(yard, tmp_path).verify_next()
    created = ask(
        yard,
        "/v3/uploads",
        method="POST",
        tus_resumable="1.0.0",
        upload_length="9",
        upload_metadata="filename YS5wdA==",
    )
    page = main_text(red.ask("/team").body)

    assert 201 == created.status
    for text in ("anna’s laptop drawing", "of 100 kB", "sent", "a.pt 9 bytes", "Models\n2"):
        assert text in page, text
    assert "of blue" not in page


def test_a_reader_sees_the_team_and_cannot_see_what_was_deleted(yard: App) -> None:
    reader = signed_in(yard, "red", Scope.READ)

    assert [200, 403] == [reader.ask(path).status for path in ("/team", "/deleted")]
    assert 303 == yard.ask("/team", None).status


def test_a_key_has_a_name_and_a_purpose(yard: App, red: Browser) -> None:
    made = red.post("/keys", fields={"scope": "read", "name": " anna’s laptop ", "purpose": "drawing"})
    refused = red.post("/keys", fields={"scope": "read", "name": "x" * 61})

    (key,) = [key for key in yard.access.list_keys("red") if key.name]
    assert ("anna’s laptop", "drawing") == (key.name, key.purpose)
    assert "Copy your new key “anna’s laptop” now." in made.body.decode()
    assert re.search(r'<code id="new-key">sk_[\w-]+</code>', made.body.decode())
    assert 400 == refused.status
    assert "up to 60 characters in one line" in refused.body.decode()
