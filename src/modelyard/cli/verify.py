"""`modelyard verify`: check the index and the database for damage."""

import click

from modelyard import errors
from modelyard.cli import context, home, options, output
from modelyard.index import DamagedSegmentError
from modelyard.settings import Settings
from modelyard.store import integrity
from modelyard.store.damage import WHAT_TO_DO
from modelyard.uploads.comparison import Comparison


@click.command(epilog="Example: modelyard verify")
@options.home_and_quiet_options
@click.option("--files", "with_files", is_flag=True, help="Also compare the stored files with the database, both ways.")
@options.json_option
def verify(with_files: bool, as_json: bool) -> None:
    """Check every byte of the index against its checksums, and run the database's own check.

    Damaged parts of the index are removed from use; the running server or the next start builds them again. Restore a
    damaged database from a backup. The exit code is 1 if anything is damaged.

    --files compares names and sizes, and reads no bytes. Models whose bytes are lost become unavailable, with this
    reason; those whose bytes are back become available. Files that the database does not know are listed:
    `modelyard gc --unknown` removes them.
    """
    config = home.load_settings()
    database_problems = integrity.problems(config.database_url)
    unused = None
    problems = {} if database_problems is None else {"database": "; ".join(database_problems)}
    if not database_problems:
        with context.open_catalog(config) as catalog:
            unused = catalog.unused_segments()
            for name, result in catalog.verify().items():
                problems[name] = result.problem if isinstance(result, DamagedSegmentError) else ""
    if unused:
        output.remark(f"the index on disk is not used: {unused}; the running server or the next start builds it again")
    comparison = _compare_files(config) if with_files and not database_problems else None
    if comparison is not None:
        problems["files"] = f"{len(comparison.lost):,} lost" if comparison.lost else ""
    if as_json:
        output.write_json([{"part": part, "problem": problem} for part, problem in problems.items()])
    else:
        rows = ((part, problem or "no damage") for part, problem in problems.items())
        output.write_table(("part", "result"), rows, prose=("result",))
    if comparison is not None:
        _report(comparison)
    if database_problems:
        raise errors.DatabaseDamaged(f"the database is damaged: {WHAT_TO_DO}")
    if problems.pop("files", ""):
        raise errors.IndexDamaged(
            "the file store lacks files that the database names; restore them, or send them again"
        )
    if any(problems.values()):
        raise errors.IndexDamaged("the index is damaged; the next start builds it again")


def _compare_files(config: Settings) -> Comparison:
    with context.open_comparer(config) as comparer:
        return comparer.compare()


def _report(comparison: Comparison) -> None:
    """Write the files that differ, and what became of their models."""
    for verb, files in (("lost", comparison.lost), ("unknown", comparison.unknown)):
        for file in files:
            output.remark(f"{verb}: {file.sha256} {file.size_bytes:>15,}")
    if comparison.unavailable_models:
        output.remark(f"{comparison.unavailable_models:,} models became unavailable, because their bytes are lost")
    if comparison.available_models:
        output.remark(f"{comparison.available_models:,} models became available, because their bytes are back")
    if comparison.unknown:
        output.remark("`modelyard gc --unknown` removes the files that the database does not know")
