"""Descriptions: HTML of any author → plain text, and back for programs that expect HTML.

    scripts, styles, comments   removed with their content
    tags of blocks              line breaks
    other tags                  removed
    entities                    characters, last of all: what was written as text stays text

The text is no HTML: whoever shows it in a page escapes it. The expressions read each character a fixed number of times,
also of text that was made to be slow.
"""

import html
import re

TEXT_CHARS_MAX = 20_000
# Real descriptions have up to 100,000 characters of HTML, most of it addresses of pictures.
_HTML_CHARS_MAX = 250_000
_TAG_ROUNDS_MAX = 4

_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|template|title|noscript|iframe|object|svg|math)\b.*?(?:</\1\b[^<>]*(?:>|\Z)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
# A "<" never begins inside a tag, so that text with many of them is not read again and again. Quotes may hold a ">".
_REST_OF_TAG = r"(?:[^<>\"']|\"[^\"<]*\"|'[^'<]*'|[\"'])*?(?:>|\Z)"
_BLOCK = re.compile(
    r"<(?:/?(?:p|div|br|hr|h[1-6]|ul|ol|dl|table|blockquote|pre|section|article|header|footer|figure|figcaption)"
    rf"|li|dt|dd|tr)(?![a-zA-Z0-9]){_REST_OF_TAG}",
    re.IGNORECASE,
)
_TAG = re.compile(rf"<[a-zA-Z/!?]{_REST_OF_TAG}")
_START_OF_TAG = re.compile(r"<(?=[a-zA-Z/!?])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SPACES = re.compile(r"[ \t\xa0]+")
_SPACES_AT_BREAKS = re.compile(r" ?\n ?")
_BREAKS = re.compile(r"\n{3,}")


def text_of_html(source: str) -> str:
    """Return the text of an HTML description, at most ``TEXT_CHARS_MAX`` characters; plain text stays as it is."""
    text = source[:_HTML_CHARS_MAX].replace("\r\n", "\n")
    if "<" in text:
        text = _remove_tags(text)
    if "&" in text:
        text = html.unescape(text)
    text = _SPACES.sub(" ", _CONTROL.sub("", text))
    text = _BREAKS.sub("\n\n", _SPACES_AT_BREAKS.sub("\n", text)).strip()
    return text[:TEXT_CHARS_MAX].rstrip()


def _remove_tags(text: str) -> str:
    # What is left after a tag is removed may be a tag again: "<<b>script>".
    for _ in range(_TAG_ROUNDS_MAX):
        text = _TAG.sub("", _BLOCK.sub("\n", _HIDDEN.sub("", text)))
        if not _START_OF_TAG.search(text):
            return text
    return _START_OF_TAG.sub("", text)


def html_of_text(text: str) -> str:
    """Return HTML that ``text_of_html`` reads back as the text."""
    return "<p>" + html.escape(text, quote=False).replace("\n", "<br>") + "</p>"
