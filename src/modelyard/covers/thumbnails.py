"""Renders untrusted bytes as a picture in three widths: WebP files that hold only pixels.

The bytes decide the format, never a name. `render` checks the size in the header before it decodes a pixel, and takes
the first frame of an animation. It drops prompts, locations and comments that programs write into pictures.
"""

import hashlib
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from modelyard import errors
from modelyard.domain import COVER_WIDTHS

BYTES_MAX = 16 * 1024 * 1024
# Decoded, a picture takes four bytes a pixel: 128 MiB. Cameras and upscalers make some 24 million.
PIXELS_MAX = 32 * 1024 * 1024
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
# The longest side, in short sides. Longer pictures are strips, not covers.
_HEIGHTS_A_WIDTH_MAX = 8
# Method 4 is Pillow's own default. 640 pixels wide, photographs take some 50 KB at this quality.
_QUALITY = 80
# Decoding takes the memory above, so only one thread decodes at a time.
_turn = threading.Lock()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered picture: the hash of the original in lower case, and the WebP of each width."""

    sha256: str
    by_width: Mapping[int, bytes]


def render(picture: bytes) -> Rendered:
    """Render the widths of a picture. Raises TooLarge, or UnsupportedFile if this is no picture that we accept.

    It never enlarges: a picture that is narrower than a width keeps its own width.
    """
    if len(picture) > BYTES_MAX:
        raise errors.TooLarge("the picture", BYTES_MAX)
    try:
        with _turn, warnings.catch_warnings():
            # Pillow warns about damaged metadata, which we drop, and about large pictures; our own limit is lower.
            warnings.simplefilter("ignore")
            by_width = _widths(picture)
    except errors.ModelyardError:
        raise
    except Image.DecompressionBombError:
        raise errors.UnsupportedFile(
            f"the picture has too many pixels; accepted: up to {PIXELS_MAX:,} in all", pixels_max=PIXELS_MAX
        ) from None
    except Exception as problem:  # Pillow's decoders raise many classes for damaged pictures
        raise errors.UnsupportedFile(
            f"this is no picture that can be read; accepted: {', '.join(_FORMATS)}", allowed=list(_FORMATS)
        ) from problem
    return Rendered(hashlib.sha256(picture).hexdigest(), by_width)


def _widths(picture: bytes) -> dict[int, bytes]:
    with Image.open(BytesIO(picture), formats=_FORMATS) as source:
        width, height = source.size
        if width * height > PIXELS_MAX:
            raise errors.UnsupportedFile(
                f"the picture has {width:,} × {height:,} pixels; accepted: up to {PIXELS_MAX:,} in all",
                pixels_max=PIXELS_MAX,
            )
        if not width / _HEIGHTS_A_WIDTH_MAX <= height <= width * _HEIGHTS_A_WIDTH_MAX:
            raise errors.UnsupportedFile(f"a picture of {width:,} × {height:,} pixels is no cover")
        # Pillow can decode JPEG at a smaller size, other formats only at full size.
        source.draft("RGB", (2 * COVER_WIDTHS[-1], 2 * COVER_WIDTHS[-1]))
        source.load()
        upright = ImageOps.exif_transpose(source)
    mode = "RGBA" if upright.has_transparency_data else "RGB"
    image = upright if upright.mode == mode else upright.convert(mode)
    return {width: _webp(image, width) for width in COVER_WIDTHS}


def _webp(image: Image.Image, width: int) -> bytes:
    if image.width > width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), reducing_gap=2.0)
    saved = BytesIO()
    image.save(saved, "WEBP", quality=_QUALITY, exif=b"", icc_profile=b"", xmp=b"")
    return saved.getvalue()
