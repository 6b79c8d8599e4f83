"""How much memory the largest pictures take that the server accepts as covers, and pictures that it refuses.

    python -m benchmarks.pictures

Each picture is rendered by a child of its own, as the server does it. The figure is the most memory that the child ever
had (VmHWM), which is what a picture costs the server: at most 150 MiB. Linux only.
"""

import io
from pathlib import Path

from PIL import Image

from modelyard import errors
from modelyard.covers.renderer import Renderer
from modelyard.thumbnails import PIXELS_MAX

_FORMATS = (
    ("PNG", "RGB", {"compress_level": 1}),
    ("PNG", "P", {"compress_level": 1}),
    ("GIF", "P", {}),
    ("WEBP", "RGB", {"lossless": True, "method": 0}),
    ("WEBP", "RGB", {"method": 0}),
    ("AVIF", "RGB", {"speed": 10}),
    ("JPEG", "RGB", {}),
    ("JPEG", "CMYK", {}),
)


def main() -> None:
    """Print a line for each picture."""
    measure("34 bytes of WebP", tiny_bomb())
    for kind, mode, options in _FORMATS:
        side = int(PIXELS_MAX[kind] ** 0.5)
        measure(f"{kind} {mode} {side}² {options}", picture(side, mode, kind, **options))
    measure("PNG RGBA 3238²", picture(3238, "RGBA", "PNG", compress_level=1))
    for subsampling, side in ((2, 5000), (2, 3238), (0, 3238)):
        options = {"progressive": True, "subsampling": subsampling}
        measure(f"JPEG {side}² {options}", picture(side, "RGB", "JPEG", **options))


def tiny_bomb() -> bytes:
    """Return a WebP of few bytes that would need a gigabyte: one colour in the largest size of the format."""
    saved = io.BytesIO()
    Image.new("RGB", (16_383, 16_383)).save(saved, "WEBP", lossless=True, method=0)
    return saved.getvalue()


def picture(side: int, mode: str, kind: str, **options: object) -> bytes:
    """Return a picture with noise."""
    noise = Image.effect_noise((64, 64), 50).resize((side, side))
    saved = io.BytesIO()
    (noise.quantize(256) if mode == "P" else noise.convert(mode)).save(saved, kind, **options)
    return saved.getvalue()


def measure(name: str, content: bytes) -> None:
    """Render a picture in a new child, and print the memory that it took."""
    renderer = Renderer()
    try:
        renderer.render(content)
        result = "rendered"
    except errors.UnsupportedFile as error:
        result = error.message
    status = Path(f"/proc/{renderer.pid}/status").read_text(encoding="ascii") if renderer.pid else "VmHWM: 0 kB"
    renderer.close()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    print(f"{peak_kib / 1024:6.0f} MiB  {name}, {len(content):,} bytes: {result}")


if __name__ == "__main__":
    main()
