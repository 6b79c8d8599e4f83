"""The address with which the URLs of an answer begin."""

from typing import Any

import pytest

from modelyard.web.requests import Request
from modelyard.web.urls import UrlBuilder


@pytest.mark.parametrize(
    ("host", "server", "base"),
    [
        (b"models.example.org", ("10.0.0.1", 80), "https://models.example.org"),
        (b"[2001:db8::1]:8080", ("10.0.0.1", 80), "https://[2001:db8::1]:8080"),
        (b"h" * 255, ("10.0.0.1", 80), "https://" + "h" * 255),
        (b"h" * 256, ("10.0.0.1", 80), "https://10.0.0.1:80"),
        (b"evil.example/x", ("10.0.0.1", 80), "https://10.0.0.1:80"),
        (b'a"b', ("10.0.0.1", 8080), "https://10.0.0.1:8080"),
        (b"", ("/run/modelyard.sock", None), "https:///run/modelyard.sock"),
        (b"", None, "https://localhost"),
    ],
)
def test_it_is_the_host_that_the_client_asked_for_or_that_of_the_socket(host: bytes, server: Any, base: str) -> None:
    request = Request({"scheme": "https", "server": server}, {b"host": host} if host else {}, "1", 0)

    assert base == UrlBuilder().base_of(request)
    assert "https://public.example/x" == UrlBuilder("https://public.example/x").base_of(request)
