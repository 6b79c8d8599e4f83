"""Covers in a browser: sized and loaded late, chosen as a file, blurred where they are not safe for work."""

from __future__ import annotations

import re
from pathlib import Path

from tests import requirements
from tests.pictures import picture
from tests.transfers import lora_bytes

from .browsing import Browsing
from .conftest import Yard
from .test_teams import upload

expect = requirements.module("playwright.sync_api").expect


def test_a_cover_is_chosen_shown_in_the_size_that_is_needed_and_taken_away(
    browsing: Browsing, yard: Yard, tmp_path: Path
) -> None:
    file, cover = tmp_path / "covered.safetensors", tmp_path / "cover.png"
    file.write_bytes(lora_bytes(seed=11))
    cover.write_bytes(picture())
    page = browsing.window(yard.key())
    upload(page, file)
    expect(page.locator(".cover svg.art")).to_be_visible()

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Cover image").set_input_files(cover)
    page.get_by_role("link", name="Cancel").click()
    expect(page.locator(".cover svg.art")).to_be_visible()

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Cover image").set_input_files(cover)
    page.get_by_label("Not safe for work").check()
    page.get_by_role("button", name="Save").click()
    picture_shown = page.locator(".cover img")
    expect(picture_shown).to_have_attribute("srcset", re.compile(r"/320\.webp 320w, .*/1280\.webp 1280w"))
    expect(picture_shown).to_have_css("filter", re.compile("blur"))

    page.goto("/?filter.visibility=private")
    on_card = page.locator(".card img")
    expect(on_card).to_have_attribute("loading", "lazy")
    expect(on_card).to_have_js_property("complete", True)
    # A browser may take the wider one that it has from the page before; never the widest.
    assert re.search(r"/(320|640)\.webp$", on_card.evaluate("image => image.currentSrc"))
    expect(on_card).to_have_css("filter", re.compile("blur"))
    page.get_by_role("button", name="Show NSFW models").click()
    expect(on_card).to_have_css("filter", "none")
    page.get_by_role("button", name="Blur NSFW models").click()
    expect(on_card).to_have_css("filter", re.compile("blur"))

    on_card.click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Remove the cover").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".cover svg.art")).to_be_visible()


def test_what_is_no_picture_is_refused_in_place(browsing: Browsing, yard: Yard, tmp_path: Path) -> None:
    browsing.expected.add("400")
    file, text = tmp_path / "bare.safetensors", tmp_path / "text.png"
    file.write_bytes(lora_bytes(seed=12))
    text.write_text("<svg onload=alert(1)>")
    page = browsing.window(yard.key())
    upload(page, file)
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Cover image").set_input_files(text)
    page.get_by_label("Tags").fill("mine")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("alert")).to_contain_text("no picture that can be read")
    expect(page.get_by_label("Tags")).to_have_value("mine")
