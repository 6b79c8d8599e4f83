"""The page of chosen models over HTTP. What visitors click is in tests/browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain import LIMIT_MAX
from tests.app_fixture import App, a_private, open_app

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
