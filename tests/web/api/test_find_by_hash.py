"""Many hashes in one request: what each finds, what is refused, and that nobody sees another team's models."""

import json
from pathlib import Path

import pytest

from modelyard.domain import Hashes
from tests.app_fixture import App, Reply, a_model, a_private, open_app

SHA, OTHER = 64 * "A", 64 * "B"


def find(yard: App, hashes: object, team: str = "red") -> Reply:
    return yard.ask(
        "/v3/model/by-hash",
        team,
        method="POST",
        body=json.dumps({"hashes": hashes}).encode(),
        content_type="application/json",
    )


def test_each_hash_has_its_models_best_first_and_each_model_is_there_once(yard: App) -> None:
    yard.put(
        a_model(1, rank=5, hashes=Hashes(sha256=SHA, crc32="01234567")),
        a_model(2, rank=9, hashes=Hashes(sha256=SHA)),
        a_model(3, hashes=Hashes(autov3=OTHER)),
    )

    reply = find(yard, [SHA, "sha256:" + SHA[:12].lower(), "0x01234567", OTHER[:12], "ffffffff"])

    assert 200 == reply.status
    assert {
        SHA: [2, 1],
        "sha256:" + SHA[:12].lower(): [2, 1],
        "0x01234567": [1],
        OTHER[:12]: [3],
        "ffffffff": [],
    } == reply.json["matches"]
    assert [2, 1, 3] == [model["id"] for model in reply.json["models"]]
    listed = {model["id"]: model for model in yard.ask("/v3/model").json["models"]}
    assert listed == {model["id"]: model for model in reply.json["models"]}


def test_only_what_the_caller_may_see_is_found_and_only_in_its_newest_state(yard: App) -> None:
    yard.put(a_private(1_000_000_001, "red", hashes=Hashes(sha256=SHA)), a_model(2, hashes=Hashes(sha256=OTHER)))
    yard.put(a_model(2, hashes=Hashes(sha256=64 * "C")))

    assert {SHA: [1_000_000_001], OTHER: []} == find(yard, [SHA, OTHER]).json["matches"]
    assert {"matches": {SHA: []}, "models": []} == find(yard, [SHA], "blue").json


@pytest.mark.parametrize(
    ("hashes", "message"),
    [
        ([SHA, "xyz"], "hashes[1]: 'xyz' is not accepted"),
        ([""], "hashes[0]: '' is not accepted"),
        (1_001 * [SHA], "1,001 are too many"),
        ([1], "hashes[0]"),
        ("abc", "hashes"),
        (None, "hashes"),
    ],
)
def test_an_entry_that_is_no_hash_is_refused_and_named(yard: App, hashes: object, message: str) -> None:
    reply = find(yard, hashes)

    assert (400, "INVALID_REQUEST_BODY") == (reply.status, reply.json["reason"])
    assert message in reply.json["message"]


@pytest.mark.parametrize(("chars", "shown"), [(80, "x" * 80), (81, "x" * 80 + "…")])
def test_a_long_entry_is_shortened(yard: App, chars: int, shown: str) -> None:
    message = find(yard, [SHA, "x" * chars]).json["message"]

    assert message.startswith(f"hashes[1]: '{shown}' is not accepted; accepted: 8, 10, 12 or 64 hexadecimal digits")


def test_a_thousand_hashes_are_accepted_and_a_longer_body_is_refused(yard: App) -> None:
    assert 1_000 == len(find(yard, [f"sha256:{number:064x}" for number in range(1_000)]).json["matches"])
    assert 413 == find(yard, [f"{number:0130x}" for number in range(1_000)]).status


def test_callers_without_a_key_find_public_models_where_they_may_list_them(tmp_path: Path) -> None:
    body = json.dumps({"hashes": [SHA]}).encode()
    for access, status in (("none", 401), ("public", 200)):
        (tmp_path / access).mkdir()
        with open_app(tmp_path / access, anonymous_access=access) as yard:
            yard.put(a_private(1_000_000_001, "red", hashes=Hashes(sha256=SHA)), a_model(2, hashes=Hashes(sha256=SHA)))
            reply = yard.ask("/v3/model/by-hash", None, method="POST", body=body, content_type="application/json")
            assert status == reply.status
            assert status == 401 or {SHA: [2]} == reply.json["matches"]
