"""The page of chosen models over HTTP. What visitors click is in tests/browser."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from modelyard.domain import LIMIT_MAX
from modelyard.facts import Entry, Facts, Layer
from tests.app_fixture import App, a_model, a_private, open_app

from .page_text import main_text
from .test_pages import OWN, signed_in


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as app:
        app.put(a_private(OWN, "red", name="own", sd_name="own.pt"))
        yield app


def test_more_models_than_a_page_has_are_refused(yard: App) -> None:
    query = "&".join(f"id={number}" for number in range(LIMIT_MAX + 1))

    assert 400 == signed_in(yard).ask(f"/selection?{query}&done=tag").status


@pytest.mark.parametrize("action", ["public", "delete"])
def test_another_teams_models_stay_and_the_page_says_so(yard: App, action: str) -> None:
    fields = {"id": f"{OWN}", "action": action, "confirm": "1"}

    refused = signed_in(yard, "blue").post("/selection", fields=fields)

    assert 400 == refused.status
    assert "None of the chosen models is your team's." in main_text(refused.body)
    assert 200 == signed_in(yard).ask(f"/models/{OWN}").status
    assert 404 == signed_in(yard, "blue").ask(f"/models/{OWN}").status


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action": "delete"}, "Tick the box to delete the models."),
        ({"action": "tag", "tags": " , "}, "tags: none was given; accepted: tags, separated by commas"),
        ({"action": "burn", "confirm": "1"}, "action: 'burn' is not accepted; accepted: "),
    ],
)
def test_a_form_that_is_not_complete_changes_nothing(yard: App, fields: dict[str, str], message: str) -> None:
    refused = signed_in(yard).post("/selection", fields={"id": f"{OWN}", **fields})

    assert 400 == refused.status
    assert message in main_text(refused.body)
    assert 200 == signed_in(yard).ask(f"/models/{OWN}").status


@pytest.mark.parametrize("id_", ["²", "-1", "1" * 19, "own"])
def test_what_is_no_id_is_refused(yard: App, id_: str) -> None:
    refused = signed_in(yard).ask(f"/selection?{urlencode({'id': id_})}")

    assert 400 == refused.status
    assert "is not accepted; accepted: a model's id, decimal digits" in main_text(refused.body)


def test_a_change_of_own_and_other_models_says_which_stay(yard: App) -> None:
    yard.put(a_model(1, title="Harbour of others"), a_private(OWN + 2, "blue", name="of blue", sd_name="of_blue.pt"))
    own = a_private(OWN, "red", name="own", sd_name="own.pt")
    with yard.store.transaction() as transaction:
        transaction.put([Entry(own, {Layer.USER: Facts(name="own", sd_name="own.pt", type=own.type)})])
    red = signed_in(yard)
    chosen = [OWN, 1, OWN + 2]
    form = [("token", red.token), *(("id", f"{id_}") for id_ in chosen), ("action", "tag"), ("tags", "new")]

    reply = red.ask("/selection", method="POST", body=urlencode(form).encode())
    page = main_text(red.ask(reply.headers["location"]).body)

    assert 303 == reply.status
    assert "The tags were added." in page
    assert "Not your team’s, and therefore not changed: Harbour of others." in page
    assert "1 of the chosen models does not exist, or you cannot see it." in page
    assert "of blue" not in page
    assert "new" in main_text(red.ask(f"/models/{OWN}").body)


def test_the_command_downloads_the_models_that_have_a_file_and_the_others_are_counted(yard: App) -> None:
    yard.put(a_model(1, blob="ab" * 32), a_model(2), a_model(3, blob="cd" * 32))
    chosen = f"/selection?id=3&id=1&id=2&id={OWN}"
    page = main_text(signed_in(yard).ask(chosen).body)
    without = main_text(signed_in(yard).ask("/selection?id=2").body)

    assert "modelyard pull --url http://127.0.0.1 3 1" in page
    assert "modelyard pull" not in without
