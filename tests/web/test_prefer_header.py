"""Which preferences a Prefer header has, and what the answer says of them."""

import pytest

from modelyard.web.prefer_header import NOTHING, applied_header, read_preferences


@pytest.mark.parametrize(
    ("header", "applied"),
    [
        ("", ""),
        ("handling=strict", "handling=strict"),
        ('handling="strict"', "handling=strict"),
        ('handling="strict', ""),
        (" Handling = STRICT ; a=b", "handling=strict"),
        ("handling=lenient", ""),
        ("count=exact", "count=exact"),
        ("count=estimated", ""),
        ("count=exact, handling=strict", "handling=strict, count=exact"),
        ("handling=lenient, handling=strict", ""),
        ("wait=10, handling=strict", "handling=strict"),
        ("handling=strict".rjust(1024), "handling=strict"),
        ("handling=strict".rjust(1025), ""),
    ],
)
def test_known_preferences_are_applied(header: str, applied: str) -> None:
    assert applied == applied_header(read_preferences(header.encode())).decode()


def test_a_count_that_was_estimated_is_said_to_be() -> None:
    preferences = read_preferences(b"count=exact, handling=strict")

    assert b"handling=strict, count=estimated" == applied_header(preferences, is_exact=False)


def test_without_a_header_nothing_is_preferred() -> None:
    assert (False, False) == (NOTHING.strict, NOTHING.exact_count)
