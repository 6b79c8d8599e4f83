"""Covers: taken from their owners, checked by their bytes, kept once, and shown in three widths.

Not covered here: covers fetched from outside addresses (test_cover_fetching.py).
"""

import base64
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from modelyard import blobs, errors
from modelyard.blobs import FolderBlobs
from modelyard.covers import Covers
from modelyard.covers.finder import cover_files
from modelyard.covers.renderer import Rendered
from modelyard.domain import COVER_WIDTHS
from modelyard.store import blobs as blob_rows
from modelyard.store.blobs import Blob
from tests.app_fixture import App, Reply, open_app
from tests.attacks.pickles import system, zipped
from tests.inspection.made_files import frame, header_bytes
from tests.pictures import picture, size_of
from tests.scan_fixture import Shelf, embedding, hashes_of, opened
from tests.transfers import Verification, ask, checking, find, lora_bytes, path_of, upload


@dataclass
class Bench:
    yard: App
    home: Path
    checking: Verification

    def put(self, model_id: int, content: bytes, team: str = "red", **headers: str) -> Reply:
        return ask(self.yard, f"/v3/model/cover?id={model_id}", team, method="PUT", body=content, **headers)

    def shown(self, model_id: int, width: int = 640, team: str = "red") -> Reply:
        """The cover that a model shows, asked for without any key."""
        url = find(self.yard, model_id, team)["cover_url"]
        return self.yard.ask(path_of(url).replace("/640.", f"/{width}."), None)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_app(tmp_path) as yard:
        yield Bench(yard, tmp_path, checking(yard, tmp_path))


def test_a_cover_that_was_sent_is_shown_in_three_widths(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]

    sent = bench.put(model_id, picture(2000, 2500))
    shown = {width: bench.shown(model_id, width) for width in (320, 640, 1280)}

    assert 200 == sent.status, sent.body
    assert sent.json["cover_url"] == find(bench.yard, model_id)["cover_url"]
    assert sent.json["cover_url"].startswith("http://127.0.0.1/covers/")
    assert {width: ("WEBP", (width, width * 5 // 4)) for width in shown} == {
        width: size_of(reply.body) for width, reply in shown.items()
    }
    for reply in shown.values():
        assert "image/webp" == reply.headers["content-type"]
        assert "public, max-age=31536000, immutable" == reply.headers["cache-control"]
        assert f'"{hashlib.sha256(reply.body).hexdigest()}"' == reply.headers["etag"]


def test_a_cover_that_is_known_is_not_sent_again(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    bench.put(model_id, picture())
    path = path_of(find(bench.yard, model_id)["cover_url"])
    first = bench.yard.ask(path, None)

    again = bench.yard.ask(path, None, if_none_match=first.headers["etag"])
    head = bench.yard.ask(path, None, method="HEAD")

    assert (304, b"") == (again.status, again.body)
    assert (200, b"") == (head.status, head.body)
    assert first.headers["content-length"] == head.headers["content-length"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
def test_what_a_picture_is_its_bytes_say(bench: Bench, kind: str) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]

    sent = bench.put(model_id, picture(300, 200, kind), content_type="text/html")

    assert 200 == sent.status, sent.body
    # Nothing is made larger than it is.
    assert ("WEBP", (300, 200)) == size_of(bench.shown(model_id, 1280).body)


def _bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes whose header promises very many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


NO_COVERS = {
    "text": b"no picture at all",
    "a page": b"<html><script>alert(1)</script></html>",
    "a drawing with scripts": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "half a picture": picture()[:2000],
    "a model": lora_bytes(),
    "an unused format": picture(64, 64, "TIFF"),
    "too many pixels": _bomb(30_000, 2_000),
    "very many pixels": _bomb(60_000, 60_000),
    "a strip": picture(2000, 10),
}


@pytest.mark.parametrize("kind", NO_COVERS)
def test_what_is_no_cover_is_refused_and_changes_nothing(bench: Bench, kind: str) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]

    sent = bench.put(model_id, NO_COVERS[kind])

    assert (415, "UNSUPPORTED_FILE") == (sent.status, sent.json["reason"]), sent.body
    assert "" == find(bench.yard, model_id)["cover_url"]


def test_a_cover_over_its_limit_is_refused_before_it_is_read(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]

    replies = [
        bench.put(model_id, b"x", content_length=str(17 * 1024 * 1024)),
        bench.put(model_id, bytes(17 * 1024 * 1024), content_length="10"),
        bench.put(model_id, b""),
    ]

    assert [413, 413, 400] == [reply.status for reply in replies]


def test_a_cover_holds_nothing_but_its_pixels(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    said = PngImagePlugin.PngInfo()
    said.add_text("parameters", "a secret prompt")
    saved = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    Image.new("RGB", (400, 400)).save(saved, "PNG", pnginfo=said, exif=exif)

    bench.put(model_id, saved.getvalue())
    shown = bench.shown(model_id).body

    assert b"secret" in saved.getvalue()
    assert b"secret" not in shown


def test_a_picture_lying_on_its_side_is_turned(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    saved = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(saved, "JPEG", exif=exif)

    bench.put(model_id, saved.getvalue())

    assert ("WEBP", (100, 200)) == size_of(bench.shown(model_id).body)


def test_the_same_picture_is_kept_once(bench: Bench) -> None:
    ids = [upload(bench.yard, name, lora_bytes(seed=seed))["id"] for seed, name in enumerate(("one", "two"))]

    urls = {bench.put(model_id, picture()).json["cover_url"] for model_id in ids}

    assert 1 == len(urls)


def test_only_its_owners_change_a_models_cover(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes(), visibility="public")["id"]
    path = f"/v3/model/cover?id={model_id}"

    replies = [
        bench.put(model_id, picture(), "blue"),
        ask(bench.yard, path, "blue", method="DELETE"),
        bench.yard.ask(path, "red", method="PUT", body=picture()),
        bench.yard.ask(path, None, method="PUT", body=picture()),
    ]

    assert [404, 404, 403, 401] == [reply.status for reply in replies]
    assert "" == find(bench.yard, model_id)["cover_url"]


@pytest.mark.parametrize(
    "path",
    [
        "/covers/640.webp",
        "/covers/x",
        "/covers/../640.webp",
        f"/covers/{32 * 'a'}/640.webp",
        f"/covers/{32 * 'a'}/7.webp",
    ],
)
def test_a_cover_that_is_not_there_is_404(bench: Bench, path: str) -> None:
    assert 404 == bench.yard.ask(path, None).status


def test_a_cover_can_be_taken_away(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes(), cover_url="https://example.org/a.png")["id"]
    bench.put(model_id, picture())

    reply = ask(bench.yard, f"/v3/model/cover?id={model_id}", method="DELETE")

    assert (200, "") == (reply.status, reply.json["cover_url"])
    assert "" == find(bench.yard, model_id)["cover_url"]


def test_a_model_that_is_read_and_sent_back_keeps_its_cover(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    url = bench.put(model_id, picture()).json["cover_url"]

    reply = ask(bench.yard, f"/v3/model?id={model_id}", method="PATCH", body={"cover_url": url, "name": "two"})

    assert ("two", url) == (reply.json["name"], reply.json["cover_url"])


@pytest.mark.parametrize(
    ("public_url", "base"), [("", "http://there.example:81"), ("https://a.example", "https://a.example")]
)
def test_an_address_is_answered_as_each_request_was_addressed(tmp_path: Path, public_url: str, base: str) -> None:
    with open_app(tmp_path, public_url=public_url) as yard:
        model_id = upload(yard, "one", lora_bytes())["id"]
        ask(yard, f"/v3/model/cover?id={model_id}", method="PUT", body=picture())

        (listed,) = ask(yard, f"/v3/model?filter.model_version_id={model_id}", host="there.example:81").json["models"]
        told = ask(yard, f"/v3/model/details?id={model_id}", host="there.example:81").json["model"]

        assert listed["cover_url"].startswith(base + "/covers/")
        assert listed["cover_url"] == told["cover_url"]


def test_a_models_name_cannot_pretend_to_be_a_hole(bench: Bench) -> None:
    tag = '"cover_url":"\\u0001b\\u0002'
    model_id = upload(bench.yard, "one", lora_bytes(), tags=[tag])["id"]
    bench.put(model_id, picture())

    model: dict[str, Any] = find(bench.yard, model_id)

    assert [tag] == model["tags"]
    assert model["cover_url"].startswith("http://127.0.0.1/covers/")


# --- Found with files


def _with_thumbnail(seed: int = 0) -> dict[str, str]:
    return {
        "modelspec.thumbnail": "data:image/jpeg;base64," + base64.b64encode(picture(256, 256, "JPEG", seed)).decode()
    }


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = opened(tmp_path)
    yield made
    made.catalog.close()


def cover(shelf: Shelf) -> int:
    where = blobs.open_storage("", shelf.home, {})
    return cover_files(shelf.catalog.store, Covers(shelf.catalog.store, where.kept, where.incoming), lambda: False)


def test_a_picture_beside_a_file_is_its_models_cover(shelf: Shelf) -> None:
    file = embedding(shelf.folder / "night.safetensors")
    file.with_suffix(".preview.png").write_bytes(picture())
    shelf.add()

    looked_at = [cover(shelf), cover(shelf)]

    assert [1, 0] == looked_at
    assert shelf.model().cover_url.startswith("/covers/")


def test_a_picture_beside_a_file_goes_before_one_in_its_header(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors", metadata=_with_thumbnail())
    shelf.add()
    cover(shelf)
    of_header = shelf.model().cover_url
    (shelf.folder / "night.png").write_bytes(picture())
    shelf.add()
    cover(shelf)
    beside = shelf.model().cover_url
    (shelf.folder / "night.png").unlink()
    shelf.add()
    cover(shelf)

    assert of_header.startswith("/covers/")
    assert of_header != beside
    assert of_header == shelf.model().cover_url


@pytest.mark.parametrize("kind", ["no picture", "a link", "a pipe", "a damaged header", "a film"])
def test_a_picture_that_cannot_be_used_spoils_nothing_and_is_named_with_the_reason(
    shelf: Shelf, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = {"modelspec.thumbnail": "data:image/png;base64,%%%"} if kind == "a damaged header" else None
    file = embedding(shelf.folder / "night.safetensors", metadata=metadata)
    beside = file.with_suffix(".png")
    if kind == "no picture":
        beside.write_bytes(b"<svg/>")
    elif kind == "a link":
        (tmp_path / "elsewhere.png").write_bytes(picture())
        beside.symlink_to(tmp_path / "elsewhere.png")
    elif kind == "a pipe":
        os.mkfifo(beside)
    elif kind == "a film":
        beside = file.with_suffix(".mp4")
        beside.write_bytes(b"film")
    shelf.add()

    assert 1 == cover(shelf)
    assert "" == shelf.model().cover_url
    # Nobody wrote a picture into a pipe, or into this header.
    assert (kind not in ("a pipe", "a damaged header")) is (f"no cover from {beside}: " in caplog.text)


def test_an_owners_word_goes_before_what_was_found(shelf: Shelf) -> None:
    file = embedding(shelf.folder / "night.safetensors")
    file.with_suffix(".png").write_bytes(picture())
    shelf.add()
    cover(shelf)

    shelf.say(shelf.model().id, cover_url="https://example.org/mine.png")

    assert "https://example.org/mine.png" == shelf.model().cover_url


def test_a_file_that_joins_another_model_brings_its_cover_along(shelf: Shelf) -> None:
    file = embedding(shelf.folder / "night.safetensors")
    file.with_suffix(".png").write_bytes(picture())
    shelf.add()
    cover(shelf)
    shelf.import_from_civitai(5, hashes_of(file), cover_url="https://example.org/a.png")
    shelf.add()
    cover(shelf)

    assert 5 == shelf.model().id
    assert shelf.model().cover_url.startswith("/covers/")


def test_the_picture_in_an_uploads_header_is_its_cover(bench: Bench) -> None:
    header, size = header_bytes({"emb_params": ("F16", [2, 768])}, _with_thumbnail())
    model_id = upload(bench.yard, "one", len(header).to_bytes(8, "little") + header + bytes(size))["id"]
    bench.checking.verify_next()

    assert ("WEBP", (256, 256)) == size_of(bench.shown(model_id).body)


@pytest.mark.parametrize("content", [b"notes", system(2)])
def test_no_cover_is_made_of_a_file_that_is_not_proven_safe(bench: Bench, shelf: Shelf, content: bytes) -> None:
    """Its tensor is a zip: harmless and suspicious, or dangerous."""
    archive = zipped({"data.pkl": content})
    header, _ = header_bytes({"emb_params": ("U8", [len(archive)])}, _with_thumbnail())
    file = frame(header, archive)
    (shelf.folder / "night.safetensors").write_bytes(file)
    shelf.add()
    cover(shelf)
    model_id = upload(bench.yard, "one", file)["id"]
    bench.checking.verify_next()

    assert ["", ""] == [shelf.model().cover_url, find(bench.yard, model_id)["cover_url"]]


def test_a_search_that_ends_goes_on_after_the_last_file(shelf: Shelf) -> None:
    for number in range(3):
        embedding(shelf.folder / f"{number}.safetensors", seed=number).with_suffix(".png").write_bytes(picture())
    shelf.add()
    where = blobs.open_storage("", shelf.home, {})
    kept, sizes = Covers(shelf.catalog.store, where.kept, where.incoming), []
    ends = iter([False, False, False, True, True])

    first = cover_files(shelf.catalog.store, kept, lambda: next(ends), on_file=sizes.append)
    covered = [model.id for model in shelf.models() if model.cover_url]

    assert (2, [16 * 2**20] * 2) == (first, sizes)
    assert [model.id for model in shelf.models()][:2] == covered
    assert [1, 0] == [cover(shelf), cover(shelf)]


def test_more_files_than_a_batch_are_all_searched_and_files_that_are_gone_are_left(shelf: Shelf) -> None:
    for number in range(52):
        embedding(shelf.folder / f"{number:02}.safetensors", seed=number)
    shelf.add()
    (shelf.folder / "00.safetensors").unlink()
    (shelf.folder / "01.safetensors").write_bytes(b"another file")

    assert [50, 0] == [cover(shelf), cover(shelf)]


# --- Kept


def rendered(sha256: str, *webps: bytes) -> Rendered:
    return Rendered(sha256 * 64, dict(zip((320, 640, 1280), webps, strict=True)))


@pytest.fixture
def kept(bench: Bench) -> Covers:
    where = blobs.open_storage("", bench.home, {})
    return Covers(bench.yard.store, where.kept, where.incoming)


def test_widths_that_two_pictures_share_are_kept_once(bench: Bench, kept: Covers) -> None:
    names = [kept.keep(rendered("a", b"1", b"2", b"3")), kept.keep(rendered("b", b"1", b"2", b"4"))]
    again = kept.keep(rendered("a", b"1", b"2", b"3"))

    assert 2 == len(set(names))
    assert names[0] == again
    assert all(len(name) == 32 for name in names)
    widths = {(name, width): kept.picture(f"/covers/{name}/{width}.webp") for name in names for width in (320, 1280)}
    assert [b"1", b"3", b"1", b"4"] == [shown[1] for shown in widths.values() if shown]
    files = [path for path in (bench.home / "blobs").rglob("*") if path.is_file()]
    assert 4 == len(files)


def test_what_is_known_of_bytes_stays_when_they_become_a_cover_too(bench: Bench, kept: Covers) -> None:
    sha256 = hashlib.sha256(b"1").hexdigest()
    known = Blob(sha256, 1, 5, "dangerous", "it runs a program")
    with bench.yard.store.transaction() as transaction:
        blob_rows.put(transaction.connection, known)

    kept.keep(rendered("a", b"1", b"2", b"3"))

    with bench.yard.store.reading() as connection:
        assert known == blob_rows.find(connection, sha256)
        other = blob_rows.find(connection, hashlib.sha256(b"2").hexdigest())
    assert other is not None
    assert (1, "clean", "a cover") == (other.size_bytes, other.verdict, other.reason)


def test_a_cover_whose_bytes_are_gone_is_unavailable(bench: Bench, kept: Covers) -> None:
    name = kept.keep(rendered("a", b"1", b"2", b"3"))
    sha256 = hashlib.sha256(b"1").hexdigest()
    (bench.home / "blobs" / sha256[:2] / sha256[2:4] / sha256).unlink()

    with pytest.raises(errors.Unavailable, match="the cover is not where it was kept"):
        kept.picture(f"/covers/{name}/320.webp")
    assert (hashlib.sha256(b"2").hexdigest(), b"2") == kept.picture(f"/covers/{name}/640.webp")
    for path in (f"/covers/{name}/321.webp", f"/covers/{name}/640.webp\n", f"/covers/{name}/640xwebp"):
        assert kept.picture(path) is None


def test_a_cover_that_is_collected_while_it_is_kept_is_an_error(bench: Bench, kept: Covers) -> None:
    class Forgetful:
        """A file store that loses what it was given, as when garbage is collected at that moment."""

        def has(self, _sha256: str) -> bool:
            return False

        def keep(self, path: Path, _sha256: str) -> None:
            path.unlink()

    where = blobs.open_storage("", bench.home, {})
    forgetful: Any = Forgetful()

    with pytest.raises(errors.Unavailable):
        Covers(bench.yard.store, forgetful, where.incoming).keep(rendered("a", b"1", b"2", b"3"))
    assert [] == list(where.incoming.all())
    with bench.yard.store.reading() as connection:
        assert blob_rows.find(connection, hashlib.sha256(b"1").hexdigest()) is None


# --- What is not needed any more


def test_covers_that_no_model_shows_are_collected(bench: Bench) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    bench.checking.verify_next()
    paths = [path_of(bench.put(model_id, picture(seed=seed)).json["cover_url"]) for seed in range(2)]

    bench.checking.collect_garbage(0, dry_run=True)
    before = [bench.yard.ask(path, None).status for path in paths]
    bench.checking.collect_garbage(0, dry_run=False)
    with open_app(bench.home) as again:  # one that has no picture in memory
        after = [again.ask(path, None).status for path in paths]

    assert [200, 200] == before
    assert [404, 200] == after
    kept = [path for path in (bench.home / "blobs").rglob("*") if path.is_file()]
    assert 1 + 3 == len(kept)


def test_a_cover_that_is_put_while_its_old_copy_is_removed_is_never_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    bench.checking.verify_next()
    for seed in range(2):
        bench.put(model_id, picture(seed=seed))
    remove, statuses = FolderBlobs.remove, []

    def put_and_remove(blobs: FolderBlobs, sha256: str) -> None:
        statuses.append(bench.put(model_id, picture(seed=0)).status)
        remove(blobs, sha256)

    monkeypatch.setattr(FolderBlobs, "remove", put_and_remove)
    bench.checking.collect_garbage(0, dry_run=False)
    statuses.append(bench.put(model_id, picture(seed=0)).status)

    assert [503, 503, 503, 200] == statuses
    with open_app(bench.home) as again:  # one that has no picture in memory
        path = path_of(find(again, model_id)["cover_url"])
        paths = [path.replace("/640.", f"/{width}.") for width in COVER_WIDTHS]
        assert [200, 200, 200] == [again.ask(path, None).status for path in paths]


def test_a_cover_that_is_removed_before_a_model_has_it_is_stored_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    keep, removed = Covers.keep, []

    def keep_and_lose(covers: Covers, picture: Rendered) -> str:
        name = keep(covers, picture)
        if not removed:
            removed.append(bench.checking.collect_garbage(0, dry_run=False))
        return name

    monkeypatch.setattr(Covers, "keep", keep_and_lose)
    sent = bench.put(model_id, picture())

    assert (3, 200) == (len(removed[0]), sent.status)
    assert 200 == bench.shown(model_id).status


def test_what_a_killed_collection_left_the_next_one_removes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    model_id = upload(bench.yard, "one", lora_bytes())["id"]
    bench.checking.verify_next()
    for seed in range(2):
        bench.put(model_id, picture(seed=seed))
    with monkeypatch.context() as patch:
        patch.setattr(FolderBlobs, "remove", _be_killed)
        with pytest.raises(KeyboardInterrupt):
            bench.checking.collect_garbage(0, dry_run=False)
    store = blobs.open_storage("", bench.home, {}).kept
    before = len(list(store.all()))
    at_once = bench.checking.collect_garbage(0, dry_run=False), len(list(store.all()))
    with bench.yard.store.transaction() as writing:  # as if the time had passed after which a claim ends
        writing.connection.exec_driver_sql("UPDATE blob_claims SET ends_at = 0")
    bench.checking.collect_garbage(0, dry_run=False)

    assert (1 + 6, ([], 1 + 6)) == (before, at_once)
    assert 1 + 3 == len(list(store.all()))
    with bench.yard.store.reading() as connection:
        assert 0 == connection.exec_driver_sql("SELECT count(*) FROM blob_claims").scalar_one()


def _be_killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_cover_under_another_one_is_kept(shelf: Shelf) -> None:
    file = embedding(shelf.folder / "night.safetensors")
    file.with_suffix(".png").write_bytes(picture())
    shelf.add()
    cover(shelf)
    path = shelf.model().cover_url
    shelf.say(shelf.model().id, cover_url="https://example.org/mine.png")
    where = blobs.open_storage("", shelf.home, {})

    Verification(shelf.catalog.store, where.kept, where.incoming).collect_garbage(0, dry_run=False)

    assert Covers(shelf.catalog.store, where.kept, where.incoming).picture(path) is not None
