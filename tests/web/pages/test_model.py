"""The page of a model over HTTP: licence, use, files, versions, refusals, the way back.

Not covered here: its whole text (test_page_texts.py), what it does in a browser (tests/browser/test_model.py).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.blobs import IncomingFiles
from modelyard.blobs.folder import FolderBlobs
from modelyard.covers import render
from modelyard.covers.covers import Covers
from modelyard.domain import Licence, Scope, Source, model_type
from modelyard.facts import Entry, Facts, Image, Layer, ModelFile, Recommended, Record
from modelyard.store import covers
from tests.app_fixture import App, a_model, a_private, open_app
from tests.pictures import picture
from tests.transfers import checking, dangerous_bytes, lora_bytes, upload

from .page_text import main_text
from .test_pages import OWN, Browser, signed_in

LORA = Facts(name="v2", sd_name="harbour_77.safetensors", type=model_type("lora"), title="Harbour", upstream_model_id=7)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as app:
        yield app


@pytest.fixture
def red(yard: App) -> Browser:
    return signed_in(yard)


def put(yard: App, *facts: Facts, layer: Layer = Layer.UPSTREAM) -> None:
    records = [Record(77 + number, Source.CIVITAI, layer, one) for number, one in enumerate(facts)]
    assert {"skipped"}.isdisjoint(outcome.result for outcome in yard.catalog.register_many(records))


def text_of(red: Browser, model_id: int = 77) -> str:
    return main_text(red.ask(f"/models/{model_id}").body)


def test_a_licence_has_ticks_crosses_and_what_it_does_not_say(yard: App, red: Browser) -> None:
    licence = Licence(id="openrail", url="https://x.example/l", allow_commercial=("image",), allow_derivatives=False)
    put(yard, replace(LORA, licence=licence), replace(LORA, sd_name="b.pt"))

    page, unknown = red.ask("/models/77").body.decode(), text_of(red, 78)

    assert [("yes", "Allowed: "), ("no", "Not allowed: "), ("no", "Not allowed: ")] == re.findall(
        r'<li class="(yes|no|unknown)"><span class="unseen">([^<]*)', page
    )[:3]
    assert 2 == page.count("Not stated: ")
    assert '<a href="https://x.example/l" rel="nofollow noopener noreferrer"' in page
    assert "The licence is not known." in unknown


def test_the_prompt_has_the_recommended_weight(yard: App, red: Browser) -> None:
    put(yard, replace(LORA, recommended=Recommended(weight=0.8, weight_min=0.6, weight_max=1.0, clip_skip=2)))
    page = text_of(red)

    assert "<lora:harbour_77:0.8><Copy Prompt>" in page
    assert "weight 0.8 (0.6 to 1), clip skip 2" in page


def test_versions_are_tabs_with_date_and_size_and_none_is_left_out(yard: App, red: Browser) -> None:
    versions = [
        replace(LORA, name=f"v{number}", sd_name=f"h{number}.pt", published_at=f"2023-07-{number % 28 + 1:02}")
        for number in range(120)
    ]
    put(yard, *(replace(version, size_bytes=10**9) for version in versions))
    page = red.ask("/models/77").body.decode()
    tabs = page[page.index('aria-label="Versions"') :].partition("</nav>")[0]

    assert 120 == tabs.count("<a href=")
    assert 1 == tabs.count("aria-current")
    assert '<span class="name">v0</span> <small>2023-07-01 · 1 GB</small>' in tabs


def test_files_show_their_differences_and_link_to_those_that_are_here(yard: App, red: Browser, tmp_path: Path) -> None:
    files = (
        ModelFile("full.safetensors", size_kind="full", precision="fp32", format="SafeTensor", size_bytes=4_000),
        ModelFile("pruned.safetensors", size_kind="pruned", precision="fp16", format="SafeTensor", size_bytes=2_000),
    )
    put(yard, replace(LORA, files=files))
    model_id = upload(yard, "mine", lora_bytes())["id"]
    checking(yard, tmp_path).verify_next()

    several, own = text_of(red), text_of(red, model_id)

    assert "full.safetensors full, fp32, 4 kB not on this server" in several
    assert "pruned.safetensors pruned, fp16, 2 kB not on this server" in several
    assert "Download" in own
    assert "not on this server" not in own
    assert f"modelyard pull --url http://127.0.0.1 {model_id}<Copy Download command>" in own


def test_a_dangerous_model_says_why_and_offers_no_use(yard: App, red: Browser, tmp_path: Path) -> None:
    model_id = upload(yard, "bad", dangerous_bytes(), file_extension="pt", trigger_words=["boom"])["id"]
    checking(yard, tmp_path).verify_next()
    page = red.ask(f"/models/{model_id}").body.decode()

    assert re.search(r'class="notice refusal" id="refusal" role="status">Not available: <b>dangerous</b>, \w+', page)
    for offer in ("modelyard pull", "Download", "Use this model", "May I use it", 'Copy<span class="unseen"> Prompt'):
        assert offer not in page, offer


def test_a_guess_and_a_contradiction_are_spelled_out_and_the_rest_is_a_mark(yard: App, red: Browser) -> None:
    put(yard, replace(LORA, base_model="SD 1.5", creator="anna"))
    put(yard, Facts(base_model="Pony"), layer=Layer.USER)
    yard.put(a_model(5))
    with yard.store.transaction() as transaction:
        guess = Facts(name="g", sd_name="g.pt", type=model_type("lora"), base_model="SDXL 1.0")
        transaction.put([Entry(a_model(6, base_model="SDXL 1.0"), {Layer.GUESS: guess})])

    assert "[Pony](/?filter.base_model=Pony) set by the owner; from upstream: SD 1.5" in text_of(red)
    assert "anna (from upstream)" in text_of(red)
    assert "[SDXL 1.0](/?filter.base_model=SDXL+1.0) guessed" in text_of(red, 6)


def test_pictures_that_are_here_are_shown_with_their_prompts(yard: App, red: Browser, tmp_path: Path) -> None:
    addresses = [f"https://images.example/{number}.jpeg" for number in range(2)]
    put(yard, replace(LORA, images=tuple(Image(address, prompt=f"boat {address[-6]}") for address in addresses)))
    name = keep_cover(yard, tmp_path)
    with yard.store.transaction() as transaction:
        covers.note_address(transaction.connection, addresses[1], name, "", 1)
    page = red.ask("/models/77").body.decode()

    assert page.index("boat 1") < page.index(">boat 0")
    assert f'<img src="/covers/{name}/320.webp"' in page
    assert "images.example" not in "".join(re.findall(r'src="([^"]*)"', page))


def keep_cover(yard: App, folder: Path) -> str:
    from_folder = Covers(yard.store, FolderBlobs(folder), IncomingFiles(folder))
    return from_folder.keep(render(picture()))


@pytest.mark.parametrize(
    ("referrer", "address"),
    [
        ("http://127.0.0.1/?filter.types=lora&pagination.limit=2", "/?filter.types=lora&amp;pagination.limit=2"),
        ("http://127.0.0.1/models/1?x=1", "/"),
        ("http://evil.example/?x=1", "/"),
        ("http://[", "/"),
        # 2,048 characters are read.
        ("http://127.0.0.1/?" + "x" * 3_000, "/?" + "x" * 2_030),
        ('http://127.0.0.1/?"><script>', "/?&#34;&gt;&lt;script&gt;"),
    ],
)
def test_the_link_back_leads_to_the_list(yard: App, red: Browser, referrer: str, address: str) -> None:
    yard.put(a_model(1))

    assert f'<a href="{address}" data-leave>' in red.ask("/models/1", referer=referrer).body.decode()


def test_only_its_team_may_change_a_model(yard: App) -> None:
    yard.put(a_private(OWN, "red", sd_name="own.pt"))
    reader = signed_in(yard, "red", Scope.READ)

    assert "/edit" not in text_of(reader, OWN)
    assert 404 == signed_in(yard, "blue").ask(f"/models/{OWN}").status
