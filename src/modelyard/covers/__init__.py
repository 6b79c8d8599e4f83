"""Covers: pictures of models, checked, made small, and kept as blobs.

    a picture: uploaded · beside a file · in a file's header · fetched from an address (``fetching``, ``gathering``)
      → checked by its bytes, and made into a WebP of each width (``pictures``)
      → kept, the same picture once (``keeping``) → what a model's ``cover_url`` leads to

It knows pictures and addresses. Which of its covers a model shows is for ``registration``.
"""

from modelyard.covers.covers import Covers
from modelyard.covers.download import AddressPolicy, fetch
from modelyard.covers.importer import CoverResult, import_covers, wanted
from modelyard.covers.thumbnails import BYTES_MAX, Rendered, render

__all__ = [
    "BYTES_MAX",
    "AddressPolicy",
    "CoverResult",
    "Covers",
    "Rendered",
    "fetch",
    "import_covers",
    "render",
    "wanted",
]
