"""Texts of strangers in answers of the tools: one line, short, and told where they are cut."""

import pytest

from modelyard.web.mcp.texts import LINE_CHARS_MAX, LIST_MAX, clean_line, clean_lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, ""),
        (7, "7"),
        ("a\n\u202eb\u200b  c\x07", "a b c"),
        ("x" * LINE_CHARS_MAX, "x" * LINE_CHARS_MAX),
        ("x" * (LINE_CHARS_MAX + 1), "x" * (LINE_CHARS_MAX - 1) + "…"),
        # So much is read of a text: the one is whole, of the other nobody knows the rest.
        ("x" + " " * (4 * LINE_CHARS_MAX - 1), "x"),
        ("x" + " " * (4 * LINE_CHARS_MAX), "x…"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_text_is_one_line_and_a_cut_is_told(text: object, line: str) -> None:
    assert line == clean_line(text)


def test_a_list_is_cut() -> None:
    assert ["x"] * LIST_MAX == clean_lines(["x"] * (LIST_MAX + 1))
