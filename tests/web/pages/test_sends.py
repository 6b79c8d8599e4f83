"""Sending models to generators from the pages: the buttons, the list, and who sees them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain import Scope
from modelyard.store import sends
from tests.app_fixture import App, a_model, open_app

from .page_text import main_text
from .test_pages import signed_in


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, targets="studio comfyui http://comfy:8188,lab invokeai http://lab:9090") as app:
        app.put(a_model(1, blob="ab" * 32, title="Harbour"), a_model(2, title="Mill"))
        yield app


def change(yard: App, send_id: str, **values: object) -> None:
    with yard.store.transaction() as transaction:
        sends.update(transaction.connection, send_id, **values)


def sent_id(yard: App) -> str:
    with yard.store.reading() as connection:
        return sends.of_team(connection, "red", 1)[0].id


def test_a_button_of_the_page_sends_the_model_and_the_list_says_how_far_it_is(yard: App) -> None:
    red = signed_in(yard)
    page = main_text(red.ask("/models/1").body)
    reply = red.post("/sends", fields={"id": "1", "target": "studio"})
    before = main_text(red.ask("/sends").body)
    change(yard, sent_id(yard), task="t1", done_bytes=1_000_000, total_bytes=3_000_000)
    during = main_text(red.ask("/sends").body)
    on_the_model = main_text(red.ask("/models/1").body)
    change(yard, sent_id(yard), state="failed", problem="the disk is full", finished_at=1)
    after = main_text(red.ask("/sends").body)

    assert ["<Send to studio>", "<Send to lab>"] == re.findall("<Send to [^>]*>", page)
    assert (303, "/sends") == (reply.status, reply.headers["location"])
    assert "[Harbour](/models/1) waits for studio" in before
    assert "studio is fetching it: 1 MB of 3 MB" in during
    assert "Sent last: studio is fetching it: 1 MB of 3 MB." in on_the_model
    assert "failed: the disk is full" in after


def test_there_is_no_button_for_a_model_without_a_file_or_a_visitor_who_may_not_write(yard: App) -> None:
    assert "Send to" not in main_text(signed_in(yard).ask("/models/2").body)
    assert "Send to" not in main_text(signed_in(yard, "red", Scope.READ).ask("/models/1").body)
    assert "Send to" not in signed_in(yard, "red", Scope.READ).ask("/").body.decode()


def test_the_chosen_models_that_have_a_file_are_sent_together(yard: App) -> None:
    red = signed_in(yard)
    bar = re.search('<form id="choose".*?</form>', red.ask("/").body.decode(), re.DOTALL)
    page = red.ask("/selection?id=1&id=2&target=lab").body.decode()
    form = re.search(r'<section class="sheet" id="send">.*?</section>', page, re.DOTALL)

    assert bar is not None
    assert ["studio", "lab"] == re.findall('name="target" value="([^"]+)"', bar[0])
    assert form is not None
    assert "Send 1 model to a generator" in form[0]
    assert ["1"] == re.findall('name="id" value="([^"]+)"', form[0])


def test_other_teams_see_nothing_of_a_send(yard: App) -> None:
    signed_in(yard).post("/sends", fields={"id": "1", "target": "studio"})
    blue = signed_in(yard, "blue")

    assert "Your team sent no model yet." in main_text(blue.ask("/sends").body)
    assert "Sent last" not in main_text(blue.ask("/models/1").body)


def test_a_form_that_cannot_be_meant_is_refused_with_a_page(yard: App) -> None:
    red = signed_in(yard)
    replies = [
        red.post("/sends", fields=fields)
        for fields in (
            {"id": "1", "target": "x"},
            {"id": "x", "target": "lab"},
            {"target": "lab"},
            {"id": "2", "target": "lab"},
        )
    ]

    assert [400, 400, 400, 409] == [reply.status for reply in replies]
    assert all(b"<!doctype html>" in reply.body for reply in replies)
