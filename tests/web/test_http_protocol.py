"""The parts of uvicorn that our HTTP protocol relies on. test_errors.py and test_server.py cover what it does."""

import inspect

import pytest
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard.web.http_protocol import WAITING_BODY_BYTES_MAX, HTTPProtocol

CALLED_BY_ASYNCIO = ("connection_made", "connection_lost", "data_received")
CALLED_BY_HTTPTOOLS = ("on_message_begin", "on_headers_complete", "on_message_complete")
CALLED_BY_A_REQUEST = ("on_response_complete",)


def names_in(function: object) -> set[str]:
    assert inspect.isfunction(function)
    return {*function.__code__.co_names}


@pytest.mark.parametrize("name", [*CALLED_BY_ASYNCIO, *CALLED_BY_HTTPTOOLS, *CALLED_BY_A_REQUEST, "send_400_response"])
def test_uvicorn_has_each_method_that_is_overridden_with_the_same_parameters(name: str) -> None:
    theirs, ours = getattr(HttpToolsProtocol, name), getattr(HTTPProtocol, name)

    assert [*inspect.signature(theirs).parameters] == [*inspect.signature(ours).parameters]


def test_no_private_method_or_attribute_of_uvicorn_is_overridden() -> None:
    overridden = {name for name in vars(HTTPProtocol) if hasattr(HttpToolsProtocol, name) and not name.startswith("__")}

    assert {*CALLED_BY_ASYNCIO, *CALLED_BY_HTTPTOOLS, *CALLED_BY_A_REQUEST, "send_400_response"} == overridden


def test_uvicorn_sends_a_400_response_from_where_it_parses() -> None:
    assert {"feed_data", "send_400_response"} <= names_in(HttpToolsProtocol.data_received)


def test_uvicorn_has_the_attributes_that_are_used() -> None:
    assert "transport" in names_in(HttpToolsProtocol.connection_made)
    assert {"client"} <= names_in(HttpToolsProtocol.connection_made)
    assert "on_response_complete" in names_in(HttpToolsProtocol.on_headers_complete)
    assert {"cycle", "response_complete"} <= names_in(HttpToolsProtocol.on_message_complete)
    assert {"loop", "transport"} <= names_in(HttpToolsProtocol.__init__)
    assert b"HTTP/1.1 431 " == httptools_impl.STATUS_LINE[431][:13]


def test_uvicorn_pauses_a_connection_at_our_limit() -> None:
    assert {"HIGH_WATER_LIMIT", "pause_reading"} <= names_in(HttpToolsProtocol.on_body)
    assert WAITING_BODY_BYTES_MAX == httptools_impl.HIGH_WATER_LIMIT
