"""What a change of a model becomes: facts of the owner, and where the limits of each field are.

Not covered here: changes over HTTP (tests/web/api/test_changes.py) and by a command (tests/cli/test_model_commands.py).
"""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from modelyard import errors
from modelyard.domain import Licence, Status, Visibility, model_type
from modelyard.facts import Facts, Recommended
from modelyard.registry.changes import Change, edit_of
from modelyard.registry.models import Edit


def edit(**fields: Any) -> Edit:
    changed = edit_of(msgspec.convert(fields, Change))
    return replace(changed, resets=tuple(changed.resets))


def refused_field(**fields: Any) -> object:
    with pytest.raises(errors.InvalidValue) as refused:
        edit(**fields)
    return refused.value.facts.get("field")


def test_a_change_of_every_field_is_one_edit() -> None:
    changed = edit(
        name="lamp",
        title=" Lamp ",
        description=" Made\r\nat sea ",
        tags=["a", "a", " b "],
        trigger_words=["lit", "lit"],
        categories=["anime", "style"],
        category_id=100_000,
        type_name="LORA",
        base_model=" SD 1.5 ",
        base_model_type="Inpainting",
        licence={"id": " MIT ", "name": " MIT License ", "allow_commercial": ["sell", "image"]},
        recommended={"weight": -10_000, "clip_skip": 0, "sampler": " Euler ", "steps": 10_000},
        version_group=" lamps ",
        cover_url="https://a/b.png",
        visibility="public",
        is_nsfw=False,
        status=0,
    )

    facts = Facts(
        name="lamp",
        title="Lamp",
        description="Made\nat sea",
        tags=("a", "b"),
        trigger_words=("lit",),
        categories=("realistic", "anime", "style"),
        type=model_type("LORA"),
        base_model="SD 1.5",
        base_model_type="Inpainting",
        licence=Licence("mit", "MIT License", None, ("image", "sell")),
        recommended=Recommended(weight=-10_000, clip_skip=0, sampler="Euler", steps=10_000),
        version_group="lamps",
        cover_url="https://a/b.png",
        is_nsfw=False,
    )
    assert Edit(facts, Visibility.PUBLIC, Status.UNAVAILABLE) == changed


def test_a_change_of_one_field_leaves_all_others() -> None:
    assert Edit(Facts(title="")) == edit(title="")
    assert Edit(status=Status.AVAILABLE) == edit(status=1)
    assert Edit(visibility=Visibility.PRIVATE) == edit(visibility="")
    assert Edit(Facts(categories=("realistic",))) == edit(category_id="100000")
    assert Edit(Facts(categories=())) == edit(categories=[])
    assert Edit() == edit(type_name="")


def test_null_takes_back_the_fact_of_the_owner() -> None:
    assert Edit(Facts(tags=()), resets=("title", "type")) == edit(type_name=None, title=None, tags=[])


def test_a_change_without_a_field_is_refused_with_the_fields_that_there_are() -> None:
    with pytest.raises(errors.InvalidValue, match="nothing to change; accepted: name, title, ") as refused:
        edit()

    assert {"allowed": [*Change.__struct_fields__]} == refused.value.facts


def test_a_status_is_0_or_1() -> None:
    with pytest.raises(errors.InvalidValue, match=r"^status: 2 is not accepted; accepted: 0, 1$") as refused:
        edit(status=2)

    assert {"field": "status", "given": 2} == refused.value.facts
    assert "status" == refused_field(status=-1)


def test_a_name_in_another_script_is_the_title_unless_one_is_given() -> None:
    assert Facts(name="YenoGang", title="夜の港") == edit(name="夜の港").facts
    assert Facts(name="YenoGang", title="Port") == edit(name="夜の港", title="Port").facts


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", Licence(id="mit")),
        ("", Licence()),
        ({"id": "", "name": "", "url": ""}, Licence()),
        ({"id": " ", "name": " "}, Licence()),
        ({"url": "http://a/" + 2_039 * "b"}, Licence(url="http://a/" + 2_039 * "b")),
        ({"allow_commercial": []}, Licence(allow_commercial=())),
        (
            {"allow_no_credit": True, "allow_derivatives": False, "allow_different_licence": True},
            Licence(None, None, None, None, True, False, True),
        ),
    ],
)
def test_what_is_not_said_of_a_licence_is_unknown(licence: Any, expected: Licence) -> None:
    assert expected == edit(licence=licence).facts.licence


@pytest.mark.parametrize(
    ("licence", "field"),
    [
        ({"url": "https://a/" + 2_039 * "b"}, "licence.url"),
        ({"url": "ftp://a"}, "licence.url"),
        ({"url": "https://a\x07"}, "licence.url"),
        ({"id": 101 * "a"}, "licence.id"),
        ({"name": 201 * "a"}, "licence.name"),
        ({"allow_commercial": ["Image"]}, "licence.allow_commercial"),
        (101 * "a", "licence"),
    ],
)
def test_a_licence_has_limits(licence: Any, field: str) -> None:
    assert field == refused_field(licence=licence)


@pytest.mark.parametrize("name", ["weight", "weight_min", "weight_max", "clip_skip", "steps", "cfg"])
def test_each_recommended_number_has_limits(name: str) -> None:
    least = 0 if name in ("clip_skip", "steps") else -10_000

    for number in (least, 10_000):
        assert Recommended(**{name: number}) == edit(recommended={name: number}).facts.recommended
    for number in (least - 1, 10_001):
        assert f"recommended.{name}" == refused_field(recommended={name: number})


def test_a_recommended_sampler_is_a_word() -> None:
    assert Recommended() == edit(recommended={"sampler": ""}).facts.recommended
    assert Recommended() == edit(recommended={"sampler": " "}).facts.recommended
    assert "recommended.sampler" == refused_field(recommended={"sampler": "a,b"})
