"""`modelyard import civitai`: import models from Civitai's records."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from modelyard import covers, errors, library
from modelyard.catalog import Catalog, open_catalog
from modelyard.civitai import client as civitai_client
from modelyard.civitai import dumps
from modelyard.civitai.client import Checkpoint, CivitaiQuery
from modelyard.cli import context, home, options, output
from modelyard.cli.base_models import complete_base_model
from modelyard.cli.progress import Bar, Progress
from modelyard.cli.server import ServerAddress
from modelyard.domain import Skipped
from modelyard.facts import Record
from modelyard.registry.writer import Rehearsal
from modelyard.store import Store

# How many messages a reason may have; a refresh of the whole site skips thousands for a harmless reason.
_MESSAGES_MAX = 10
_RESULTS = ("added", "updated", "unchanged")


@click.group("import", epilog="Example: modelyard import civitai answers/")
@options.home_and_quiet_options
def import_() -> None:
    """Import models from the records of other catalogues."""


@import_.command(
    epilog="Examples: modelyard import civitai models.jsonl.xz answers/;  "
    "modelyard import civitai --fetch --types LORA --base-model 'SD 1.5' --limit 1000"
)
@options.home_and_quiet_options
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--fetch", "is_fetch", is_flag=True, help="Download from Civitai instead of reading files.")
@click.option("--types", multiple=True, help="With --fetch: only this type, as Civitai spells it; may be repeated.")
@click.option(
    "--base-model",
    "base_models",
    multiple=True,
    shell_complete=complete_base_model,
    help="With --fetch: only this base model; may be repeated.",
)
@click.option("--query", help="With --fetch: only models that Civitai finds for these words.")
@click.option(
    "--nsfw/--no-nsfw",
    "nsfw",
    default=None,
    help="With --fetch: also models that are not safe for work, or none of them (the default).",
)
@click.option("--limit", type=click.IntRange(min=1), help="With --fetch: at most this many models, newest first.")
@click.option("--restart", is_flag=True, help="With --fetch: start from the beginning, not where the last run stopped.")
@click.option(
    "--address",
    type=ServerAddress(scheme="https"),
    help=f"With --fetch: the URL of the API.  [default: {civitai_client.ADDRESS}]",
)
@click.option(
    "--covers", "with_covers", is_flag=True, help="Download the models' covers too, and serve them from here."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--verbose", "-v", is_flag=True, help="List everything that is skipped, not only a few for each reason.")
@options.json_option
def civitai(
    paths: tuple[Path, ...],
    is_fetch: bool,
    restart: bool,
    with_covers: bool,
    dry_run: bool,
    verbose: bool,
    as_json: bool,
    **query: Any,
) -> None:
    """Import models from the answers of Civitai's API.

    PATH is a file of answers, or a folder of such files: .json (a model, a version, a page or a list), .jsonl (one on
    each line), .civitai.info, each also as .gz or .xz. With --fetch the answers come from Civitai itself, with the
    token of the environment variable CIVITAI_TOKEN.

    A later import updates the models. If you interrupt an import, run it again to continue.
    """
    if is_fetch == bool(paths):
        raise click.UsageError("give paths to read, or --fetch")
    if not is_fetch and (restart or query["nsfw"] is not None or any(query.values())):
        raise click.UsageError("--types, --base-model, --query, --nsfw, --limit, --restart and --address need --fetch")
    messages_max = None if verbose else _MESSAGES_MAX
    library.tune_gc()
    if is_fetch:
        address = query.pop("address") or civitai_client.ADDRESS
        report = _import_from_civitai(
            address, CivitaiQuery(**query | {"nsfw": bool(query["nsfw"])}), messages_max, restart, dry_run
        )
    else:
        report = _import_files(dumps.find_files(paths), messages_max, dry_run)
    if with_covers and not dry_run:
        _import_covers(report)
    report.write(dry_run=dry_run, as_json=as_json)
    if report.skipped and not report.counts.total():
        raise errors.NothingImported("nothing could be imported")


def _import_files(paths: Sequence[Path], messages_max: int | None, dry_run: bool) -> "Report":
    size_bytes = sum(_read_size(path) for path in paths)
    with context.open_catalog(home.load_settings()) as catalog:
        with Progress() as progress:
            report = Report(progress.remark, messages_max, dry_run=dry_run)
            bar = progress.add_bar("reading", size_bytes, "models", with_items=True)
            with _report_interruption(report):
                register(catalog, dumps.read_paths(paths, consumed=bar.advance), report, bar)
        _finish(catalog, report)
    return report


def _import_from_civitai(
    address: str, query: CivitaiQuery, messages_max: int | None, restart: bool, dry_run: bool
) -> "Report":
    """Import Civitai's list page by page. A checkpoint is saved when the models before it are on disk."""
    config = home.load_settings()
    property_name = civitai_client.checkpoint_name(address, query)
    with (
        civitai_client.open_client(address, os.environ.get("CIVITAI_TOKEN")) as client,
        home.open_store(config) as store,
    ):
        catalog = open_catalog(store, config.home, ttl_seconds=config.download_url_ttl_seconds)
        with Progress() as progress:
            report = Report(progress.remark, messages_max, dry_run=dry_run)
            which = "with models that are" if query.nsfw else "without models that are"
            progress.remark(
                f"asking {address} {which} not safe for work; --{'no-' if query.nsfw else ''}nsfw changes that"
            )
            bar = progress.add_bar("downloading", query.limit, "models", with_items=True)
            start = None if restart else civitai_client.parse_checkpoint(store.get_property(property_name))
            if start:
                progress.remark(
                    f"continuing an interrupted import after {start.models:,} models; --restart starts again"
                )
                bar.advance(start.models)
            with _report_interruption(report):
                for page in civitai_client.pages(client, query, start, on_retry=progress.remark):
                    register(catalog, page.outcomes, report, bar)
                    bar.advance(page.models)
                    if not dry_run:
                        _save_checkpoint(store, property_name, page.following)
        _finish(catalog, report)
    return report


def _finish(catalog: Catalog, report: "Report") -> None:
    """Merge the new models with files that were here before them, and bring the index up to date.

    A dry run counts what would be merged.
    """
    if report.rehearsal is not None:
        report.joined = library.count_matching_models(catalog.store, report.rehearsal.values())
        return
    report.joined = library.merge_matching_models(catalog.store)
    catalog.flush(context.show_indexing)


def _import_covers(report: "Report") -> None:
    """Download the covers of the imported models, without those that are here or failed recently."""
    config = home.load_settings()
    report.covers = 0
    with home.open_store(config) as store:
        ids_by_address = covers.missing_covers(store, report.ids)
        with Progress() as progress:
            report.remark = progress.remark
            bar = progress.add_bar("downloading covers", len(ids_by_address), "covers")
            outbound, pictures = context.create_outbound(config), context.create_covers(config, store)
            with _report_interruption(report):
                for result in covers.import_covers(store, pictures, outbound, ids_by_address):
                    bar.advance(1)
                    report.count_cover(result)


def _save_checkpoint(store: Store, property_name: str, checkpoint: Checkpoint | None) -> None:
    with store.transaction() as transaction:
        transaction.remember(property_name, civitai_client.format_checkpoint(checkpoint) if checkpoint else None)


def _read_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # whoever reads the file reports the problem


class Report:
    """Counts the results of an import, and writes the first messages of each reason."""

    def __init__(self, remark: Callable[[str], None], messages_max: int | None, *, dry_run: bool) -> None:
        self.remark = remark
        self.counts: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.joined = 0
        self.ids: set[int] = set()
        # None without --covers.
        self.covers: int | None = None
        # What a dry run would have written: its later batches count as those of the run do.
        self.rehearsal: Rehearsal | None = {} if dry_run else None
        self._messages_max = messages_max

    def count_cover(self, result: covers.CoverResult) -> None:
        """Count the result of one cover."""
        if result.problem:
            self.skip(Skipped(result.address, "cover not to be had", result.problem))
        else:
            self.covers = (self.covers or 0) + 1

    def skip(self, skipped: Skipped) -> None:
        """Count a skipped record, and write a message unless its reason has had enough of them."""
        self.skipped[skipped.reason] += 1
        count = self.skipped[skipped.reason]
        if self._messages_max is None or count <= self._messages_max:
            self.remark(f"skipped: {skipped}")
        elif count == self._messages_max + 1:
            self.remark(f"skipped: more with the reason {skipped.reason!r}; --verbose lists all of them")

    def write(self, *, dry_run: bool, as_json: bool) -> None:
        """Write the summary on standard output."""
        if as_json:
            counts = {result: self.counts[result] for result in _RESULTS}
            skipped = dict(self.skipped.most_common())
            if self.covers is not None:
                counts["covers"] = self.covers
            output.write_json({**counts, "joined": self.joined, "skipped": skipped, "dry_run": dry_run})
            return
        rows = [(result + (" (dry run)" if dry_run else ""), f"{self.counts[result]:,}") for result in _RESULTS]
        if self.joined:
            rows.append(("merged with files that were here", f"{self.joined:,}"))
        if self.covers is not None:
            rows.append(("covers downloaded", f"{self.covers:,}"))
        rows += [(f"skipped: {reason}", f"{count:,}") for reason, count in self.skipped.most_common()]
        output.write_table(("models", "number"), rows, numeric=("number",))


@contextlib.contextmanager
def _report_interruption(report: Report) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, errors.Unavailable) as problem:
        saved = report.counts.total() if report.rehearsal is None else 0
        is_interrupted = isinstance(problem, KeyboardInterrupt)
        if is_interrupted or saved:
            what = "Interrupted" if is_interrupted else "The import stopped"
            output.warn(f"{what}. {output.count(saved, 'model')} saved; run the command again to continue.")
        raise


def register(catalog: Catalog, outcomes: Iterable[Record | Skipped], report: Report, bar: Bar) -> None:
    """Register the records and count the results. Every counted model is on disk."""
    for outcome in catalog.register_many(_read_records(outcomes, report), rehearsal=report.rehearsal):
        bar.count_item()
        if outcome.result == "skipped":
            report.skip(Skipped(f"model {outcome.record.id}", outcome.reason))
        else:
            report.counts[outcome.result] += 1
            if outcome.id is not None:
                report.ids.add(outcome.id)


def _read_records(outcomes: Iterable[Record | Skipped], report: Report) -> Iterator[Record]:
    for outcome in outcomes:
        if isinstance(outcome, Skipped):
            report.skip(outcome)
        else:
            yield outcome
