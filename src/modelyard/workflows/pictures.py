"""The texts that programs write into pictures: chunks of PNG, and EXIF of JPEG, WebP and AVIF.

A picture is only walked, never decoded. All sizes are checked against the body and against limits before memory is
taken.
"""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

TEXT_BYTES_MAX = 16 * 1024 * 1024  # all texts of one picture together
TEXTS_MAX = 64
_CHUNKS_MAX = 100_000
_BOXES_MAX = 1_000

_PNG = b"\x89PNG\r\n\x1a\n"
_MAKE, _MODEL, _DESCRIPTION = 0x010F, 0x0110, 0x010E
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_JPEG_EXIF = b"Exif\0\0"
_TEXT_ENCODINGS = {b"ASCII\0\0\0": "utf-8", b"\0" * 8: "utf-8", b"JIS\0\0\0\0\0": "iso2022_jp"}


class TooMuchTextError(Exception):
    """The texts of a picture are longer than a limit."""


def is_picture(body: bytes) -> bool:
    """Whether a body begins as a picture of a kind that we read."""
    return body.startswith((_PNG, b"\xff\xd8\xff")) or _is_webp(body) or _is_avif(body)


def read_texts(body: bytes) -> dict[str, str]:
    """Return the texts of a picture by their names, such as "workflow", "prompt", "parameters".

    Raises TooMuchTextError. What is damaged is left out.
    """
    if body.startswith(_PNG):
        return _read_png(body)
    if _is_webp(body):
        exif = next((data for name, data in _riff_chunks(body) if name == b"EXIF"), b"")
    elif _is_avif(body):
        exif = _find_avif_exif(body)
    else:
        exif = _find_jpeg_exif(body)
    return _read_exif(exif)


# --- PNG


def _read_png(body: bytes) -> dict[str, str]:
    texts: dict[str, str] = {}
    left = TEXT_BYTES_MAX
    for kind, data in _png_chunks(body):
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or len(texts) >= TEXTS_MAX:
            continue
        name, _, rest = data.partition(b"\0")
        try:
            value = _text_of(kind, rest, left)
        except (ValueError, zlib.error):
            continue
        left -= len(value)
        texts.setdefault(name[:80].decode("latin-1"), _decode(value, "latin-1" if kind == b"tEXt" else "utf-8"))
    return texts


def _png_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    for _ in range(_CHUNKS_MAX):
        if at + 12 > len(body):
            return
        size, kind = struct.unpack_from(">I4s", body, at)
        if kind == b"IEND" or at + 12 + size > len(body):
            return
        if kind.endswith(b"Xt"):
            yield kind, body[at + 8 : at + 8 + size]
        at += 12 + size


def _text_of(kind: bytes, rest: bytes, left: int) -> bytes:
    """Return the text of a chunk, unpacked. Raises ValueError and zlib.error for a damaged one."""
    if kind == b"tEXt":
        return _limit(rest, left)
    is_packed, packed = True, rest[1:]
    if kind == b"iTXt":
        if len(rest) < 2:
            raise ValueError("the chunk is too short")
        is_packed = rest[0] == 1
        _language, _keyword, packed = rest[2:].split(b"\0", 2)
    return _inflate(packed, left) if is_packed else _limit(packed, left)


def _inflate(packed: bytes, left: int) -> bytes:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(packed, left + 1)
    return _limit(text, left)


def _limit(text: bytes, left: int) -> bytes:
    if len(text) > left:
        raise TooMuchTextError
    return text


# --- JPEG, WebP, AVIF


def _is_webp(body: bytes) -> bool:
    return body[:4] == b"RIFF" and body[8:12] == b"WEBP"


def _is_avif(body: bytes) -> bool:
    return body[4:8] == b"ftyp" and any(brand in body[8:64] for brand in (b"avif", b"avis", b"mif1", b"heic"))


def _riff_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    for _ in range(_CHUNKS_MAX):
        if at + 8 > len(body):
            return
        name, size = struct.unpack_from("<4sI", body, at)
        if name == b"EXIF":
            yield name, body[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _find_jpeg_exif(body: bytes) -> bytes:
    at = 2
    for _ in range(_BOXES_MAX):
        if at + 4 > len(body) or body[at] != 0xFF:
            break
        marker, size = struct.unpack_from(">xBH", body, at)
        if marker == 0xDA or size < 2:
            break
        if marker == 0xE1 and body.startswith(_JPEG_EXIF, at + 4):
            return body[at + 4 : at + 2 + size]
        at += 2 + size
    return b""


def _boxes(body: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the contents of the boxes of an ISO file."""
    at = start
    for _ in range(_BOXES_MAX):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", body, at)
        begin = at + 8
        if size == 1 and at + 16 <= end:
            size, begin = struct.unpack_from(">Q", body, at + 8)[0], at + 16
        stop = end if size == 0 else at + size
        if stop < begin or stop > end:
            return
        yield kind, begin, stop
        at = stop


def _find_avif_exif(body: bytes) -> bytes:
    """Return the bytes of the item of the type Exif, which the boxes iinf and iloc locate."""
    meta = next(((begin, end) for kind, begin, end in _boxes(body, 0, len(body)) if kind == b"meta"), None)
    if meta is None:
        return b""
    inner = {kind: (begin, end) for kind, begin, end in _boxes(body, meta[0] + 4, meta[1])}
    if b"iinf" not in inner or b"iloc" not in inner:
        return b""
    try:
        number = _exif_item(body, *inner[b"iinf"])
        begin, size = _location(body, *inner[b"iloc"], number) if number is not None else (0, 0)
    except struct.error:
        return b""
    data = body[begin : begin + size]
    # The item begins with the distance to the TIFF header.
    skip = int.from_bytes(data[:4], "big") if len(data) >= 4 else 0
    return data[4 + skip :]


def _exif_item(body: bytes, begin: int, end: int) -> int | None:
    version = body[begin]
    at = begin + (6 if version == 0 else 8)
    for kind, start, stop in _boxes(body, at, end):
        if kind == b"infe" and stop - start >= 12 and body[start] >= 2:
            wide = body[start] > 2
            number = struct.unpack_from(">I" if wide else ">H", body, start + 4)[0]
            name_at = start + (10 if wide else 8)
            if body[name_at : name_at + 4] == b"Exif":
                return int(number)
    return None


def _location(body: bytes, begin: int, end: int, item: int) -> tuple[int, int]:
    """Return begin and size of an item with one extent in the file; (0, 0) if it is not there."""
    version, sizes, base = body[begin], body[begin + 4], body[begin + 5] >> 4
    offset_bytes, length_bytes = sizes >> 4, sizes & 15
    index_bytes = body[begin + 5] & 15 if version else 0
    wide = version == 2
    count = struct.unpack_from(">I" if wide else ">H", body, begin + 6)[0]
    at = begin + (10 if wide else 8)
    for _ in range(min(count, _BOXES_MAX)):
        if at + 8 > end:
            break
        number = struct.unpack_from(">I" if wide else ">H", body, at)[0]
        at += (4 if wide else 2) + (2 if version else 0) + 2
        start = int.from_bytes(body[at : at + base], "big")
        at += base
        extents = struct.unpack_from(">H", body, at)[0]
        at += 2
        if number == item and extents:
            at += index_bytes
            offset = int.from_bytes(body[at : at + offset_bytes], "big")
            return start + offset, int.from_bytes(body[at + offset_bytes : at + offset_bytes + length_bytes], "big")
        at += extents * (index_bytes + offset_bytes + length_bytes)
    return 0, 0


def _read_exif(data: bytes) -> dict[str, str]:
    """Return the texts in EXIF. ComfyUI writes "workflow:{…}" and "prompt:{…}" into the camera's fields."""
    if not data:
        return {}
    exif = Image.Exif()
    try:
        exif.load(data if data.startswith(_JPEG_EXIF) else _JPEG_EXIF + data)
        fields = {**exif}
        comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except Exception:  # Pillow raises whatever a damaged directory leads to
        return {}
    texts: dict[str, str] = {}
    for tag in sorted(fields, reverse=True):
        value = fields[tag]
        if tag <= _MODEL and isinstance(value, str):
            name, colon, text = value.partition(":")
            if colon and name.isidentifier() and len(name) <= 80:
                texts.setdefault(name, text)
            elif tag == _DESCRIPTION:
                texts.setdefault("parameters", value)
    if isinstance(comment, bytes):
        texts.setdefault("parameters", _decode_comment(comment))
    elif isinstance(comment, str):
        texts.setdefault("parameters", comment)
    return texts


def _decode_comment(comment: bytes) -> str:
    """Return a UserComment: eight bytes name its encoding, and "UNICODE" does not say the order of bytes."""
    mark, text = comment[:8], comment[8:]
    if mark == b"UNICODE\0":
        big = text[:2] == b"\xfe\xff" or (text[:1] == b"\0" and text[:2] != b"\xff\xfe")
        return _decode(text, "utf-16-be" if big else "utf-16-le").lstrip("\ufeff")
    encoding = _TEXT_ENCODINGS.get(mark)
    return _decode(text, encoding) if encoding else _decode(comment, "utf-8")


def _decode(text: bytes, encoding: str) -> str:
    # Programs write UTF-8 into chunks of Latin-1.
    if encoding == "latin-1":
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            return text.decode("latin-1")
    return text.decode(encoding, "replace").rstrip("\0")
