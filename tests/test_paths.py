"""Paths as bytes, and small YAML files."""

import pytest

from modelyard import paths


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        (b"/a/b", b"/a", True),
        (b"/a/b", b"/a/", True),
        (b"/a", b"/a", True),
        (b"/a", b"/", True),
        (b"/ab", b"/a", False),
        (b"/", b"/a", False),
    ],
)
def test_a_path_is_inside_a_folder_by_whole_names(path: bytes, root: bytes, expected: bool) -> None:
    assert expected == paths.is_inside(path, root)


def test_a_path_that_is_no_text_is_shown_with_replacements() -> None:
    assert "a\ufffdb" == paths.display_path(b"a\xffb")


def test_yaml_values_are_texts() -> None:
    assert {"a": "2024-01-01", "b": ["1", "yes"]} == paths.read_yaml(b"a: 2024-01-01\nb: [1, yes]")


@pytest.mark.parametrize("raw", [b"a: [", b"!!python/object:os.system {}: [", 5_000 * b"[", b"\xff\xfe\xfd"])
def test_what_is_no_yaml_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not YAML: "):
        paths.read_yaml(raw)
