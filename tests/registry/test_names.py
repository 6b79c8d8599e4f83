"""File names of models: their length, their characters, and that a model keeps its name.

Not covered here: when a library's name needs the model's id (test_scanner.py), and names over HTTP (test_tus.py).
"""

from dataclasses import replace

import pytest

from modelyard.facts import Facts, Layer
from modelyard.registry import names
from modelyard.registry.writer import merge_layer


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Night_harbour-v1.5", "Night_harbour-v1.5_7.pt"),
        ("Crème brûlée", "Creme_brulee_7.pt"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full_width_7.pt"),
        ("原神 七七", "YuanShen_QiQi_7.pt"),
        ("новый стиль", "novyy_stil_7.pt"),
        ("🙂", "slight_smile_7.pt"),
        ("\u3164", "model_7.pt"),
        ("../a\\b", "a_b_7.pt"),
        (300 * "a", 235 * "a" + "_7.pt"),
    ],
)
def test_the_name_of_an_upload_is_ascii_and_fits_into_a_folder(name: str, expected: str) -> None:
    assert expected == names.sd_name_of(name, 7, "pt")


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("By bad artist -neg.pt", "By bad artist -neg_3.pt"),
        ("原神 七七.safetensors", "原神 七七_3.safetensors"),
        ("../../sub/x.safetensors", "x_3.safetensors"),
        ("C:\\models\\x.safetensors", "x_3.safetensors"),
        ("folder/", "_3"),
        (100 * "原" + ".safetensors", 75 * "原" + "_3.safetensors"),
    ],
)
def test_the_name_of_a_version_keeps_its_script_and_has_no_separator(file_name: str, expected: str) -> None:
    assert expected == names.sd_name_of_version(file_name, 3)
    assert len(expected.encode()) <= 240


def test_the_name_of_a_file_has_no_separator_and_keeps_its_id() -> None:
    assert "a_b.pt" == names.sd_name_of_file("a\\b", "pt")
    assert 230 * "a" + "_123456.pt" == names.sd_name_of_file(250 * "a", "pt", 123456)


def test_a_model_keeps_the_name_that_an_older_rule_gave_its_file() -> None:
    older = Facts(sd_name="sub/x_3.pt", file_name="sub/x.pt", size_bytes=5)
    newer = Facts(sd_name="x_3.pt", file_name="sub/x.pt")

    merged = merge_layer(Layer.UPSTREAM, newer, older)

    assert ("sub/x_3.pt", 5) == (merged.sd_name, merged.size_bytes)
    for other in (replace(newer, sd_name="x_4.pt"), replace(newer, file_name="x.pt"), replace(newer, file_name=None)):
        assert other.sd_name == merge_layer(Layer.UPSTREAM, other, older).sd_name


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("", ("model", "", None)),
        ("a.pt", ("a", "pt", None)),
        ("a b.pt", ("a_b", "pt", "a b")),
        (" a .pt", ("a", "pt", None)),
        (".a", ("a", "", ".a")),
        ("a.", ("a", "", None)),
        ("a.b.pt", ("a.b", "pt", None)),
        (300 * "é" + ".pt", (100 * "e", "pt", 200 * "é")),
        ("\u3164.pt", ("", "pt", "\u3164")),
    ],
)
def test_a_label_is_split_into_name_extension_and_title(label: str, expected: tuple[str, str, str | None]) -> None:
    assert expected == names.split_label(label)


@pytest.mark.parametrize(
    ("sd_name", "number"),
    [
        ("x_3.pt", 3),
        ("x_3", 3),
        ("x_12_3.tar.pt", None),
        ("x.pt", None),
        ("_" + 15 * "9", 999_999_999_999_999),
        ("x_" + 16 * "9", None),
    ],
)
def test_the_file_id_of_civitai_is_read_from_the_name(sd_name: str, number: int | None) -> None:
    assert number == names.file_id_of(sd_name)


def test_a_file_without_an_extension_gets_that_of_its_format() -> None:
    formats = ("safetensors", "gguf", "onnx", "zip", "pickle", "npy", "")

    assert ["safetensors", "gguf", "onnx", "pt", "pt", "", ""] == [names.extension_of_format(name) for name in formats]


def test_a_trained_model_is_called_by_its_time_and_its_hash() -> None:
    assert "model_1700000000_ABCDEF0123.safetensors" == names.sd_name_of_training(
        1_700_000_000, "abcdef0123456789" * 4, "safetensors"
    )


def test_a_version_file_has_no_control_characters() -> None:
    assert ("a b", "pt") == names.split_version_file("folder/ a\x07\x7fb.pt ")
