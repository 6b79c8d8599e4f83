"""Cards: the placeholders of models without a cover, and that what users write is text. How they look is for a browser
(tests/browser)."""

import re
from pathlib import Path

from modelyard import web, wire
from modelyard.domain import model_type
from modelyard.index import ListedModel
from modelyard.web.pages import cards
from tests.app_fixture import a_model

TYPES = ("checkpoint", "lora", "textualinversion", "vae", "controlnet", "upscaler", "poses")


def drawing_of(type_name: str, number: int) -> str:
    model = a_model(number, type=model_type(type_name), name=f"Model {number}", sd_name=f"model {number}.pt")
    art = cards.build_card(cards.decode_record(wire.render_record(model, 60)), None).art
    assert art is not None
    return art.address.partition("#")[2]


def test_each_drawing_is_shown_for_one_type_and_each_type_has_its_own() -> None:
    symbols = re.findall(r'<symbol id="([a-z]+)"', (Path(web.__file__).parent / "static" / "art.svg").read_text())

    drawings = [sorted({drawing_of(type_name, number) for number in range(200)}) for type_name in TYPES]

    assert sorted(symbols) == sorted(name for names in drawings for name in names)


def test_what_users_write_is_text_in_a_card() -> None:
    model = a_model(7, name="<i>v1</i>", base_model='"SD" & <u>', is_nsfw=True)
    listed = ListedModel(wire.pack_record(model), "<b>A_title</b>", 12, 5_000, None, None, 3)

    (card,) = cards.Cards().render_all([listed])

    assert 'class="unseen">Choose &lt;b&gt;A_title&lt;/b&gt;<' in card
    assert "&lt;b&gt;A_<wbr>title&lt;/b&gt;" in card
    assert "&lt;i&gt;v1&lt;/i&gt; · 3 versions" in card
    assert "· &#34;SD&#34; &amp; &lt;u&gt; <span" in card
    assert not re.search("<[biu]>", card)
