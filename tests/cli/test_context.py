"""How the settings and the environment become the guard of requests to other servers.

Not covered here: what the guard does (tests/outbound).
"""

from pathlib import Path

import pytest

from modelyard import errors, settings
from modelyard.cli.context import create_outbound
from modelyard.outbound import Outbound

PRIVATE = "http://10.0.0.1/x"


def guard(home: Path, environ: dict[str, str] | None = None, **values: str) -> Outbound:
    config = settings.load(home, {f"MODELYARD_OUTBOUND_{name.upper()}": value for name, value in values.items()})
    return create_outbound(config, environ or {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "http is not accepted; use https, or set outbound_allow_http"),
        ({"allow_http": "no"}, "http is not accepted; use https, or set outbound_allow_http"),
        ({"allow_http": "yes"}, "'10.0.0.1' leads to 10.0.0.1, which is no public address"),
        ({"allow_http": "yes", "networks": "192.168.0.0/16"}, "leads to 10.0.0.1, which is no public address"),
    ],
)
def test_only_public_addresses_by_https_are_reached_by_default(
    tmp_path: Path, values: dict[str, str], message: str
) -> None:
    with pytest.raises(errors.AddressRefused, match=message):
        guard(tmp_path, **values).policy.find_addresses(PRIVATE)


def test_the_networks_of_the_setting_are_reached(tmp_path: Path) -> None:
    opened = guard(tmp_path, allow_http="yes", networks="192.168.0.0/16,10.0.0.0/8")

    assert ["10.0.0.1"] == opened.policy.find_addresses(PRIVATE)


def test_a_token_of_the_environment_is_for_its_own_server(tmp_path: Path) -> None:
    tokens = guard(tmp_path, {"HF_TOKEN": " hf_x\n", "CIVITAI_TOKEN": "", "OTHER_TOKEN": "y"})
    both = guard(tmp_path, {"HF_TOKEN": "hf_x", "CIVITAI_TOKEN": "c"})
    addresses = ("https://huggingface.co/x", "https://civitai.com/x", "http://huggingface.co/x", "https://a.example/x")

    assert [True, False, False, False] == [tokens.has_token(address) for address in addresses]
    assert ["hf_x"] == [*tokens.tokens.values()]
    assert [True, True, False, False] == [both.has_token(address) for address in addresses]
    assert "hf_x" not in repr(both)


@pytest.mark.parametrize("token", ["a\nb", "ä", "a\x7f"])
@pytest.mark.parametrize("name", ["HF_TOKEN", "CIVITAI_TOKEN"])
def test_a_token_that_is_none_is_refused_without_its_letters(tmp_path: Path, name: str, token: str) -> None:
    with pytest.raises(errors.ConfigurationError) as refused:
        guard(tmp_path, {name: token})

    assert f"{name} holds characters that no token has" == refused.value.message
