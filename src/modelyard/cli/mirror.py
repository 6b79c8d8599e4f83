"""`modelyard mirror`: get the files of listed versions that are not here."""

import click

from modelyard import errors
from modelyard.cli import context, home, options, output
from modelyard.cli.fetch_queue import AT_ONCE, FetchQueue
from modelyard.cli.transfer import limit_rate_option
from modelyard.domain import MODEL_TYPES
from modelyard.fetches import Fetches, Selection, choose_versions
from modelyard.fetches.fetches import FetchRequest
from modelyard.fetches.mirror import Candidate
from modelyard.fetches.sources import VersionSource
from modelyard.store import jobs


@click.command(epilog="Example: modelyard mirror --types lora --base-model Illustrious --limit 500 --bytes-max 500G")
@options.home_and_quiet_options
@click.option(
    "--types",
    multiple=True,
    type=click.Choice([*MODEL_TYPES], case_sensitive=False),
    help="Only this type; may be repeated.",
)
@click.option("--base-model", "base_models", multiple=True, help="Only this base model; may be repeated.")
@click.option("--limit", type=click.IntRange(1), help="Only so many versions, the most popular.")
@click.option("--bytes-max", type=options.Size(), help="Only versions whose files have so many bytes together: 500G.")
@limit_rate_option
@click.option("--retry", "retries_failed", is_flag=True, help="Try versions again whose fetch failed before.")
@click.option("--dry-run", is_flag=True, help="Say how many files would be fetched, and their size; fetch nothing.")
@options.json_option
def mirror(
    types: tuple[str, ...],
    base_models: tuple[str, ...],
    limit: int | None,
    bytes_max: int | None,
    rate: int | None,
    retries_failed: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Get the files of the versions that an import has listed and that have no file here, the most popular first.

    --limit and --bytes-max count the versions that are here too, so that the command can run again: it goes on where it
    stopped, and fetches no file twice. A version whose fetch failed is not tried again without --retry.

    The exit code is 1 if a file is refused now.
    """
    selection = Selection(tuple(name.lower() for name in types), base_models, limit, bytes_max, retries_failed)
    config = home.load_settings()
    with home.open_store(config) as store:
        candidates = [*choose_versions(store, selection)]
        todo = [candidate for candidate in candidates if not (candidate.is_here or candidate.is_failed)]
        if not candidates:
            raise errors.NotFound("no listed version matches; list versions with `modelyard import civitai`")
        _describe(candidates, todo)
        if dry_run:
            size_bytes = sum(candidate.size_bytes or 0 for candidate in todo)
            if as_json:
                output.write_json({"files": len(todo), "size_bytes": size_bytes})
            return 0
        work = FetchQueue(config, store, as_json=as_json, rate=rate, total_count=len(todo))
        fetches = context.create_fetches(config, store)
        with work.working():
            for candidate in todo:
                work.wait(below=2 * AT_ONCE)
                _ask(work, fetches, candidate)
            work.wait()
    code = work.finish()
    if not as_json:
        output.remark(work.summary)
    return code


def _ask(work: FetchQueue, fetches: Fetches, candidate: Candidate) -> None:
    source = VersionSource(candidate.id)
    try:
        work.follow(fetches.add(FetchRequest(source, is_listed_only=True, kind=jobs.MIRROR))[0])
    except errors.ModelExists as problem:
        work.note_present(str(source), problem)
    except errors.ModelNotFound:
        return  # an import or its owner has removed it meanwhile


def _describe(candidates: list[Candidate], todo: list[Candidate]) -> None:
    here = sum(candidate.is_here for candidate in candidates)
    failed = sum(candidate.is_failed for candidate in candidates)
    size = output.format_size(sum(candidate.size_bytes or 0 for candidate in todo))
    remark = f"{len(candidates):,} versions, {here:,} are here, {len(todo):,} files to fetch, {size}"
    output.remark(remark + (f"; {failed:,} failed before, --retry tries them again" if failed else ""))
