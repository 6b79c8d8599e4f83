"""Marks say the same in every order, and each finds the file that it describes.

Not covered here: what each mark concludes (tests/inspection/answers).
"""

from itertools import product

from modelyard.inspection import UNKNOWN, Header, Tensor, identify
from modelyard.inspection.families import read_families, read_records
from modelyard.inspection.layers import PREFIXES, layers_of, prefixes_of
from modelyard.inspection.marks import Mark, first_match, read_marks
from tests.inspection.expectations import expectations
from tests.real_input import data_dir


def header_of(mark: Mark, prefix: str = "") -> Header:
    """The smallest header that a mark without words of its own describes."""
    shapes = {name: [33, 33, 33, 33] for name in mark.needs}
    for size in mark.sizes:
        shapes[size.tensor][size.axis] = min(size.sizes)
    shapes |= {start + "0.weight": [33, 33] for start in mark.begins}
    return Header({prefix + name: Tensor("F16", tuple(shape)) for name, shape in shapes.items()})


PLAIN = [mark for mark in read_marks() if not mark.words]


def test_every_mark_finds_the_header_that_it_describes_under_every_prefix() -> None:
    for mark, prefix in product(PLAIN, ("", *PREFIXES)):
        match = first_match(header_of(mark, prefix), ("", *PREFIXES))

        assert match is not None, mark.name
        assert mark.family.name == match[0].family.name, (mark.name, prefix, match[0].name)


def test_of_marks_that_ask_for_as_much_no_two_of_different_families_fit_one_header() -> None:
    for mark in PLAIN:
        header = header_of(mark)
        equals = [other for other in PLAIN if other.rank == mark.rank and other.matches(header, "")]

        assert {mark.family.name} == {other.family.name for other in equals}, mark.name


def test_the_marks_of_a_recorded_headers_kind_name_one_architecture() -> None:
    """A checkpoint holds a VAE and encoders, which other marks know."""
    for each in expectations(data_dir()):
        header = each.header() if each.is_header else Header({})
        prefixes = prefixes_of(layers_of(header))
        matching = [mark.family for mark in read_marks() if any(mark.matches(header, prefix) for prefix in prefixes)]
        found = {family.architecture for family in matching if family.type == matching[0].type} - {UNKNOWN}

        assert len(found) <= 1, (each.name, found)


def test_names_of_marks_are_unique_and_every_base_that_a_record_borrows_is_there() -> None:
    names = [mark.name for mark in read_marks()]

    assert len(set(names)) == len(names)
    assert set() == {record["base_of"] for record in read_records().values() if "base_of" in record} - set(
        read_families()
    )


def test_a_file_with_one_tensor_more_than_an_embedding_has_is_none() -> None:
    embedding = {"clip_l": Tensor("F16", (4, 768)), "clip_g": Tensor("F16", (4, 1280))}

    assert "textualinversion" == identify(Header(embedding)).type.value
    assert not identify(Header({**embedding, "other": Tensor("F16", (4, 768))})).type.is_known
