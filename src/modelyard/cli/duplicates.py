"""A table of files that are the same."""

from collections.abc import Sequence

import click

from modelyard.cli import output
from modelyard.paths import display_path
from modelyard.store.files import Duplicates


def write_duplicates(groups: Sequence[Duplicates]) -> None:
    """Write groups of files that are the same, if there are any."""
    if not groups:
        return
    click.echo()
    output.write_table(
        ("duplicates", "model", "bytes", "file"),
        (
            (
                "same bytes" if group.is_same_bytes else "same tensors, other header",
                "" if file.model_id is None else str(file.model_id),
                f"{file.size_bytes:,}",
                display_path(file.path),
            )
            for group in groups
            for file in group.files
        ),
        numeric=("model", "bytes"),
    )
