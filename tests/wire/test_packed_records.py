"""Records in the index: what is left out comes back, byte for byte."""

import json

from hypothesis import given
from hypothesis import strategies as st

from modelyard import wire
from modelyard.domain import MODEL_TYPES, Hashes, Model, Source
from modelyard.wire.packed_records import pack, unpack
from tests.strategies import models


@given(found=st.lists(models(), min_size=1, max_size=5))
def test_a_page_of_packed_records_is_that_of_the_records(found: list[Model]) -> None:
    whole = [wire.render_record(model) for model in found]
    packed = [wire.pack_record(model) for model in found]

    assert whole == [unpack(record) for record in packed]
    assert wire.join_page(whole, None) == wire.join_page(packed, None)


def test_keys_in_texts_and_control_characters_come_back() -> None:
    odd = '","sd_name":"\x03\x04],"cover_url":"'
    model = Model(1, odd, odd, MODEL_TYPES["lora"], Source.CIVITAI, tags=(odd, "\x05"), base_model=odd)

    assert wire.render_record(model) == unpack(wire.pack_record(model))
    assert odd == json.loads(wire.fill_holes(wire.pack_record(model), lambda *_: ""))["name"]


def test_half_of_a_usual_record_is_left_out() -> None:
    model = Model(
        7, "v1", "night_7.safetensors", MODEL_TYPES["lora"], Source.CIVITAI, base_model="SD 1.5",
        base_model_type="Standard", tags=("anime",), hashes=Hashes(sha256="A" * 64),
        cover_url="https://image.civitai.com/xG1nkqKTMzGDvpLrqFT7WA/1a2b/width=450/1.jpeg",
    )  # fmt: skip # one line for what does not matter

    assert 2 * len(pack(wire.render_record(model))) < len(wire.render_record(model))
