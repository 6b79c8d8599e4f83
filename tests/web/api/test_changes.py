"""Changing the richer record: `PATCH /v3/model` with titles, descriptions, licences and what else an owner may say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain import COMMERCIAL_USES, Licence
from modelyard.facts import Facts, Layer, Recommended
from tests.app_fixture import App, open_app
from tests.transfers import ask, lora_bytes, upload


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as app:
        yield app


@pytest.fixture
def model_id(yard: App) -> int:
    registered: dict[str, Any] = upload(yard, "lamp", lora_bytes())
    return int(registered["id"])


def user_facts(yard: App, model_id: int) -> Facts:
    entry = yard.store.entry(model_id)
    assert entry is not None
    return entry.layers[Layer.USER]


EVERYTHING = {
    "title": "灯 | Lamp «v2»",
    "description": "Made at <b>sea</b>.\n\n\tUse it at night.",
    "trigger_words": ["lamp, lit", " dusk ", "dusk"],
    "licence": {
        "id": "Apache-2.0",
        "name": "Apache License 2.0",
        "url": "https://www.apache.org/licenses/LICENSE-2.0",
        "allow_commercial": ["sell", "image"],
        "allow_no_credit": False,
        "allow_derivatives": True,
    },
    "recommended": {"weight": 0.8, "weight_min": -1, "clip_skip": 2, "sampler": "Euler a", "steps": 20, "cfg": 5.5},
    "version_group": "lamps",
}


def test_each_field_becomes_the_owners_word(yard: App, model_id: int) -> None:
    reply = ask(yard, f"/v3/model?id={model_id}", method="PATCH", body=EVERYTHING)
    facts = user_facts(yard, model_id)

    assert (200, "lamp") == (reply.status, reply.json["name"])
    assert ("灯 | Lamp «v2»", "Made at <b>sea</b>.\n\n\tUse it at night.", ("lamp, lit", "dusk")) == (
        facts.title,
        facts.description,
        facts.trigger_words,
    )
    licence = Licence(
        "apache-2.0",
        "Apache License 2.0",
        EVERYTHING["licence"]["url"],
        ("image", "sell"),
        False,
        True,
        None,  # type: ignore[index] # a dictionary
    )
    assert licence == facts.licence
    assert Recommended(0.8, -1, None, 2, "Euler a", 20, 5.5) == facts.recommended
    model = yard.store.entry(model_id)
    assert model is not None
    assert ("red/lamps", licence) == (model.model.version_group, model.model.licence)


@pytest.mark.parametrize("name", EVERYTHING)
def test_only_the_sent_field_changes_and_null_takes_it_back(yard: App, model_id: int, name: str) -> None:
    before = user_facts(yard, model_id)
    ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={name: EVERYTHING[name]})
    changed = user_facts(yard, model_id)
    names = {field for field in Facts.__slots__ if getattr(before, field) != getattr(changed, field)}
    assert {name} == names - {"updated_at"}

    reply = ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={name: None})
    assert (200, None) == (reply.status, getattr(user_facts(yard, model_id), name))


def test_a_licence_may_be_an_id_and_unknown_is_no_permission(yard: App, model_id: int) -> None:
    ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"licence": "MIT"})
    assert Licence(id="mit") == user_facts(yard, model_id).licence

    ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"licence": {"allow_commercial": []}})
    assert Licence(allow_commercial=()) == user_facts(yard, model_id).licence


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"title": "two\nlines"}, "title: 'two\\nlines' is not accepted; accepted: up to 200 characters in one line"),
        ({"title": "x" * 201}, "accepted: up to 200 characters in one line"),
        ({"description": "bell\x07"}, "accepted: up to 20,000 characters without control characters"),
        ({"description": "x" * 20_001}, "accepted: up to 20,000 characters"),
        ({"trigger_words": ["a\nb"]}, "accepted: up to 500 characters a word, in one line"),
        ({"trigger_words": [str(number) for number in range(101)]}, "accepted: up to 100 words"),
        ({"trigger_words": "a, b"}, "Expected `array"),
        ({"licence": {"allow_commercial": ["rent", "war"]}}, "'war' is not accepted; accepted: image, rent, sell"),
        ({"licence": {"allow_derivatives": "yes"}}, "Expected `bool"),
        ({"licence": {"permission": True}}, "unknown field `permission`"),
        ({"licence": {"url": "javascript:alert(1)"}}, "licence.url: 'javascript:alert(1)' is not accepted"),
        ({"recommended": {"weight": 1e9}}, "recommended.weight: '1000000000.0' is not accepted"),
        ({"recommended": {"clip_skip": -1}}, "accepted: a number from 0 to 10000"),
        ({"recommended": {"strength": 1}}, "unknown field `strength`"),
        ({"version_group": "a,b"}, "version_group: 'a,b' is not accepted"),
        ({"name": ""}, "name: '' is not accepted; accepted: 1 to 100 of A-Z"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_changes_nothing(
    yard: App, model_id: int, body: dict[str, Any], message: str
) -> None:
    before = yard.store.entry(model_id)
    reply = ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"is_nsfw": True, **body})

    assert 400 == reply.status
    assert message in reply.json["message"]
    assert before == yard.store.entry(model_id)


def test_all_commercial_uses_are_kept_in_one_order(yard: App, model_id: int) -> None:
    body = {"licence": {"allow_commercial": [*reversed(COMMERCIAL_USES)]}}
    ask(yard, f"/v3/model?id={model_id}", method="PATCH", body=body)
    licence = user_facts(yard, model_id).licence
    assert licence is not None
    assert COMMERCIAL_USES == licence.allow_commercial


@pytest.mark.parametrize(
    ("name", "api_name", "header"),
    [
        ("夜の港", "YenoGang", "transliterated"),
        ("Übung 3", "Ubung_3", "transliterated"),
        ("лампа", "lampa", "transliterated"),
    ],
)
def test_a_name_in_another_script_becomes_the_title(
    yard: App, model_id: int, name: str, api_name: str, header: str
) -> None:
    reply = ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"name": name})
    facts = user_facts(yard, model_id)

    assert (api_name, name, header) == (reply.json["name"], facts.title, reply.headers.get("modelyard-name"))
    plain = ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"name": "plain"})
    assert ("plain", name, None) == (
        plain.json["name"],
        user_facts(yard, model_id).title,
        plain.headers.get("modelyard-name"),
    )


def test_a_name_without_a_letter_for_ascii_falls_back_to_the_id(yard: App, model_id: int) -> None:
    reply = ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"name": "…", "title": "Dots"})

    assert (f"model_{model_id}", "fallback") == (reply.json["name"], reply.headers.get("modelyard-name"))
    assert "Dots" == user_facts(yard, model_id).title


def test_an_upload_may_have_a_name_in_any_script_a_title_and_a_description(yard: App) -> None:
    said = {"title": "Night", "description": "At\nsea", "trigger_words": ["a, b", "c"]}
    registered = upload(yard, "夜の港", lora_bytes(seed=3), **said)
    facts = user_facts(yard, int(registered["id"]))

    assert ("YenoGang", f"YenoGang_{registered['id']}.safetensors") == (registered["name"], registered["sd_name"])
    assert ("Night", "At\nsea", ("a, b", "c")) == (facts.title, facts.description, facts.trigger_words)
