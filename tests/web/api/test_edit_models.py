"""What an answer to a change says of the name. Not covered here: which changes are accepted (tests/registry)."""

import pytest

from tests.app_fixture import App
from tests.transfers import ask, lora_bytes, upload


@pytest.mark.parametrize(
    ("sent", "name", "said"),
    [("dawn", "dawn", None), ("рассвет", "rassvet", "transliterated"), ("「」", "model_1000000000", "fallback")],
)
def test_a_header_says_when_the_name_is_not_the_one_that_was_sent(
    yard: App, sent: str, name: str, said: str | None
) -> None:
    address = f"/v3/model?id={upload(yard, 'night', lora_bytes())['id']}"
    renamed = ask(yard, address, method="PATCH", body={"name": sent})
    other = ask(yard, address, method="PATCH", body={"visibility": "public"})

    assert (200, name, said) == (renamed.status, renamed.json["name"], renamed.headers.get("modelyard-name"))
    assert (200, None) == (other.status, other.headers.get("modelyard-name"))
