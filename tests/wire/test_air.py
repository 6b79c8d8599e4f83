"""AIR: the name of a model version is read and written."""

import pytest

from modelyard.domain import OWN_ID_MIN, model_type
from modelyard.wire.air import Air, air_of, parse_air
from tests.app_fixture import a_model


@pytest.mark.parametrize(
    ("text", "air"),
    [
        ("urn:air:sd1:checkpoint:civitai:4201@114600", Air("sd1", "checkpoint", 4201, 114600)),
        ("air:SDXL:lora:civitai:7@77", Air("sdxl", "lora", 7, 77)),
    ],
)
def test_a_name_is_read_in_its_usual_spellings(text: str, air: Air) -> None:
    assert air == parse_air(text) == parse_air(str(air))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "urn:air:",
        "urn:air:sd1:lora:civitai:7",
        "urn:air:sd1:lora:civitai:7@",
        "urn:air:sd1:lora:huggingface:7@8",
        "urn:air:sd1:lora:civitai:７@8",
        f"urn:air:sd1:lora:civitai:{'9' * 16}@8",
        "urn:air:sd1:lora:civitai:7@8/x",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 # it has no message: the caller says what is accepted
        parse_air(text)


@pytest.mark.parametrize(
    ("kind", "base_model", "is_sdxl", "name"),
    [
        ("checkpoint", "SD 1.5", False, "urn:air:sd1:checkpoint:civitai:7@77"),
        ("locon", "Pony", True, "urn:air:sdxl:lycoris:civitai:7@77"),
        ("textualinversion", "SD 2.1 768", False, "urn:air:sd2:embedding:civitai:7@77"),
        ("hypernetwork", "SD 3.5", False, "urn:air:sd3:hypernet:civitai:7@77"),
        ("motionmodule", "Stable Cascade", False, "urn:air:scascade:motion:civitai:7@77"),
        ("lora", "Flux.1 D", False, "urn:air:flux1:lora:civitai:7@77"),
        ("lora", "Wan Video", False, "urn:air:wanvideo:lora:civitai:7@77"),
        ("ünknown", "", False, "urn:air:other:nknown:civitai:7@77"),
    ],
)
def test_a_version_of_civitai_has_a_name(kind: str, base_model: str, is_sdxl: bool, name: str) -> None:
    model = a_model(77, type=model_type(kind), base_model=base_model, is_sdxl=is_sdxl)

    assert name == str(air_of(model, 7))
    assert air_of(model, 7) == parse_air(name)


def test_another_model_has_none() -> None:
    assert (None, None) == (air_of(a_model(77), None), air_of(a_model(OWN_ID_MIN), 7))
