"""The page of a model shows how programs of the Hugging Face Hub load it."""

import html

from tests.web.hub.stocked import Stocked
from tests.web.pages.test_pages import signed_in


def test_the_page_has_commands_with_the_models_name(stock: Stocked) -> None:
    page = html.unescape(signed_in(stock.yard).ask(f"/models/{stock.night}").body.decode())

    assert f"export HF_ENDPOINT=http://127.0.0.1/hf\nexport HF_TOKEN=$KEY\nhf download {stock.private}" in page
    assert f"pipeline.load_lora_weights('{stock.private}', weight_name='night_{stock.night}.safetensors')" in page
    assert f'repo: "{stock.private}", path: "night_{stock.night}.safetensors"' in page


def test_a_model_without_a_file_has_none(stock: Stocked) -> None:
    assert b"HF_ENDPOINT" not in signed_in(stock.yard).ask("/models/7").body
