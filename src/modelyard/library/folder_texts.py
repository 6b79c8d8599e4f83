"""The small files of a pipeline: its model_index.json, and the configurations and vocabularies of its components.

Programs load a pipeline by them. ``list_texts`` looks at names and sizes, ``read_texts`` reads them.
"""

import os
import stat
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from modelyard.fingerprint import Fingerprint

TEXT_BYTES_MAX = 4 << 20
TEXTS_BYTES_MAX = 16 << 20
TEXTS_MAX = 200
# spiece.model is the vocabulary of SentencePiece.
_ENDS = (b".json", b".txt", b".jinja", b"spiece.model")


def list_texts(
    folder: bytes, components: Collection[bytes], is_allowed: Callable[[bytes], bool]
) -> dict[bytes, Fingerprint]:
    """Return the small files in a folder and its components, by relative path; as many as one model can have.

    ``is_allowed`` says of a link whether it leads to a place that the scan may read.
    """
    texts: dict[bytes, Fingerprint] = {}
    size_bytes = 0
    for below in (b"", *sorted(components)):
        with suppress(OSError):
            for name in sorted(os.listdir(os.path.join(folder, below))):
                path = os.path.join(folder, below, name)
                if not name.endswith(_ENDS) or (os.path.islink(path) and not is_allowed(path)):
                    continue
                status = os.stat(path)
                size_bytes += status.st_size
                if len(texts) == TEXTS_MAX or size_bytes > TEXTS_BYTES_MAX:
                    return texts
                if stat.S_ISREG(status.st_mode) and status.st_size <= TEXT_BYTES_MAX:
                    texts[os.path.join(below, name)] = Fingerprint.of(status)
    return texts


def read_texts(folder: bytes, paths: Collection[bytes]) -> Mapping[str, bytes]:
    """Return the contents of small files by path. One that is gone, or has grown, is left out."""
    texts = {}
    for path in paths:
        with suppress(OSError, UnicodeDecodeError):
            # A named pipe would block.
            descriptor = os.open(os.path.join(folder, path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                content = file.read(TEXT_BYTES_MAX + 1)
            if len(content) <= TEXT_BYTES_MAX:
                texts[path.decode()] = content
    return texts
