"""Pictures for tests, made on the spot."""

import random
from io import BytesIO

from PIL import Image


def picture(width: int = 800, height: int = 1000, kind: str = "PNG", seed: int = 0) -> bytes:
    """A picture of a few coloured fields."""
    drawn = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata([(drawn.randrange(256), drawn.randrange(256), drawn.randrange(256)) for _ in range(64)])
    saved = BytesIO()
    small.resize((width, height), Image.Resampling.NEAREST).save(saved, kind)
    return saved.getvalue()


def size_of(webp: bytes) -> tuple[str | None, tuple[int, int]]:
    """The format and the size of a picture."""
    with Image.open(BytesIO(webp)) as opened:
        return opened.format, opened.size
