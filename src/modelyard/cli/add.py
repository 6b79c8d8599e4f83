"""`modelyard add`: catalogue model files where they lie, once or whenever they change."""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
from click.core import ParameterSource

from modelyard import errors, library
from modelyard.catalog import Catalog
from modelyard.cli import background, context, home, options, output
from modelyard.cli.duplicates import write_duplicates
from modelyard.cli.progress import Bar, Progress
from modelyard.domain import Skipped, Source, Visibility
from modelyard.jobs import tasks
from modelyard.jobs.loop import run_loop
from modelyard.library import Ownership, ScanReport
from modelyard.library.reconcile import FileOutcome
from modelyard.paths import display_path
from modelyard.store import files, refuse_team_name

# How many messages a reason, groups of duplicates, and files that are not usable, are written.
_MESSAGES_MAX = 10
_GROUPS_MAX = 20
_REFUSED_MAX = 50
_RESULTS = {
    "added": "added",
    "part": "further files of models in folders",
    "matched": "added to a model that was in the catalogue",
    "updated": "updated",
    "moved": "moved or renamed",
    "gone": "missing now",
    "broken": "broken or dangerous",
    "later": "changed while they were read; the next scan reads them",
    "other": "not a model",
}


@click.command(
    epilog="Examples: modelyard add ~/ComfyUI/models;  modelyard add --source training --team red runs/ --watch"
)
@options.home_and_quiet_options
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=bytes))
@click.option(
    "--source",
    type=click.Choice([Source.UPLOADING.value, Source.TRAINING.value]),
    default=Source.UPLOADING.value,
    show_default=True,
    help="The source of the models; `training` reads what trainers write.",
)
@click.option("--team", help="The team that owns the models, which are private then.  [default: no team, public]")
@click.option("--public", is_flag=True, help="With --team: make the models public.")
@click.option(
    "--no-hash",
    is_flag=True,
    help="List the files at once from their headers; the server, --watch or a later add hashes them.",
)
@click.option("--watch", "with_watch", is_flag=True, help="Keep running and scan again after changes, until Ctrl-C.")
@click.option(
    "--rescan-interval",
    "rescan_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=library.RESCAN_SECONDS,
    show_default=True,
    help="With --watch: also scan at least this often, because network disks report no changes.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change; change and hash nothing.")
@options.json_option
@click.pass_context
def add(
    ctx: click.Context,
    paths: tuple[bytes, ...],
    source: str,
    team: str | None,
    public: bool,
    no_hash: bool,
    with_watch: bool,
    rescan_seconds: float,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Add the model files in PATHS to the catalogue. The files stay where they are; nothing is written beside them.

    Folders are scanned with all folders below them. The name of a ComfyUI extra_model_paths.yaml stands for the
    folders in it. Later scans read only what changed: models of missing files become unavailable, and moved files keep
    their models. If you interrupt a scan, run it again to continue.

    The exit code is 1 if a file is broken or dangerous, if a file in PATHS is no model, or if a folder of an
    extra_model_paths.yaml is not there or not understood. All other files are added.
    """
    if team is not None:
        refuse_team_name(team)
    if with_watch and dry_run:
        raise click.UsageError("--watch and --dry-run contradict each other")
    if public and team is None:
        raise click.UsageError("--public has no effect without --team: models without a team are public")
    if not with_watch and ctx.get_parameter_source("rescan_seconds") is not ParameterSource.DEFAULT:
        raise click.UsageError("--rescan-interval has no effect without --watch")
    visibility = Visibility.PRIVATE if team and not public else Visibility.PUBLIC
    owner = Ownership(Source(source), team, visibility)
    library.tune_gc()
    with context.open_catalog(home.load_settings()) as catalog:
        _refuse_missing(catalog, paths)
        scan = _Scan(catalog, paths, owner, with_hashes=not no_hash, dry_run=dry_run, as_json=as_json)
        report = _scan_once(scan)
        _write_report(report, as_json=as_json, dry_run=dry_run)
        if with_watch:
            _watch(scan, rescan_seconds)
    if not with_watch and not report.found and not report.results:
        raise errors.NothingImported("there is no model file in these paths")
    return 0 if report.is_complete else 1


def _refuse_missing(catalog: Catalog, paths: tuple[bytes, ...]) -> None:
    """Refuse paths that are not there, before any work.

    A path that the catalogue has files of is scanned: its models become unavailable.
    """
    problems = []
    for name in paths:
        path = Path(os.fsdecode(name))
        if path.exists():
            continue
        with catalog.store.reading() as connection:
            is_known = bool(files.below(connection, [os.path.realpath(name)]))
        if path.is_symlink():
            problem = f"dangling link: {display_path(os.path.realpath(name))} is not there"
        else:
            problem = "there is no such file or folder"
        if is_known:
            output.warn(f"{display_path(name)}: {problem}; its models become unavailable")
        else:
            problems.append(f"{display_path(name)}: {problem}")
    if problems:
        raise click.UsageError(output.printable("; ".join([*problems, "nothing was added"])))


@dataclass(frozen=True, slots=True)
class _Scan:
    """What to scan, and how."""

    catalog: Catalog
    paths: tuple[bytes, ...]
    owner: Ownership
    with_hashes: bool
    dry_run: bool
    as_json: bool

    def run(self, listener: "_ScanListener") -> ScanReport:
        scanner = library.Scanner(
            self.catalog.store, self.owner, listener, with_hashes=self.with_hashes, dry_run=self.dry_run
        )
        return scanner.run(self.paths)


def _scan_once(scan: _Scan) -> ScanReport:
    try:
        with _stop_on_signal() as stop, Progress() as progress:
            report = scan.run(_ScanListener(progress, stop))
    except errors.Interrupted as interruption:
        output.warn(output.INTERRUPTED)
        raise click.Abort from interruption
    except errors.Unavailable:
        output.warn(output.INTERRUPTED)
        raise
    if not scan.dry_run and report.results:
        scan.catalog.flush(context.show_indexing)
    return report


def _watch(scan: _Scan, rescan_seconds: float) -> None:
    output.remark("watching for changes; press Ctrl-C to stop")

    def rescan() -> None:
        try:
            report = scan.run(_ScanListener(None, stop))
        except errors.Interrupted:
            return
        except errors.Unavailable as problem:
            output.warn(f"{problem.message}; the next scan tries again")
            return
        if report.results or report.merged:
            # The listener named the new ones.
            report = replace(report, refused={})
            _write_report(report, as_json=scan.as_json, dry_run=False)

    def watch() -> float:
        return library.watch_once(scan.paths, rescan, stop, rescan_seconds=rescan_seconds)

    with _stop_on_signal() as stop, contextlib.ExitStack() as stack:
        if not scan.with_hashes:
            stack.enter_context(_run_hasher(stop))
        run_loop("watching", watch, stop)


@contextlib.contextmanager
def _run_hasher(stop: threading.Event) -> Iterator[None]:
    """Hash files in a thread during the block, as the server does."""
    config = home.load_settings()
    with background.open_resources(config) as resources:
        arguments = (config, tasks.HASHER, resources, stop)
        hasher = threading.Thread(target=background.work_in_thread, args=arguments, name="modelyard-hasher")
        hasher.start()
        try:
            yield
        finally:
            stop.set()
            hasher.join()


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets, for a clean stop. The second one stops the process."""
    stop = threading.Event()

    def set_stop(*_: object) -> None:
        stop.set()
        restore_handlers()

    def restore_handlers() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    handlers = {number: signal.signal(number, set_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        restore_handlers()


class _ScanListener:
    """Shows the progress of a scan, and the first messages of each reason."""

    def __init__(self, progress: Progress | None, stop: threading.Event) -> None:
        self._progress = progress
        self._stop = stop
        self._hash_bar: Bar | None = None
        self._file_bar: Bar | None = None
        self._messages: Counter[str] = Counter()

    def is_over(self) -> bool:
        return self._stop.is_set()

    def planned(self, files: int, bytes_to_hash: int) -> None:
        if self._progress is None:
            return
        if bytes_to_hash:
            self._hash_bar = self._progress.add_bar(f"hashing {files:,} files", bytes_to_hash, "bytes")
        else:
            self._file_bar = self._progress.add_bar("reading", files, "files")

    def hashed(self, count: int) -> None:
        if self._hash_bar:
            self._hash_bar.advance(count)

    def looked(self, outcome: FileOutcome) -> None:
        if self._file_bar:
            self._file_bar.advance(1)
        # The summary names the broken files.
        if outcome.result == "later" or (outcome.result == "broken" and self._progress is None):
            self._remark(outcome.result, f"{_RESULTS[outcome.result]}: {display_path(outcome.path)}: {outcome.reason}")

    def skipped(self, skipped: Skipped) -> None:
        self._remark(skipped.reason, f"skipped: {skipped}")

    def _remark(self, reason: str, text: str) -> None:
        self._messages[reason] += 1
        if self._messages[reason] > _MESSAGES_MAX + 1:
            return
        if self._messages[reason] == _MESSAGES_MAX + 1:
            text = f"further messages are not shown: {reason}"
        (self._progress or output).remark(text)


def _write_report(report: ScanReport, *, as_json: bool, dry_run: bool) -> None:
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
        rows.append(("merged with models imported since", f"{report.merged:,}"))
    rows += [
        (f"skipped: {reason}", f"{count:,}") for reason, count in Counter(s.reason for s in report.skipped).items()
    ]
    output.write_table(("files", "number"), rows, numeric=("number",))
    for path, reason in [*report.refused.items()][:_REFUSED_MAX]:
        output.warn(f"not usable: {display_path(path)}: {reason}")
    if len(report.refused) > _REFUSED_MAX:
        output.warn(f"{len(report.refused) - _REFUSED_MAX:,} further files are not usable; --json lists all")
    write_duplicates(report.duplicates[:_GROUPS_MAX])
    if len(report.duplicates) > _GROUPS_MAX:
        output.remark(f"list all {len(report.duplicates):,} groups of duplicates with: modelyard search --duplicates")
    if report.pending:
        output.remark(f"{report.pending:,} files are not hashed yet; `modelyard serve` or another add hashes them")
