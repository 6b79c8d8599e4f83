"""What a visitor chose for the gallery, and the filters that the box of words offers.

Not covered here: whole pages (test_page_texts.py), what visitors click (tests/browser).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.domain import MODEL_TYPES, Source
from modelyard.facts import Facts, Layer, Record
from tests.app_fixture import App, a_model, open_app


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, anonymous_access="public") as app:
        names = ("one", "two", "three", "four", "five")
        app.put(*(a_model(n, tags=(f"harbour {name}",)) for n, name in enumerate(names, 1)), a_model(9, is_nsfw=True))
        yield app


def models_of(yard: App, cookie: str) -> list[str]:
    page = yard.ask("/", None, cookie=cookie).body.decode()
    return sorted(set(re.findall(r'href="/models/(\d+)', page)))


@pytest.mark.parametrize(
    ("cookie", "has_all"),
    [("modelyard_nsfw=hidden", False), ("modelyard_nsfw=blurred", True), ("modelyard_nsfw=shown", True), ("x=y", True)],
)
def test_models_that_are_not_safe_for_work_are_left_out_for_who_hides_them(
    yard: App, cookie: str, has_all: bool
) -> None:
    assert ["1", "2", "3", "4", "5", *(["9"] if has_all else [])] == models_of(yard, cookie)


def test_four_filters_are_offered_for_the_words(yard: App) -> None:
    types = ("checkpoint", "lora", "vae", "upscaler", "dora")
    yard.put(*(a_model(20 + n, type=MODEL_TYPES[name], tags=types) for n, name in enumerate(types)))
    page = yard.ask(f"/?filter.search={'+'.join(types)}", None).body.decode()
    offers = re.findall(r"<li><a rel=\"nofollow\" href=\"[^\"]+\">([^<]+) <span aria-hidden", page)

    assert ["Type: Checkpoint (1)", "Type: LoRA family (2)", "Type: VAE (1)", "Type: Upscaler (1)"] == offers


def test_what_users_write_is_text_in_a_filter(yard: App) -> None:
    yard.put(a_model(30, tags=('<b>"a"</b>',)))
    page = yard.ask("/?filter.tags=%3Cb%3E%22a%22%3C/b%3E", None).body.decode()

    assert "<span>#&lt;b&gt;&#34;a&#34;&lt;/b&gt;</span>" in page
    assert '<b>"' not in page


@pytest.mark.parametrize(
    ("query", "cards"),
    [("", 1), ("?versions=singly", 3), ("?versions=other", 1), ("?versions=singly&versions=singly", 3)],
)
def test_versions_are_one_card_or_single_ones(tmp_path: Path, query: str, cards: int) -> None:
    with open_app(tmp_path, anonymous_access="public") as yard:
        shared = Facts(type=MODEL_TYPES["lora"], title="Harbour", upstream_model_id=7)
        facts = [replace(shared, name=f"v{n}", sd_name=f"a_{n}.pt") for n in range(3)]
        records = [Record(10 + n, Source.CIVITAI, Layer.UPSTREAM, each) for n, each in enumerate(facts)]
        assert 3 == len(list(yard.catalog.register_many(records)))
        page = yard.ask(f"/{query}", None).body.decode()
        grid = page[page.index("<main") :]

        assert cards == len(set(re.findall(r'href="/models/(\d+)', grid)))
        # The links of the filters keep the choice, once.
        kept = [address.count("versions=singly") for address in re.findall(r'href="(/\?[^"]*filter[^"]*)"', page)]
        assert {int(cards == 3)} == set(kept)
