"""`modelyard import`: records of other catalogues, taken in."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from modelyard import catalog, covers, errors, library, store
from modelyard.civitai import client as civitai_client
from modelyard.civitai import dumps
from modelyard.cli import context, options, output, progress, storing
from modelyard.domain import Record, Skipped

# Of each reason so many are told one by one; a whole site's refresh skips thousands for a reason that is no trouble.
_TOLD_MAX = 10
_RESULTS = ("added", "updated", "unchanged")


@click.group("import", epilog="Example: modelyard import civitai answers/")
@options.home_option
def import_() -> None:
    """Take models in from other catalogues' records."""


@import_.command(
    epilog="Examples: modelyard import civitai models.jsonl.xz answers/;  "
    "modelyard import civitai --fetch --types LORA --base-model 'SD 1.5' --limit 1000"
)
@options.home_option
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--fetch", "is_fetch", is_flag=True, help="Ask Civitai itself, instead of reading files.")
@click.option("--types", multiple=True, help="With --fetch: only this type, as Civitai spells it; may be repeated.")
@click.option("--base-model", "base_models", multiple=True, help="With --fetch: only this base model; may be repeated.")
@click.option("--query", help="With --fetch: only what Civitai finds for these words.")
@click.option("--limit", type=click.IntRange(min=1), help="With --fetch: so many models, newest first.")
@click.option("--restart", is_flag=True, help="With --fetch: begin anew, not where an interrupted run stopped.")
@click.option("--address", help=f"With --fetch: where the API is.  [default: {civitai_client.ADDRESS}]")
@click.option("--covers", "with_covers", is_flag=True, help="Fetch the models' covers too, and show them from here.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")
@click.option("--verbose", "-v", is_flag=True, help="Tell of everything skipped, not only the first of each reason.")
@options.json_option
def civitai(
    paths: tuple[Path, ...],
    is_fetch: bool,
    restart: bool,
    with_covers: bool,
    dry_run: bool,
    verbose: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Import what Civitai's API says about its models.

    PATH is a file of answers or a folder of such files: .json (a model, a version, a page or a list), .jsonl (one a
    line), .civitai.info, each also as .gz or .xz. With --fetch the answers come from Civitai's live list; a token is
    taken from CIVITAI_TOKEN.

    What was imported before is updated in place. An import that was interrupted goes on when it is run again.
    """
    if is_fetch == bool(paths):
        raise click.UsageError("give paths to read, or --fetch")
    if not is_fetch and (restart or any(asked.values())):
        raise click.UsageError("--types, --base-model, --query, --limit, --restart and --address need --fetch")
    told_max = None if verbose else _TOLD_MAX
    if is_fetch:
        report = _fetched(
            asked.pop("address") or civitai_client.ADDRESS,
            civitai_client.CivitaiQuery(**asked),
            told_max,
            restart,
            dry_run,
        )
    else:
        report = _read(dumps.find_files(paths), told_max, dry_run)
    if with_covers and not dry_run:
        _fetch_covers(report)
    report.write(dry_run=dry_run, as_json=as_json)
    if report.skipped and not report.done.total():
        raise errors.NothingImported("nothing could be imported")


def _read(found: Sequence[Path], told_max: int | None, dry_run: bool) -> "Report":
    whole = sum(_size_bytes(path) for path in found)
    with context.opened_catalog(options.read_settings()) as taking:
        with progress.metered("reading", whole) as (meter, tell):
            report = Report(tell, told_max)
            with _going_on(report, dry_run):
                take_in(taking, dumps.read_paths(found, consumed=meter.used), report, meter, dry_run=dry_run)
        if not dry_run:
            # Files that were here first are the models that came now.
            report.joined = library.merge_matching_models(taking.store)
            taking.flush(context.indexing)
    return report


def _fetched(
    address: str, wanted: civitai_client.CivitaiQuery, told_max: int | None, restart: bool, dry_run: bool
) -> "Report":
    """Walk Civitai's list, page by page: what a page brought is on disk before the place behind it is saved."""
    read = options.read_settings()
    note = civitai_client.note_name(address, wanted)
    with (
        civitai_client.open_client(address, os.environ.get("CIVITAI_TOKEN")) as client,
        options.opened_store(read) as opened,
    ):
        taking = catalog.open_catalog(opened, read.home, ttl_seconds=read.download_url_ttl_seconds)
        with progress.metered("fetching", wanted.limit) as (meter, tell):
            report = Report(tell, told_max)
            start = None if restart else civitai_client.saved_place(opened.get_property(note))
            if start:
                tell(f"going on after the {start.models:,} models of an interrupted run; --restart begins anew")
                meter.used(start.models)
            with _going_on(report, dry_run):
                for page in civitai_client.pages(client, wanted, start, civitai_client.RetryPolicy(tell=tell)):
                    take_in(taking, page.outcomes, report, meter, dry_run=dry_run)
                    meter.used(page.models)
                    if not dry_run:
                        _save(opened, note, page.following)
        if not dry_run:
            # Files that were here first are the models that came now.
            report.joined = library.merge_matching_models(taking.store)
            taking.flush(context.indexing)
    return report


def _fetch_covers(report: "Report") -> None:
    """Fetch the covers of what was imported; what is there already, or failed lately, is not asked for again."""
    read = options.read_settings()
    report.covers = 0
    with options.opened_store(read) as opened:
        wanted = covers.wanted(opened, report.ids)
        with progress.metered("fetching covers", len(wanted)) as (meter, tell):
            report.tell_with(tell)
            with _going_on(report, dry_run=False):
                for gathered in covers.import_covers(
                    opened, storing.covers_of(opened, read), storing.guard_of(read), wanted
                ):
                    meter.used(1)
                    report.cover(gathered)


def _save(opened: store.Store, note: str, place: civitai_client.Checkpoint | None) -> None:
    with opened.transaction() as writing:
        writing.remember(note, civitai_client.place_text(place) if place else None)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the reader will say why


class Report:
    """What became of what was read: counted, and what was skipped told to the one who waits."""

    def __init__(self, tell: Callable[[str], None], told_max: int | None) -> None:
        self.done: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.joined = 0
        self.ids: set[int] = set()
        # None where covers were not asked for.
        self.covers: int | None = None
        self._tell = tell
        self._told_max = told_max

    def tell_with(self, tell: Callable[[str], None]) -> None:
        """Tell of what comes now beside another bar."""
        self._tell = tell

    def cover(self, gathered: covers.CoverResult) -> None:
        """Count what came of a cover's address."""
        if gathered.problem:
            self.skip(Skipped(gathered.address, "cover not to be had", gathered.problem))
        else:
            self.covers = (self.covers or 0) + 1

    def skip(self, skipped: Skipped) -> None:
        """Count something skipped, and tell of it unless enough of its kind were."""
        self.skipped[skipped.reason] += 1
        told = self.skipped[skipped.reason]
        if self._told_max is None or told <= self._told_max:
            self._tell(f"skipped: {skipped}")
        elif told == self._told_max + 1:
            self._tell(f"skipped: more for the reason {skipped.reason!r}, told one by one with --verbose")

    def write(self, *, dry_run: bool, as_json: bool) -> None:
        """Write the summary on standard output."""
        if as_json:
            counts = {result: self.done[result] for result in _RESULTS}
            skipped = dict(self.skipped.most_common())
            if self.covers is not None:
                counts["covers"] = self.covers
            output.write_json({**counts, "joined": self.joined, "skipped": skipped, "dry_run": dry_run})
            return
        rows = [(result + (" (dry run)" if dry_run else ""), f"{self.done[result]:,}") for result in _RESULTS]
        if self.joined:
            rows.append(("joined with files that were here", f"{self.joined:,}"))
        if self.covers is not None:
            rows.append(("covers fetched", f"{self.covers:,}"))
        rows += [(f"skipped: {reason}", f"{count:,}") for reason, count in self.skipped.most_common()]
        output.write_table(("models", "number"), rows, numeric=("number",))


@contextlib.contextmanager
def _going_on(report: Report, dry_run: bool) -> Iterator[None]:
    """Where the work is broken off, say what is kept and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, errors.Unavailable):
        kept = 0 if dry_run else report.done.total()
        output.remark(f"broken off; {kept:,} models are done and kept. Run the same command again to go on.")
        raise


def take_in(
    taking: catalog.Catalog,
    outcomes: Iterable[Record | Skipped],
    report: Report,
    meter: progress.Meter,
    *,
    dry_run: bool,
) -> None:
    """Register what an ingest yields, and report on it. What is reported as done is on disk."""
    for outcome in taking.register_many(_records(outcomes, report), dry_run=dry_run):
        meter.model()
        if outcome.result == "skipped":
            report.skip(Skipped(f"model {outcome.record.id}", outcome.reason))
        else:
            report.done[outcome.result] += 1
            if outcome.id is not None:
                report.ids.add(outcome.id)


def _records(outcomes: Iterable[Record | Skipped], report: Report) -> Iterator[Record]:
    for outcome in outcomes:
        if isinstance(outcome, Skipped):
            report.skip(outcome)
        else:
            yield outcome
