"""`modelyard verify`: check the index and the database for damage."""

import click

from modelyard import errors
from modelyard.cli import context, home, options, output
from modelyard.index import DamagedSegmentError
from modelyard.store import integrity
from modelyard.store.damage import WHAT_TO_DO


@click.command(epilog="Example: modelyard verify")
@options.home_and_quiet_options
@options.json_option
def verify(as_json: bool) -> None:
    """Check every byte of the index against its checksums, and run the database's own check.

    Damaged parts of the index are removed from use; the running server or the next start builds them again. Restore a
    damaged database from a backup. The exit code is 1 if anything is damaged.
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
    if as_json:
        output.write_json([{"part": part, "problem": problem} for part, problem in problems.items()])
    else:
        rows = ((part, problem or "no damage") for part, problem in problems.items())
        output.write_table(("part", "result"), rows, prose=("result",))
    if database_problems:
        raise errors.DatabaseDamaged(f"the database is damaged: {WHAT_TO_DO}")
    if any(problems.values()):
        raise errors.IndexDamaged("the index is damaged; the next start builds it again")
