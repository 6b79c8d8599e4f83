"""What is kept of a header's notes, and how much. Not here: what they say of base and type (test_identify)."""

import json

import pytest

from modelyard.inspection.header_metadata import bounded, trigger_words


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"modelspec.trigger_phrase": "hero,  a \n cape"}, ("hero", "a", "cape")),
        (
            {"trigger_phrase": "a", "trained_words": "b", "ss_trigger_words": "c", "activation text": "a"},
            ("a", "b", "c"),
        ),
        ({"trigger_phrase": "w" * 121}, ("w" * 120,)),
        ({"trigger_phrase": "\x1b[31mred, blue"}, ("blue",)),
        ({"trigger_phrase": ",".join(f"w{n}" for n in range(31))}, tuple(f"w{n}" for n in range(30))),
        ({"ss_tag_frequency": json.dumps({"a": {"hero": 100, "cape": 95, "sky": 94, "no": "100"}})}, ("hero", "cape")),
        ({"ss_tag_frequency": json.dumps({"a": {"x": 1}, "b": {"y": 9}, "c": []})}, ("y", "x")),
        ({"ss_tag_frequency": json.dumps({"a": {"x": 1}}), "trigger_phrase": "z"}, ("z", "x")),
        ({"ss_tag_frequency": "[" * 100_000}, ()),
        ({"ss_tag_frequency": "[]"}, ()),
        ({"ss_tag_frequency": json.dumps({"a": {"x": 1}}).ljust((8 << 20) + 1)}, ()),
        ({"ss_tag_frequency": json.dumps({"a": {"x": 1}}).ljust(8 << 20)}, ("x",)),
    ],
    ids=range(12),
)
def test_trigger_words_are_the_authors_then_those_of_nearly_every_caption(
    metadata: dict[str, str], words: tuple[str, ...]
) -> None:
    assert words == trigger_words(metadata)


@pytest.mark.parametrize(
    ("metadata", "shortened"),
    [
        ({"a": "x" * 2_000}, {"a": "x" * 2_000}),
        ({"a": "x" * 2_001}, {"a": "x" * 2_000 + "… (2,001 characters)"}),
        ({"a": "data:" + "x" * 50}, {"a": "data:" + "x" * 35 + "… (55 characters)"}),
        ({"k" * 201: "a"}, {"k" * 200: "a"}),
        ({"a\0": "b\0"}, {"a\N{REPLACEMENT CHARACTER}": "b\N{REPLACEMENT CHARACTER}"}),
        ({f"k{n}": "" for n in range(201)}, {f"k{n}": "" for n in range(200)}),
        ({f"k{n:02}": "x" * 1_997 for n in range(33)}, {f"k{n:02}": "x" * 1_997 for n in range(32)}),
        ({f"k{n:02}": "x" * 1_997 for n in range(32)} | {"a": ""}, {f"k{n:02}": "x" * 1_997 for n in range(32)}),
    ],
    ids=range(8),
)
def test_metadata_is_kept_up_to_a_length_of_each_and_of_all(
    metadata: dict[str, str], shortened: dict[str, str]
) -> None:
    assert shortened == bounded(metadata)
