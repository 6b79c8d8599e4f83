"""Covers: pictures of models, checked, made small, and kept as blobs.

    renderer    checks an uploaded or downloaded picture and renders a WebP of each width, in a child process
    covers      stores the WebP files, each picture once; a model's ``cover_url`` leads to them
    finder      finds pictures beside model files and in their headers
    download    downloads pictures from untrusted addresses
    importer    downloads the covers of imported models

This package knows pictures and addresses. ``registry`` chooses the cover that a model shows.
"""

from modelyard.covers.covers import Covers
from modelyard.covers.download import fetch
from modelyard.covers.importer import CoverResult, import_covers, missing_covers
from modelyard.covers.renderer import BYTES_MAX, Rendered, render

__all__ = [
    "BYTES_MAX",
    "CoverResult",
    "Covers",
    "Rendered",
    "fetch",
    "import_covers",
    "missing_covers",
    "render",
]
