"""What the script of the upload page asks. What visitors see of it is in tests/browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_fixture import App, open_app
from tests.transfers import checking, lora_bytes, upload

from .test_pages import signed_in


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as app:
        yield app


@pytest.mark.parametrize("text", ["", "-1", "²", "1.5", "1" * 20])
def test_what_is_no_number_of_bytes_is_refused(yard: App, text: str) -> None:
    reply = signed_in(yard).ask(f"/parts/sizes?bytes={text}")

    assert 400 == reply.status
    assert "a number of bytes" in reply.body.decode()


def test_a_size_is_known_of_a_models_file_that_the_team_sees(yard: App, tmp_path: Path) -> None:
    verification = checking(yard, tmp_path)
    upload(yard, "own", lora_bytes())
    while verification.verify_next():
        pass
    target = f"/parts/sizes?bytes={len(lora_bytes())}"

    assert b'{"is_known":true}' == signed_in(yard).ask(target).body
    assert b'{"is_known":false}' == signed_in(yard, "blue").ask(target).body


@pytest.mark.parametrize("id_", ["..", "a", "A" * 32, "0" * 32])
def test_an_upload_that_is_none_leads_nowhere(yard: App, id_: str) -> None:
    assert 404 == signed_in(yard).ask(f"/uploaded/{id_}").status
