"""Bodies that are compressed."""

import gzip

from isal import isal_zlib

from modelyard.web.responses import SMALL_BYTES_MAX, GzipCache, Response

WORD = b"lighthouse "


def test_a_small_body_is_compressed_quickly_and_a_large_one_well() -> None:
    cache = GzipCache()
    for size, level in ((SMALL_BYTES_MAX, 0), (SMALL_BYTES_MAX + 1, 1)):
        body = (WORD * (size // len(WORD) + 1))[:size]

        compressed = cache.gzip(b"%d" % size, body)

        assert body == isal_zlib.decompress(compressed, 31)
        assert isal_zlib.compress(body, level, 31) == compressed


def test_bodies_that_begin_alike_are_each_compressed_whole() -> None:
    cache = GzipCache()
    beginning = WORD * 3000
    for end in (b"", b"1", b"the second page"):
        response = Response(beginning + end, shared_digest=b"beginning", shared_bytes=len(beginning))

        compressed = cache.gzip_in_parts(end, response)

        assert beginning + end == gzip.decompress(compressed)
        assert len(compressed) < len(isal_zlib.compress(beginning, 1, 31)) + 50
