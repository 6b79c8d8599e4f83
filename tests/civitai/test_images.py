"""Example images of Civitai's answers: which are read, how much of each, and which may be shown to everyone."""

from typing import Any

import pytest

from modelyard import json_text
from modelyard.civitai.images import ImageAnswer, find_cover_url, is_safe_image, read_images
from modelyard.facts import Image, Resource

URL = "https://image.example/1.jpeg"


def images_of(*answers: dict[str, Any]) -> tuple[Image, ...]:
    return read_images(json_text.convert({"url": URL, **answer}, ImageAnswer) for answer in answers)


def resources_of(meta: dict[str, Any]) -> tuple[Resource, ...]:
    (image,) = images_of({"meta": meta})
    return image.resources


def test_an_image_has_what_it_was_made_with() -> None:
    meta = {
        "prompt": " night ",
        "negativePrompt": "day",
        "seed": 0,
        "sampler": "Euler a",
        "steps": 20,
        "cfgScale": 7.5,
        "resources": [{"name": "lamp", "type": "lora", "weight": 0.8, "hash": "AB"}, {}, "text"],
        "civitaiResources": [{"modelVersionId": 7}],
    }
    resources = (Resource("lamp", "lora", 0.8, "AB"), Resource(version_id=7))
    made = Image(URL, 512, 768, False, "night", "day", 0, "Euler a", 20, 7.5, resources)

    for spelled in (meta, {"id": 1, "meta": meta}):
        assert (made,) == images_of({"width": 512, "height": 768, "nsfw": False, "meta": spelled})


@pytest.mark.parametrize("meta", [None, {}, [], "text"])
def test_an_image_without_values_is_an_address_with_a_size(meta: object) -> None:
    assert (Image(URL, 1, 2),) == images_of({"width": 1, "height": 2, "meta": meta})


def test_a_value_of_a_wrong_type_costs_no_other() -> None:
    (image,) = images_of(
        {"width": -1, "height": 2**53, "meta": {"prompt": 5, "steps": -1, "seed": 2**53 + 1, "sampler": "a"}}
    )

    assert Image(URL, None, 2**53, sampler="a") == image


def test_texts_and_lists_have_limits() -> None:
    (image,) = images_of({"meta": {"prompt": "p" * 4_001, "negativePrompt": "n" * 4_001, "sampler": "s" * 201}})
    long = {"name": "n" * 201, "type": "t" * 201, "hash": "h" * 201}
    resources = resources_of({"resources": [long], "civitaiResources": [{"modelVersionId": n} for n in range(40)]})

    assert (4_000, 4_000, 200) == (len(image.prompt or ""), len(image.negative_prompt or ""), len(image.sampler or ""))
    assert Resource("n" * 200, "t" * 200, None, "h" * 200) == resources[0]
    assert [*range(31)] == [resource.version_id for resource in resources[1:]]
    assert [f"{URL}?{n}" for n in range(20)] == [i.url for i in images_of(*({"url": f"{URL}?{n}"} for n in range(21)))]


@pytest.mark.parametrize(
    ("answer", "is_read"),
    [
        ({"url": "http://a"}, True),
        ({"url": "ftp://a"}, False),
        ({"url": ""}, False),
        ({"url": None}, False),
        ({"url": "https://" + "a" * 2_040}, True),
        ({"url": "https://" + "a" * 2_041}, False),
        ({"type": "video"}, False),
        ({"type": "image"}, True),
    ],
)
def test_an_image_has_an_address_of_the_web_and_is_no_video(answer: dict[str, Any], is_read: bool) -> None:
    assert is_read == bool(images_of(answer))


@pytest.mark.parametrize(
    ("level", "nsfw", "is_safe", "is_nsfw"),
    [
        (1, None, True, False),
        ("None", None, True, False),
        (1, True, True, False),
        (2, None, False, True),
        (2, False, False, True),
        ("Soft", None, False, True),
        (0, False, True, False),
        (0, "None", True, False),
        (None, "false", True, False),
        (None, False, True, False),
        (None, True, False, True),
        (None, "Soft", False, True),
        (None, None, False, None),
        (0, None, False, None),
    ],
)
def test_an_image_is_safe_if_its_rating_is_the_first_step(
    level: object, nsfw: object, is_safe: bool, is_nsfw: bool | None
) -> None:
    answer = {"nsfwLevel": level, "nsfw": nsfw}

    assert is_safe == is_safe_image(level, nsfw)
    assert [is_nsfw] == [image.is_nsfw for image in images_of(answer)]
    assert (URL if is_safe else "") == find_cover_url([json_text.convert({"url": URL, **answer}, ImageAnswer)])


def test_a_cover_is_the_first_safe_image_with_an_address() -> None:
    answers = [
        {"nsfw": True, "url": URL + "x"},
        {"nsfw": False},
        {"nsfw": False, "type": "video", "url": URL + "v"},
        {"nsfw": False, "url": "javascript:alert(1)"},
        {"nsfw": False, "url": URL},
    ]

    assert URL == find_cover_url(json_text.convert(answer, ImageAnswer) for answer in answers)
