"""Descriptions in HTML, friendly and hostile, become plain text."""

import pytest

from modelyard.civitai.markup import TEXT_CHARS_MAX, html_of_text, text_of_html


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>One <b>bold</b> word</p><p>two&nbsp;&amp; more</p>", "One bold word\n\ntwo & more"),
        ("a<br>b<br/>c<BR >d", "a\nb\nc\nd"),
        ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
        ("<h2>Title</h2><pre>x\ny</pre>", "Title\n\nx\ny"),
        ("use &lt;lora:night:0.8&gt;, 5 < 6, I <3 it", "use <lora:night:0.8>, 5 < 6, I <3 it"),
        ("plain\r\n\n\n\ntext ", "plain\n\ntext"),
        ('<a href="javascript:alert(1)" title="a > b">link</a>', "link"),
        ("a<script>alert(1)</script>b<STYLE\n>x{}</sTyle \n>c", "abc"),
        ("a<script>alert(1)", "a"),
        ("a<!-- <b> --><!-- never closed", "a"),
        ("a<img src=x onerror=alert(1)", "a"),
        ("<<b>script>alert(1)<<b>/script>c", "c"),
        ("<scr<script></script>ipt>alert(1)</script>", "alert(1)"),
        ("<svg onload=alert(1)><circle></svg>b", "b"),
        ("a&#0;b&#xD800;c\x08\x9fd", "a\ufffdb\ufffdcd"),
        ("", ""),
    ],
)
def test_a_description_becomes_text_without_tags_scripts_and_control_characters(source: str, text: str) -> None:
    assert text == text_of_html(source)
    assert text == text_of_html(html_of_text(text))


@pytest.mark.parametrize("unit", ["<", "<a", '<a "', "<a '\"", "<script>", "<!--", "<<b>", "&lt", "<p>", "<br", "\n "])
def test_text_that_was_made_to_be_slow_takes_no_longer_and_stays_within_the_limit(unit: str) -> None:
    assert TEXT_CHARS_MAX >= len(text_of_html(unit * (1_000_000 // len(unit))))
