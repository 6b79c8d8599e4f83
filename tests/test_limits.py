"""Limits at their edge: what is as large as is allowed is taken, and what is larger by one is not.

The numbers are written out: they are what docs and errors promise. Limits that need a server or a large file are tested
beside what they protect.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard import errors, wire
from modelyard.civitai.images import ImageAnswer, read_images
from modelyard.facts import parse_date
from modelyard.fetches.sources import parse_url_source
from modelyard.inspection.folders import shard_sets
from modelyard.inspection.header_metadata import bounded
from modelyard.library.folder_texts import list_texts, read_texts
from modelyard.library.trainers import read_training
from modelyard.licences import parse_licence
from modelyard.outbound import AddressPolicy
from modelyard.registry import fields
from modelyard.registry.changes import RecommendedChange, read_recommended
from modelyard.setting_values import parse_secret, parse_targets, parse_team_rules
from modelyard.upstream.files import is_small
from modelyard.upstream.snapshots import SnapshotFile, parse_snapshot
from modelyard.web.api.tus import read_metadata
from modelyard.web.civitai.parameters import is_digits
from modelyard.web.client_address import TrustedProxies
from modelyard.web.hub.commit_bodies import checked_path, parse_commit
from modelyard.web.range_header import read_ranges
from modelyard.webhooks.filters import check_filter
from modelyard.webhooks.webhooks import check_url
from modelyard.wire.audit import parse_audit_query, parse_time
from modelyard.wire.feed import parse_since
from modelyard.workflows.needs import Need, NeedCollector, address_of, is_file_name

Take = Callable[[int], object]
REFUSALS = (errors.ModelyardError, ValueError)


def is_taken(take: Take, size: int) -> bool:
    """Whether so much is taken: neither refused nor left out."""
    try:
        return bool(take(size))
    except REFUSALS:
        return False


def query(text: str) -> object:
    return wire.parse_query(text.encode(), lambda: ())


def numbered(count: int, separator: str = " ") -> str:
    return separator.join(map(str, range(100, 100 + count)))


def ranges(count: int) -> bytes:
    return b"bytes=" + ",".join(f"{10 * number}-{10 * number + 1}" for number in range(count)).encode()


def padded(beginning: str, size: int) -> str:
    return beginning + "x" * (size - len(beginning))


def commit(count: int) -> bytes:
    lines = [{"key": "deletedFile", "value": {"path": f"{number}.txt"}} for number in range(count)]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def snapshot(path: str, size_bytes: int) -> object:
    sibling = {"rfilename": path, "size": size_bytes, "blobId": "a" * 40}
    return parse_snapshot({"sha": "b" * 40, "siblings": [sibling]}, "a/b").files


def webhook_filter(size: int) -> bool:
    check_filter(padded("filter.query=a&filter.tags=", size))
    return True


def webhook_address(size: int) -> bool:
    check_url(padded("https://example.org/", size), AddressPolicy())
    return True


def needs(count: int, nodes: int = 1) -> NeedCollector:
    collector = NeedCollector()
    for number in range(count):
        collector.add(Need(f"{number}.safetensors", None, nodes=tuple(map(str, range(nodes)))))
    return collector


def unknown(count: int) -> NeedCollector:
    collector = NeedCollector()
    for number in range(count):
        collector.add_unknown(f"Loader{number}")
    return collector


def small_files(count: int, size_bytes: int = 1) -> int:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Path(folder, f"{number}.json").write_bytes(b" " * size_bytes)
        listed = list_texts(folder.encode(), (), lambda _: False)
        assert [*map(bytes.decode, listed)] == [*read_texts(folder.encode(), listed)]
        return len(listed)


def training_end(seconds: int) -> int:
    return read_training({"ss_training_finished_at": str(seconds)}, 7).finished_at


LIMITS: dict[str, tuple[int, Take]] = {
    # What people write of their models
    "characters of a title": (200, lambda n: fields.checked_title("title", "x" * n)),
    "characters of a description": (20_000, lambda n: fields.checked_description("x" * n)),
    "tags": (100, lambda n: fields.read_tags(numbered(n).split())),
    "characters of a tag": (100, lambda n: fields.read_tags(["x" * n])),
    "trigger words": (100, lambda n: fields.read_trigger_words(numbered(n).split())),
    "characters of a trigger word": (500, lambda n: fields.read_trigger_words(["x" * n])),
    "characters of a cover's address": (2048, lambda n: fields.checked_cover(padded("https://a/", n))),
    "a recommended weight": (10_000, lambda n: read_recommended(RecommendedChange(weight=n))),
    "recommended steps": (10_000, lambda n: read_recommended(RecommendedChange(steps=n))),
    "characters of a licence's name that is an id": (64, lambda n: parse_licence("x" * n).id),
    "seconds after 1969 of a date": (253_402_300_799, lambda n: parse_date("9999-12-31T23:59:59Z") == n),
    # What clients ask
    "models of a page": (100, lambda n: query(f"pagination.limit={n}")),
    "characters of a query": (256, lambda n: query("filter.query=" + "x" * n)),
    "terms of a query": (16, lambda n: query("filter.query=" + numbered(n, "+"))),
    "words of a search": (32, lambda n: query("filter.search=" + numbered(n, "+"))),
    "bytes of a query string": (8192, lambda n: query(padded("unknown=", n))),
    "bytes of a question to the audit": (2048, lambda n: parse_audit_query(("filter.verb=" + "&" * (n - 12)).encode())),
    "seconds of a time of the audit": (253_402_300_799, lambda n: parse_time(str(n))),
    "model of a reader's position": (2**63 - 1, lambda n: parse_since(f"7-{n}")),
    "digits of an id of the Civitai shape": (18, lambda n: is_digits("1" * n)),
    "ranges of a request": (32, lambda n: read_ranges(ranges(n), 10_000)),
    "bytes of a range header": (1024, lambda n: read_ranges(b"bytes=0-1" + b" " * (n - 9), 100)),
    "bytes of a forwarded header": (
        1024,
        lambda n: (
            TrustedProxies("10.0.0.0/8").client_of("10.0.0.1", {b"x-forwarded-for": b"192.0.2.7".rjust(n)})
            == "192.0.2.7"
        ),
    ),
    # Uploads and commits
    "bytes of an upload's metadata": (8192, lambda n: read_metadata(b"name eA==,a".ljust(n))),
    "characters of a path in a repository": (500, lambda n: checked_path("x" * n)),
    "parts of a path in a repository": (12, lambda n: checked_path("/".join("x" * n))),
    "files that a commit removes": (1001, lambda n: parse_commit(commit(n))),
    # Other servers
    "characters of an address to fetch": (4096, lambda n: parse_url_source(padded("https://example.org/", n))),
    "characters of a webhook's filter": (
        2048,
        webhook_filter,
    ),
    "characters of a webhook's address": (
        2048,
        webhook_address,
    ),
    "characters of a path in another hub": (500, lambda n: snapshot("x" * n, 1)),
    "bytes of a file in another hub": (10**13, lambda n: snapshot("x", n)),
    "bytes of a file of another hub that is always kept": (10 << 20, lambda n: is_small(SnapshotFile("a.txt", n, "c"))),
    "characters of a picture's address": (2048, lambda n: read_images([ImageAnswer(url=padded("https://a/", n))])),
    # Settings
    "characters of a secret": (500, lambda n: parse_secret("x" * n)),
    "characters of a group": (200, lambda n: parse_team_rules(f"{'x' * n} studio read")),
    "characters of a generator's name": (40, lambda n: parse_targets(f"{'x' * n} comfyui http://comfy:8188")),
    # Workflows
    "characters of a file's name": (260, lambda n: is_file_name("x" * (n - 4) + ".pth")),
    "characters of an address in a workflow": (2048, lambda n: address_of(padded("https://a/", n))),
    "files that a workflow needs": (1000, lambda n: not needs(n).collect().is_truncated),
    "nodes that are listed of a need": (50, lambda n: len(needs(1, n).collect().needs[0].nodes) == n),
    "unknown nodes of a workflow": (100, lambda n: not unknown(n).collect().is_truncated),
    # Files
    "end of a training": (2**33 - 1, lambda n: training_end(n) == n),
    "small files of a folder": (200, lambda n: small_files(n) == n),
    "bytes of a small file": (4 << 20, lambda n: small_files(1, n)),
    "shards of a model": (1000, lambda n: shard_sets([b"a-00001-of-%05d.safetensors" % n], lambda _: None)),
    "characters of a note that is kept whole": (2000, lambda n: bounded({"a": "x" * n}) == {"a": "x" * n}),
    "notes that are kept": (200, lambda n: len(bounded(dict.fromkeys(numbered(n).split(), "x"))) == n),
}


@pytest.mark.parametrize("name", LIMITS)
def test_as_much_as_is_allowed_is_taken_and_one_more_is_not(name: str) -> None:
    most, take = LIMITS[name]

    assert [True, False] == [is_taken(take, most), is_taken(take, most + 1)]
