"""`modelyard add`: model files taken in where they lie, once or as they change."""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator

import click

from modelyard import catalog, errors, library
from modelyard.cli import background, context, duplicates, options, output, progress
from modelyard.domain import Skipped, Source, Visibility
from modelyard.jobs import tasks
from modelyard.jobs.loop import run_loop
from modelyard.library import Ownership, ScanReport
from modelyard.library.reconcile import FileOutcome
from modelyard.paths import display_path
from modelyard.store import refuse_team_name

# Of each reason so many are told one by one.
_TOLD_MAX = 10
_GROUPS_TOLD_MAX = 20
_RESULTS = {
    "added": "added",
    "matched": "added to models that were known",
    "updated": "updated",
    "moved": "moved or renamed",
    "gone": "not there any more",
    "broken": "broken or dangerous",
    "later": "changed while they were read; to be looked at again",
    "other": "no models, though named like some",
}


@click.command(
    epilog="Examples: modelyard add ~/ComfyUI/models;  modelyard add --source training --team red runs/ --watch"
)
@options.home_option
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=bytes))
@click.option(
    "--source",
    type=click.Choice([Source.UPLOADING.value, Source.TRAINING.value]),
    default=Source.UPLOADING.value,
    show_default=True,
    help="What to call where they came from; training reads what trainers write.",
)
@click.option("--team", help="Whose they are: private models of this team.  [default: everybody's]")
@click.option("--public", is_flag=True, help="With --team: for everyone to see.")
@click.option(
    "--no-hash", is_flag=True, help="List them at once from their headers; the server, --watch or a later add hashes."
)
@click.option("--watch", "with_watch", is_flag=True, help="Go on, and take in what changes, until Ctrl-C.")
@click.option(
    "--every",
    "rescan_seconds",
    type=click.FloatRange(min=1),
    default=library.RESCAN_SECONDS,
    show_default=True,
    help="With --watch: compare everything at least so often, in seconds; network disks tell of no change.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing, hash nothing; say what would be done.")
@options.json_option
def add(
    paths: tuple[bytes, ...],
    source: str,
    team: str | None,
    public: bool,
    no_hash: bool,
    with_watch: bool,
    rescan_seconds: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take the model files in PATHS in, where they lie: nothing is moved, copied or written beside them.

    Folders are walked whole; a ComfyUI's extra_model_paths.yaml, given by its name, stands for the folders in it. What
    was taken in before is looked at again only if it changed, so that an add which was interrupted goes on where it
    was; files that are gone make their models unavailable, and moved ones are recognised.
    """
    if team is not None:
        refuse_team_name(team)
    if with_watch and dry_run:
        raise click.UsageError("--watch and --dry-run contradict each other")
    visibility = Visibility.PRIVATE if team and not public else Visibility.PUBLIC
    owner = Ownership(Source(source), team, visibility)
    for path in paths:
        if not with_watch and not os.path.lexists(path):
            # A folder that is gone takes its models along; a name that never was one is a slip.
            output.remark(f"{display_path(path)}: there is no such file or folder")
    library.tune_gc()
    with context.opened_catalog(options.read_settings()) as taking:
        report = _once(taking, paths, owner, with_hashes=not no_hash, dry_run=dry_run)
        _write(report, as_json=as_json, dry_run=dry_run)
        if with_watch:
            _go_on(taking, paths, owner, rescan_seconds, with_hashes=not no_hash, as_json=as_json)
    if not with_watch and not report.found and not report.results:
        raise errors.NothingImported("there is no model file in what was given")


def _once(
    taking: catalog.Catalog, paths: tuple[bytes, ...], owner: Ownership, *, with_hashes: bool, dry_run: bool = False
) -> ScanReport:
    going_on = "broken off; what was done is kept. Run the same command again to go on."
    try:
        with _ended_by_signals() as ended, _Telling.on_terminal(ended) as telling:
            report = library.Scanner(taking.store, owner, telling, with_hashes=with_hashes, dry_run=dry_run).run(paths)
    except errors.Interrupted as over:
        output.remark(going_on)
        raise click.Abort from over
    except errors.Unavailable:
        output.remark(going_on)
        raise
    if not dry_run and report.results:
        taking.flush(context.indexing)
    return report


def _go_on(
    taking: catalog.Catalog,
    paths: tuple[bytes, ...],
    owner: Ownership,
    rescan_seconds: float,
    *,
    with_hashes: bool,
    as_json: bool,
) -> None:
    output.remark("watching for changes; Ctrl-C ends it")

    def rescan() -> None:
        try:
            report = library.Scanner(taking.store, owner, _Telling(None, ended), with_hashes=with_hashes).run(paths)
        except errors.Interrupted:
            return
        except errors.Unavailable as problem:
            output.remark(f"{problem.message}; trying again")
            return
        if report.results or report.merged:
            _write(report, as_json=as_json, dry_run=False)

    def watch() -> float:
        return library.watch_once(paths, rescan, ended, rescan_seconds=rescan_seconds)

    with _ended_by_signals() as ended, contextlib.ExitStack() as stack:
        if not with_hashes:
            stack.enter_context(_hashing_beside(ended))
        run_loop("watching", watch, ended)


@contextlib.contextmanager
def _hashing_beside(ended: threading.Event) -> Iterator[None]:
    """Hash in a thread while entered, as the server does."""
    read = options.read_settings()
    with background.opened_resources(read) as resources:
        arguments = (read, tasks.HASHER, resources, ended)
        hashing = threading.Thread(target=background.work_in_thread, args=arguments, name="modelyard-hashing")
        hashing.start()
        try:
            yield
        finally:
            ended.set()
            hashing.join()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C or SIGTERM sets, to end where nothing is torn; the second ends us at once."""
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Telling:
    """Draws progress on a terminal, and tells what was passed by or is broken, the first ones of each reason."""

    def __init__(self, bars: progress.Bars | None, ended: threading.Event) -> None:
        self._bars = bars
        self._ended = ended
        self._told: Counter[str] = Counter()

    @staticmethod
    @contextlib.contextmanager
    def on_terminal(ended: threading.Event) -> "Iterator[_Telling]":
        with progress.bars("looking at files") as bars:
            yield _Telling(bars, ended)

    def is_over(self) -> bool:
        return self._ended.is_set()

    def planned(self, files: int, bytes_to_hash: int) -> None:
        if self._bars:
            self._bars.expect(files, bytes_to_hash)

    def hashed(self, count: int) -> None:
        if self._bars:
            self._bars.used(count)

    def looked(self, settled: FileOutcome) -> None:
        if self._bars:
            self._bars.done()
        if settled.result in ("broken", "later"):
            self._tell(settled.result, f"{_RESULTS[settled.result]}: {display_path(settled.path)}: {settled.reason}")

    def skipped(self, skipped: Skipped) -> None:
        self._tell(skipped.reason, f"skipped: {skipped}")

    def _tell(self, reason: str, text: str) -> None:
        self._told[reason] += 1
        if self._told[reason] <= _TOLD_MAX:
            (self._bars.tell if self._bars else output.remark)(text)
        elif self._told[reason] == _TOLD_MAX + 1:
            (self._bars.tell if self._bars else output.remark)(f"more of the same: {reason}")


def _write(report: ScanReport, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        output.write_json({**report.to_json(), "dry_run": dry_run})
        return
    rows = [("found", f"{report.found:,}"), ("unchanged", f"{report.unchanged:,}")]
    rows += [
        (text + (" (dry run)" if dry_run else ""), f"{count:,}")
        for result, text in _RESULTS.items()
        if (count := report.results.get(result, 0))
    ]
    if report.merged:
        rows.append(("joined with models imported since", f"{report.merged:,}"))
    rows += [
        (f"skipped: {reason}", f"{count:,}") for reason, count in Counter(s.reason for s in report.skipped).items()
    ]
    output.write_table(("files", "number"), rows, numeric=("number",))
    duplicates.write(report.duplicates[:_GROUPS_TOLD_MAX])
    if len(report.duplicates) > _GROUPS_TOLD_MAX:
        output.remark(f"{len(report.duplicates):,} groups of duplicates in all: modelyard search --duplicates")
    if report.pending:
        output.remark(
            f"{report.pending:,} files are listed and not hashed yet; `modelyard serve` or another add does it"
        )
