"""Which pictures become covers, and what is drawn of them. tests/covers has the child process and the endpoints."""

import io
import zlib
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from modelyard import errors
from modelyard.thumbnails import PIXELS_MAX, render_widths
from tests.pictures import picture, size_of


def save(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    saved = io.BytesIO()
    image.save(saved, kind, **options)
    return saved.getvalue()


def refusal(content: bytes) -> errors.UnsupportedFile:
    with pytest.raises(errors.UnsupportedFile) as caught:
        render_widths(content)
    return caught.value


@pytest.mark.parametrize(("width", "height"), [(16, 128), (128, 16), (1, 8), (8, 1), (1, 1)])
def test_the_longer_side_may_be_eight_times_the_shorter_one(width: int, height: int) -> None:
    assert {(width, height)} == {
        size_of(webp)[1] for webp in render_widths(save(Image.new("RGB", (width, height)))).values()
    }


@pytest.mark.parametrize(("width", "height"), [(16, 129), (129, 16), (1, 9), (9, 1)])
def test_a_longer_picture_is_no_cover(width: int, height: int) -> None:
    error = refusal(save(Image.new("RGB", (width, height))))

    assert f"a picture of {width} × {height} pixels is no cover" == error.message


def test_each_width_has_the_shape_of_the_picture() -> None:
    wide = render_widths(save(Image.new("RGB", (2_000, 1_001))))
    narrow = render_widths(save(Image.new("RGB", (640, 81))))

    assert {320: (320, 160), 640: (640, 320), 1280: (1280, 641)} == {w: size_of(webp)[1] for w, webp in wide.items()}
    assert {320: (320, 40), 640: (640, 81), 1280: (640, 81)} == {w: size_of(webp)[1] for w, webp in narrow.items()}


def test_transparency_stays_and_other_modes_become_colours() -> None:
    clear = Image.open(io.BytesIO(render_widths(save(Image.new("RGBA", (9, 9), (255, 0, 0, 0))))[320]))
    palette = Image.new("P", (9, 9))
    palette.info["transparency"] = 0
    modes = {
        mode: Image.open(io.BytesIO(render_widths(save(Image.new(mode, (9, 9))))[320])).mode
        for mode in ("L", "1", "I;16", "P", "LA")
    }

    assert ("RGBA", 0) == (clear.mode, clear.getpixel((4, 4))[3])  # type: ignore[index] # four numbers
    assert {"L": "RGB", "1": "RGB", "I;16": "RGB", "P": "RGB", "LA": "RGBA"} == modes
    assert "RGBA" == Image.open(io.BytesIO(render_widths(save(palette, "GIF", transparency=0))[320])).mode


def riff(chunk: bytes, content: bytes) -> bytes:
    body = b"WEBP" + chunk + len(content).to_bytes(4, "little") + content
    return b"RIFF" + len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    "start",
    [
        riff(b"VP8X", bytes(4) + (9_999).to_bytes(3, "little") + (4_999).to_bytes(3, "little")),
        riff(b"VP8L", b"\x2f" + (9_999 | 4_999 << 14).to_bytes(4, "little")),
        riff(b"VP8 ", bytes(6) + (10_000 | 0x4000).to_bytes(2, "little") + (5_000 | 0x8000).to_bytes(2, "little")),
    ],
)
def test_a_webp_is_measured_by_its_header(start: bytes) -> None:
    error = refusal(start)

    limit = PIXELS_MAX["WEBP"]
    message = f"the picture has 10,000 × 5,000 pixels; accepted for WEBP: up to {limit:,} in all"
    assert (message, {"pixels_max": limit}) == (error.message, error.facts)


@pytest.mark.parametrize(
    ("kind", "size", "options", "name", "limit"),
    [
        ("PNG", (4_096, 4_097), {}, "PNG", 16 * 2**20),
        ("GIF", (4_096, 4_097), {}, "GIF", 16 * 2**20),
        ("JPEG", (8_192, 4_097), {}, "JPEG", 32 * 2**20),
        ("JPEG", (3_200, 3_277), {"progressive": True}, "progressive JPEG", 10 * 2**20),
        ("GIF", (3_200, 3_277), {"transparency": 0}, "GIF with transparency", 10 * 2**20),
    ],
)
def test_a_format_has_its_limit_of_pixels(
    kind: str, size: tuple[int, int], options: dict[str, Any], name: str, limit: int
) -> None:
    error = refusal(save(Image.new("L", size), kind, **options))

    width, height = size
    assert width * (height - 1) <= limit
    assert (
        f"the picture has {width:,} × {height:,} pixels; accepted for {name}: up to {limit:,} in all" == error.message
    )


@pytest.mark.parametrize("content", [b"", b"no picture", picture()[:2_000], save(Image.new("RGB", (9, 9)), "TIFF")])
def test_other_bytes_are_no_picture(content: bytes) -> None:
    error = refusal(content)

    assert "this is no picture that can be read; accepted: PNG, JPEG, WEBP, GIF, AVIF" == error.message
    assert ["PNG", "JPEG", "WEBP", "GIF", "AVIF"] == error.facts["allowed"]


def test_a_picture_that_pillow_takes_for_a_bomb_is_told_the_largest_limit() -> None:
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
    header += zlib_checksum(header[12:]) + b"\x00\x00\x00\x00IDAT" + zlib_checksum(b"IDAT")

    assert "the picture has too many pixels; accepted: up to 33,554,432 in all" == refusal(header).message


def zlib_checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4)


@pytest.mark.parametrize("compressed", [False, True])
def test_texts_of_any_size_in_a_png_do_not_matter(compressed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 3_000_000, zip=compressed)
    info.add_itxt("prompt", "y" * 3_000_000, zip=compressed)

    assert {9} == {size_of(webp)[1][0] for webp in render_widths(save(Image.new("RGB", (9, 9)), pnginfo=info)).values()}
