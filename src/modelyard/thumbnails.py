"""Renders untrusted bytes as a picture in three widths: WebP files that hold only pixels.

The bytes decide the format, never a name. ``render_widths`` checks the size in the header before it decodes a pixel,
and takes the first frame of an animation. It drops prompts, locations and comments that programs write into pictures.

``python -m modelyard.thumbnails`` renders in a process of its own, with a limit of memory. Its parent is
``covers.renderer``. It imports little, because the memory of that process counts too.

    parent → child   8 bytes: length of the picture   the picture
    child → parent   8 bytes: length of the header    the header, JSON    the WebP of each width
                     the header: {"widths": {"320": bytes, …}} or {"problem": message, "facts": {…}}
"""

import json
import resource
import select
import sys
import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import AvifImagePlugin, Image, ImageOps

from modelyard import errors
from modelyard.domain import COVER_WIDTHS

# A picture may take this much more memory than the process has without one. With the 26 MiB that the process takes
# (2026-11), a picture costs the server less than 150 MiB.
MEMORY_BYTES_MAX = 120 * 2**20
# Decoders take 4 bytes a pixel for PNG, 6 for a GIF, 10 for AVIF, and 17 for WebP (2026-11). Only JPEG is decoded at a
# smaller size, and a progressive one only after all of it is in memory. A picture with transparency is copied once.
PIXELS_MAX: Mapping[str, int] = {
    "PNG": 16 * 2**20,
    "JPEG": 32 * 2**20,
    "WEBP": 6 * 2**20,
    "GIF": 16 * 2**20,
    "AVIF": 6 * 2**20,
}
_COSTLY_PIXELS_MAX = 10 * 2**20
# The longest side, in short sides. Longer pictures are strips, not covers.
_HEIGHTS_A_WIDTH_MAX = 8
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# Method 4 is Pillow's own default. 640 pixels wide, photographs take some 50 KB at this quality.
_QUALITY = 80
# A process without work ends, and its memory is free again.
_IDLE_SECONDS = 60.0


def render_widths(picture: bytes) -> dict[int, bytes]:
    """Return the WebP of each width. Raises UnsupportedFile if this is no picture that we accept.

    It never enlarges: a picture that is narrower than a width keeps its own width.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about damaged metadata, which we drop, and about large pictures; our own limit is lower.
            warnings.simplefilter("ignore")
            return _render(picture)
    except errors.ModelyardError:
        raise
    except Image.DecompressionBombError:
        pixels_max = max(PIXELS_MAX.values())
        raise errors.UnsupportedFile(
            f"the picture has too many pixels; accepted: up to {pixels_max:,} in all", pixels_max=pixels_max
        ) from None
    except MemoryError:
        raise errors.UnsupportedFile(
            f"decoding the picture takes more than {MEMORY_BYTES_MAX:,} bytes of memory; accepted: a smaller picture"
        ) from None
    except Exception as problem:  # Pillow's decoders raise many classes for damaged pictures
        raise errors.UnsupportedFile(
            f"this is no picture that can be read; accepted: {', '.join(PIXELS_MAX)}", allowed=list(PIXELS_MAX)
        ) from problem


def _render(picture: bytes) -> dict[int, bytes]:
    if webp_size := _read_webp_size(picture):
        _check_pixels("WEBP", *webp_size, PIXELS_MAX["WEBP"])
    with Image.open(BytesIO(_drop_png_texts(picture)), formats=tuple(PIXELS_MAX)) as image:
        _check_size(image)
        # Pillow can decode JPEG at a smaller size, other formats only at full size.
        image.draft("RGB", (2 * COVER_WIDTHS[-1], 2 * COVER_WIDTHS[-1]))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        mode = "RGBA" if image.has_transparency_data else "RGB"
        decoded = image if image.mode == mode else image.convert(mode)
    return {width: _render_webp(decoded, width) for width in COVER_WIDTHS}


def _drop_png_texts(picture: bytes) -> bytes:
    """Return a PNG without its texts. Programs write workflows of megabytes there, which Pillow refuses to unpack.

    signature(8), then chunks: length(4) type(4) content checksum(4)
    """
    if not picture.startswith(_PNG_SIGNATURE):
        return picture
    chunks, start = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while start < len(picture):
        end = start + 12 + int.from_bytes(picture[start : start + 4])
        if picture[start + 4 : start + 8] not in _PNG_TEXTS:
            chunks.append(picture[start:end])
        start = end
    return b"".join(chunks)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    kind = image.format or ""
    pixels_max = PIXELS_MAX[kind]
    if image.has_transparency_data or image.info.get("progressive"):
        kind = f"{kind} with transparency" if image.has_transparency_data else f"progressive {kind}"
        pixels_max = min(pixels_max, _COSTLY_PIXELS_MAX)
    _check_pixels(kind, width, height, pixels_max)
    if not width / _HEIGHTS_A_WIDTH_MAX <= height <= width * _HEIGHTS_A_WIDTH_MAX:
        raise errors.UnsupportedFile(f"a picture of {width:,} × {height:,} pixels is no cover")


def _check_pixels(kind: str, width: int, height: int, pixels_max: int) -> None:
    if width * height > pixels_max:
        raise errors.UnsupportedFile(
            f"the picture has {width:,} × {height:,} pixels; accepted for {kind}: up to {pixels_max:,} in all",
            pixels_max=pixels_max,
        )


def _read_webp_size(picture: bytes) -> tuple[int, int] | None:
    """Return the size in a WebP's header. Pillow takes the memory for all pixels before it tells the size.

    RIFF size WEBP, then a chunk: VP8X size flags(4) width-1(3) height-1(3) · VP8L size 0x2f width-1(14 bits)
    height-1(14 bits) · VP8_ size frame(6) width(14 bits of 2 bytes) height(the same)
    """
    if picture[:4] != b"RIFF" or picture[8:12] != b"WEBP":
        return None

    def read_number(start: int, length: int) -> int:
        return int.from_bytes(picture[start : start + length], "little")

    match picture[12:16]:
        case b"VP8X":
            return read_number(24, 3) + 1, read_number(27, 3) + 1
        case b"VP8L":
            bits = read_number(21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            return read_number(26, 2) & 0x3FFF, read_number(28, 2) & 0x3FFF


def _render_webp(image: Image.Image, width: int) -> bytes:
    if image.width > width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), reducing_gap=2.0)
    saved = BytesIO()
    image.save(saved, "WEBP", quality=_QUALITY, exif=b"", icc_profile=b"", xmp=b"")
    return saved.getvalue()


def main() -> None:
    """Render pictures from standard input until its end, or until there is none for a minute."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.init()
    if sys.platform == "linux":  # other systems do not have this limit, or not this file
        mapped_pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = mapped_pages * resource.getpagesize() + MEMORY_BYTES_MAX
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while select.select([source], [], [], _IDLE_SECONDS)[0] and (length := source.read(8)):
        picture = source.read(int.from_bytes(length))
        header, content = _answer(picture)
        encoded = json.dumps(header).encode()
        target.write(len(encoded).to_bytes(8) + encoded + content)
        target.flush()


def _answer(picture: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        by_width = render_widths(picture)
    except errors.UnsupportedFile as error:
        return {"problem": error.message, "facts": error.facts}, b""
    return {"widths": {width: len(webp) for width, webp in by_width.items()}}, b"".join(by_width.values())


if __name__ == "__main__":
    main()
