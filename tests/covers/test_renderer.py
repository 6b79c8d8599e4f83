"""The child process that renders pictures: what it takes, how long it may work, and what becomes of it.

Not here: which pictures are covers, and that nothing but pixels is kept (test_covers). ``benchmarks/pictures.py``
measures more formats.
"""

import os
import signal
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modelyard import errors
from modelyard.covers.renderer import BYTES_MAX, Renderer
from modelyard.thumbnails import PIXELS_MAX
from tests.pictures import picture, size_of

MIB = 2**20


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


def peak_bytes(renderer: Renderer) -> int:
    """Return the most memory that the child ever had."""
    status = Path(f"/proc/{renderer.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def refusal(renderer: Renderer, content: bytes) -> str:
    with pytest.raises(errors.UnsupportedFile) as caught:
        renderer.render(content)
    return caught.value.message


def tiny_webps(width: int, height: int) -> list[bytes]:
    """WebPs of one colour, in some 34 bytes and more: the sizes of small ones are replaced in their headers."""
    lossless, lossy, animated = BytesIO(), BytesIO(), BytesIO()
    small = Image.new("RGB", (16, 16))
    small.save(lossless, "WEBP", lossless=True)
    small.save(lossy, "WEBP")
    small.save(animated, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")])
    sizes = (
        (lossless, 21, (width - 1 | (height - 1) << 14).to_bytes(4, "little")),
        (lossy, 26, width.to_bytes(2, "little") + height.to_bytes(2, "little")),
        (animated, 24, (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")),
    )
    for saved, start, size in sizes:
        saved.seek(start)
        saved.write(size)
    return [saved.getvalue() for saved, _, _ in sizes]


def test_a_gigabyte_in_few_bytes_takes_no_memory_and_is_refused_with_the_limit(renderer: Renderer) -> None:
    messages = [refusal(renderer, content) for content in tiny_webps(16_000, 10_000)]

    assert messages == 3 * ["the picture has 16,000 × 10,000 pixels; accepted for WEBP: up to 6,291,456 in all"]
    assert peak_bytes(renderer) < 60 * MIB


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("GIF", "P"), ("WEBP", "RGB"), ("AVIF", "RGB")])
def test_the_largest_picture_of_a_format_takes_less_than_150_mib(renderer: Renderer, kind: str, mode: str) -> None:
    side = int(PIXELS_MAX[kind] ** 0.5)
    saved = BytesIO()
    Image.new(mode, (side, side)).save(saved, kind, **({"speed": 10} if kind == "AVIF" else {}))

    rendered = renderer.render(saved.getvalue())

    assert ("WEBP", (1280, 1280)) == size_of(rendered.by_width[1280])
    assert peak_bytes(renderer) < 150 * MIB


@pytest.mark.parametrize(
    ("mode", "kind", "options", "message"),
    [
        ("RGBA", "PNG", {}, "accepted for PNG with transparency: up to 10,485,760 in all"),
        ("RGB", "JPEG", {"progressive": True}, "accepted for progressive JPEG: up to 10,485,760 in all"),
    ],
)
def test_a_picture_that_takes_more_memory_for_a_pixel_may_have_fewer(
    renderer: Renderer, mode: str, kind: str, options: dict[str, bool], message: str
) -> None:
    saved = BytesIO()
    Image.new(mode, (3_300, 3_300)).save(saved, kind, **options)

    assert refusal(renderer, saved.getvalue()) == f"the picture has 3,300 × 3,300 pixels; {message}"


def test_the_child_may_not_take_more_memory_than_its_limit(renderer: Renderer) -> None:
    renderer.render(picture(64, 64))
    limits = Path(f"/proc/{renderer.pid}/limits").read_text()
    limit = next(line for line in limits.splitlines() if line.startswith("Max address space"))

    assert int(limit.split()[3]) < 250 * MIB


def test_a_picture_that_takes_too_long_is_refused_and_the_next_one_is_rendered() -> None:
    renderer = Renderer(seconds_max=2.0)
    renderer.render(picture(64, 64))
    assert renderer.pid is not None
    os.kill(renderer.pid, signal.SIGSTOP)
    message = refusal(renderer, picture(64, 64))
    by_width = renderer.render(picture(64, 64)).by_width
    renderer.close()

    assert message == "decoding the picture took longer than 2 seconds"
    assert ("WEBP", (64, 64)) == size_of(by_width[320])


def test_a_picture_of_too_many_bytes_is_refused_before_a_child_is_started(renderer: Renderer) -> None:
    with pytest.raises(errors.TooLarge):
        renderer.render(bytes(BYTES_MAX + 1))

    assert renderer.pid is None


def test_a_child_that_was_killed_is_replaced(renderer: Renderer) -> None:
    first = renderer.render(picture(64, 64))
    assert renderer.pid is not None
    os.kill(renderer.pid, signal.SIGKILL)

    assert first == renderer.render(picture(64, 64))


def test_the_child_gets_no_setting_and_no_secret(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    renderer.render(picture(64, 64))

    assert "secret" not in Path(f"/proc/{renderer.pid}/environ").read_text()


def test_a_workflow_of_megabytes_in_a_png_does_not_keep_it_from_being_a_cover(renderer: Renderer) -> None:
    texts = PngInfo()
    texts.add_text("prompt", "a moon" * 100_000)
    texts.add_text("workflow", "x" * (2 * MIB), zip=True)
    texts.add_itxt("more", "y" * (2 * MIB), zip=True)
    saved = BytesIO()
    Image.new("RGB", (64, 96), "red").save(saved, "PNG", pnginfo=texts)

    assert ("WEBP", (64, 96)) == size_of(renderer.render(saved.getvalue()).by_width[320])
