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
        ("<<b>b>c", "c"),
        ("<<<b>b>b>c", "c"),
        ("<<<<b>b>b>b>c", "c"),
        ("<<<<<b>b>b>b>b>c", "b>c"),
        (" \t\xa0a \n b\x85c", "a\nbc"),
        ("5 < 6 &amp; 7 > 3", "5 < 6 & 7 > 3"),
        ("<template>x</template><title>x</title><noscript>x</noscript>a<iframe>x</iframe><object>x</object>b", "ab"),
        ("<math>x</math>a<?php x ?>b<!doctype html>c</span>d", "abcd"),
        (
            "a<div>b<hr>c<h1>d</h6>e<ol>f<dl>g<table>h<blockquote>i<pre>j<section>k<article>l",
            "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl",
        ),
        ("a<header>b<footer>c<figure>d<figcaption>e<li>f<dt>g<dd>h<tr>i<hr2>j<pa>k", "a\nb\nc\nd\ne\nf\ng\nh\nijk"),
    ],
)
def test_a_description_becomes_text_without_tags_scripts_and_control_characters(source: str, text: str) -> None:
    assert text == text_of_html(source)
    assert text == text_of_html(html_of_text(text))


@pytest.mark.parametrize("unit", ["<", "<a", '<a "', "<a '\"", "<script>", "<!--", "<<b>", "&lt", "<p>", "<br", "\n "])
def test_text_that_was_made_to_be_slow_takes_no_longer_and_stays_within_the_limit(unit: str) -> None:
    assert TEXT_CHARS_MAX >= len(text_of_html(unit * (1_000_000 // len(unit))))


def test_a_description_is_read_up_to_a_limit_and_its_text_is_cut_at_another() -> None:
    assert "" == text_of_html("<b>" + 250_000 * " " + "a")
    assert "a" == text_of_html("<b>" + 249_996 * " " + "a")
    assert 20_000 * "a" == text_of_html(20_001 * "a")
    assert 19_999 * "a" == text_of_html(19_999 * "a" + " b")


def test_text_as_html_is_escaped_and_keeps_its_lines() -> None:
    assert '<p>a &lt; b &amp; "c"<br>d</p>' == html_of_text('a < b & "c"\nd')
