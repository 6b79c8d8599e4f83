"""A README.md as facts: what maps, what is named as not used, and that nothing in it is an error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.facts import Facts
from modelyard.registry.readme import parse_readme


def test_front_matter_and_text_become_facts() -> None:
    readme = parse_readme(
        b"---\nlicense: mit\ntags: [night, 'base_model:a/b', not-for-all-audiences]\ninstance_prompt: a, b\n"
        b"pipeline_tag: text-to-image\ndatasets: [x/y]\n---\n# Night harbour\n\nA LoRA\nof harbours.\n"
    )

    assert ("mit", ("night",), True) == (readme.facts.licence and readme.facts.licence.id, readme.facts.tags, True)
    assert (("a", "b"), True) == (readme.facts.trigger_words, readme.facts.is_nsfw)
    assert ("Night harbour", "A LoRA\nof harbours.") == (readme.facts.title, readme.facts.description)
    assert ("datasets",) == readme.ignored


def test_a_licence_with_a_link_is_that_link() -> None:
    readme = parse_readme(b"---\nlicense: other\nlicense_name: my own\nlicense_link: https://example.org/l\n---\n")

    assert readme.facts.licence is not None
    assert "https://example.org/l" == readme.facts.licence.url


@pytest.mark.parametrize(
    ("content", "ignored"),
    [
        (b"---\ntags: [\n---\n", "front matter (not YAML)"),
        (b"---\n" + b"a: b\n" * 8000 + b"---\n", "front matter (longer than 32,768 characters)"),
        (b"---\ntags: ['%s']\n---\n" % (b"x" * 101), "tags (tags: "),
        (b"# " + b"x" * 300, "title (title: "),
        (b"x" * 20_001, "text (description: "),
    ],
)
def test_what_cannot_be_used_is_named(content: bytes, ignored: str) -> None:
    readme = parse_readme(content)

    assert 1 == len(readme.ignored)
    assert readme.ignored[0].startswith(ignored)
    assert Facts() == readme.facts


@given(content=st.binary(max_size=200), is_yaml=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_bytes_can_be_read(content: bytes, is_yaml: bool) -> None:
    parse_readme(b"---\n" + content + b"\n---\n" if is_yaml else content)
