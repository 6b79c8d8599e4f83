"""Example images in Civitai's answers: where they are, how they were made, and which may be shown to everyone.

An answer can hold any number of images with texts of any length, so both have limits.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard import json_text
from modelyard.facts import Image, Resource

IMAGES_MAX = 20
_PROMPT_CHARS_MAX = 4_000
_RESOURCES_MAX = 32
_TEXT_CHARS_MAX = 200
_ADDRESS_CHARS_MAX = 2_048
_NUMBER_MAX = 2**53

# Other addresses, such as javascript:, reach no caller and no page.
_SCHEMES = ("https://", "http://")
_Address = Annotated[str, Meta(max_length=4096)]
_Whole = Annotated[int, Meta(ge=0, le=_NUMBER_MAX)]
_Number = Annotated[float, Meta(ge=-_NUMBER_MAX, le=_NUMBER_MAX)]


class ImageAnswer(Struct, rename={"nsfw_level": "nsfwLevel"}):
    """An image of an answer. ``meta`` is whatever the program that made it wrote."""

    url: _Address | None = None
    type: str | None = None
    nsfw: bool | str | None = None
    nsfw_level: int | str | None = None
    width: _Whole | None = None
    height: _Whole | None = None
    meta: Any = None


class _Generation(Struct, rename={"negative_prompt": "negativePrompt", "cfg": "cfgScale"}):
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: _Whole | None = None
    sampler: str | None = None
    steps: _Whole | None = None
    cfg: _Number | None = None


class _Resource(Struct, rename={"version_id": "modelVersionId"}):
    name: str | None = None
    type: str | None = None
    weight: _Number | None = None
    hash: str | None = None
    version_id: _Whole | None = None


def read_images(answers: Iterable[ImageAnswer]) -> tuple[Image, ...]:
    """Return the images with an address, without videos; the first ``IMAGES_MAX``."""
    images: list[Image] = []
    for answer in answers:
        url = answer.url or ""
        if answer.type != "video" and len(url) <= _ADDRESS_CHARS_MAX and url.startswith(_SCHEMES):
            images.append(_read_image(answer, url))
            if len(images) == IMAGES_MAX:
                break
    return tuple(images)


def _read_image(answer: ImageAnswer, url: str) -> Image:
    is_rated = bool(answer.nsfw_level) or answer.nsfw is not None
    is_nsfw = not is_safe_image(answer.nsfw_level, answer.nsfw) if is_rated else None
    if not isinstance(answer.meta, dict) or not answer.meta:
        return Image(url, answer.width, answer.height, is_nsfw)
    meta = answer.meta
    # Some answers have the values of an image inside another "meta".
    meta = meta["meta"] if isinstance(meta.get("meta"), dict) else meta
    made = json_text.convert(meta, _Generation)
    return Image(
        url,
        answer.width,
        answer.height,
        is_nsfw,
        _cut(made.prompt, _PROMPT_CHARS_MAX),
        _cut(made.negative_prompt, _PROMPT_CHARS_MAX),
        made.seed,
        _cut(made.sampler, _TEXT_CHARS_MAX),
        made.steps,
        made.cfg,
        tuple(_read_resources(meta)),
    )


def _read_resources(meta: dict[Any, Any]) -> Iterable[Resource]:
    lists = [value for name in ("resources", "civitaiResources") if isinstance(value := meta.get(name), list)]
    for item in [item for items in lists for item in items if isinstance(item, dict)][:_RESOURCES_MAX]:
        answer = json_text.convert(item, _Resource)
        resource = Resource(
            _cut(answer.name, _TEXT_CHARS_MAX),
            _cut(answer.type, _TEXT_CHARS_MAX),
            answer.weight,
            _cut(answer.hash, _TEXT_CHARS_MAX),
            answer.version_id,
        )
        if resource != Resource():
            yield resource


def _cut(text: str | None, chars_max: int) -> str | None:
    return text[:chars_max].strip() or None if text else None


def find_cover_url(answers: Iterable[ImageAnswer]) -> str:
    """Return the address of the first image that may be shown to everyone; empty if there is none."""
    return next(
        (
            image.url
            for image in answers
            if image.url
            and image.url.startswith(_SCHEMES)
            and image.type != "video"
            and is_safe_image(image.nsfw_level, image.nsfw)
        ),
        "",
    )


def is_safe_image(nsfw_level: object, nsfw: object) -> bool:
    """Whether an image may be shown to everyone, by its fields ``nsfwLevel`` and ``nsfw``.

    Civitai answered a boolean in 2022, None, Soft, Mature or X in 2023, and since 2024 a bit of 1 PG, 2 PG-13, 4 R,
    8 X, 16 XXX, 32 blocked, where 0 is "not rated yet". Anything but the first step counts as not safe.
    """
    return nsfw_level in (1, "None") if nsfw_level else nsfw in (False, "None", "false")
