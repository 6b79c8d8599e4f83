"""`modelyard add` as a command and as a process: the files that it opens, interruption, watching, and later hashing.

Not covered here: the models that a scan makes (test_scanner.py).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelyard import library
from modelyard.auth import Auth
from modelyard.cli import run
from modelyard.domain import Scope, Status
from modelyard.jobs.loop import run_loop
from modelyard.library import probe, walk
from tests.attacks.pickles import TOUCHED
from tests.attacks.test_attacks import ATTACKS
from tests.inspection.made_files import write_safetensors
from tests.process_commands import PROGRAM, environment, serving
from tests.scan_fixture import Shelf, embedding, hashes_of, opened

PATIENCE_SECONDS = 90.0


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    new_shelf = opened(tmp_path)
    yield new_shelf
    new_shelf.catalog.close()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.05)


@contextmanager
def adding_process(shelf: Shelf, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run `modelyard add` on the shelf's folder as a process of its own."""
    command = [*PROGRAM, "add", "--home", str(shelf.home), str(shelf.folder), *options]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def has_open(process: subprocess.Popen[str], path: Path) -> bool:
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            if link.readlink() == path:
                return True
        except OSError:
            continue
    return False


# --- The command ---


def test_the_command_tells_what_became_of_the_files(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(shelf.home))
    embedding(shelf.folder / "a.safetensors")
    embedding(shelf.folder / "b.safetensors")
    code = run(["add", str(shelf.folder), "--json"])
    report = json.loads(capsys.readouterr().out)

    assert (0, 2, 1, 1) == (code, report["found"], report["added"], report["matched"])
    assert "bytes" == report["duplicates"][0]["same"]

    run(["search", "--duplicates"])

    assert 2 == capsys.readouterr().out.count("same bytes")

    run(["search", "a", "--json"])

    assert "a.safetensors" in capsys.readouterr().out


def test_nothing_to_add_is_a_failure(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["add", "--home", str(shelf.home), str(shelf.folder)])

    assert (1, "modelyard: there is no model file in these paths\n") == (code, capsys.readouterr().err)


NO_STRANGERS = """
import os, sys
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.fsdecode(arguments[0])
        if path.startswith(os.environ["WATCHED"]):
            note("open " + path)
    elif event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "pickle.find_class"):
        note(event + " " + repr(arguments))
def note(line):
    descriptor = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, os.fsencode(line) + b"\\n")
    os.close(descriptor)
sys.addaudithook(watch)
"""


@pytest.mark.parametrize("count", [3, probe.POOL_FILES_MIN + 1])
def test_no_file_outside_the_given_places_is_ever_opened(shelf: Shelf, tmp_path: Path, count: int) -> None:
    """An audit hook in every process, the pool included, notes each file that is opened below a tree of traps."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_STRANGERS)
    tree = tmp_path / "tree"
    embedding(tree / "outside" / "secret.safetensors")
    (tree / "outside" / "secret.json").write_text("{}")
    for number in range(count):
        embedding(tree / "given" / f"{number}.safetensors", number)
    (tree / "given" / "0.json").write_text('{"notes": "read"}')
    (tree / "given" / "1.json").symlink_to(tree / "outside" / "secret.json")
    (tree / "given" / "link.safetensors").symlink_to(tree / "outside" / "secret.safetensors")
    (tree / "given" / "folder").symlink_to(tree / "outside")
    (tree / "given" / "extra_model_paths.yaml").write_text(f"a:\n  loras: {tree}/outside\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path]),
        "WATCHED": str(tree),
        "OPENED": str(tmp_path / "opened"),
        "MODELYARD_HOME": str(shelf.home),
    }
    command = "from modelyard.cli import main; main()"
    arguments = ["add", str(tree / "given"), *(["--no-hash"] if count > 3 else [])]
    subprocess.run([sys.executable, "-c", command, *arguments], env=environment, check=True, capture_output=True)
    lines = (tmp_path / "opened").read_text().splitlines()
    opens = {line.removeprefix("open ") for line in lines if line.startswith("open ")}

    assert {str(tree / "given" / f"{number}.safetensors") for number in range(count)} <= opens
    assert str(tree / "given" / "0.json") in opens
    assert set() == {path for path in opens if not path.startswith(str(tree / "given"))}
    assert str(tree / "given" / "1.json") not in opens
    assert str(tree / "given" / "link.safetensors") not in opens


def test_nothing_is_unpickled_and_nothing_is_run(shelf: Shelf, tmp_path: Path) -> None:
    """All attacks lie in one folder, most of them pickles that would create a file; an audit hook watches."""
    paths = []
    for title, attack in ATTACKS.items():
        if not attack.large and not attack.sparse:
            (shelf.folder / title).mkdir()
            paths.append(attack.write(shelf.folder / title))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_STRANGERS)
    variables = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path]),
        "WATCHED": str(shelf.folder),
        "OPENED": str(tmp_path / "opened"),
    }
    command = [*PROGRAM, "add", "--home", str(shelf.home), "--json", str(shelf.folder)]
    process = subprocess.run(command, env=os.environ | variables, cwd=tmp_path, check=False, capture_output=True)
    opens = (tmp_path / "opened").read_text().splitlines()

    assert 1 == process.returncode
    assert {f"open {path}" for path in paths if walk.is_model_name(os.fsencode(path.name))} == set(opens)
    assert 10 < json.loads(process.stdout)["broken"]
    assert [] == list(tmp_path.rglob(TOUCHED))


# --- Broken off, and gone on ---


def test_an_add_that_is_broken_off_keeps_what_was_done_and_goes_on(shelf: Shelf) -> None:
    embedding(shelf.folder / "a.safetensors")
    # A sparse file of 400 GB takes minutes to hash, so the signal arrives in the middle.
    large = write_safetensors(shelf.folder / "b.safetensors", {"weights": ("U8", [400_000_000_000])})
    with adding_process(shelf) as process:
        until(lambda: has_open(process, large))
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=PATIENCE_SECONDS)

    assert 130 == process.returncode
    assert "Interrupted. Progress is saved" in output
    assert ["a.safetensors"] == [model.sd_name for model in shelf.models()]

    embedding(large, 2)
    again = shelf.add()

    assert (1, {"added": 1}) == (again.unchanged, again.results)


# --- Watching ---


def watch(folder: Path, rescan: Callable[[], object], stop: threading.Event, **options: float) -> None:
    run_loop("watching", lambda: library.watch_once([os.fsencode(folder)], rescan, stop, **options), stop)


def test_watching_takes_in_what_comes_and_ends_with_a_signal(shelf: Shelf) -> None:
    embedding(shelf.folder / "a.safetensors", 1)
    with adding_process(shelf, "--watch", "--rescan-interval", "5") as process:
        until(lambda: len(shelf.models()) == 1)
        embedding(shelf.folder / "new folder" / "b.safetensors", 2)
        until(lambda: len(shelf.models()) == 2)
        (shelf.folder / "a.safetensors").unlink()
        until(lambda: [Status.UNAVAILABLE, Status.AVAILABLE] == [model.status for model in shelf.models()])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert 0 == process.returncode


def test_what_changes_during_a_scan_starts_the_next_one(shelf: Shelf) -> None:
    stop, results = threading.Event(), []

    def rescan() -> None:
        results.append(shelf.add().results)
        if len(results) == 1:
            embedding(shelf.folder / "b.safetensors", 2)
        if len(shelf.models()) == 2:
            stop.set()

    embedding(shelf.folder / "a.safetensors", 1)
    thread = threading.Thread(target=watch, args=(shelf.folder, rescan, stop), daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    stop.set()

    assert [{"added": 1}, {"added": 1}] == [result for result in results if result]


def test_watching_without_hashes_hashes_beside(shelf: Shelf) -> None:
    embedding(shelf.folder / "a.safetensors")
    with adding_process(shelf, "--watch", "--no-hash", "--rescan-interval", "5") as process:
        until(lambda: [Status.AVAILABLE] == [model.status for model in shelf.models()])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert 0 == process.returncode


def test_watching_looks_now_and_then_where_nothing_is_told(shelf: Shelf) -> None:
    stop, rescans = threading.Event(), []

    def rescan() -> None:
        rescans.append(None)
        if len(rescans) == 3:
            stop.set()

    watch(shelf.folder / "not mounted yet", rescan, stop, rescan_seconds=0.01)

    assert 3 == len(rescans)


# --- Who hashes later ---


def test_a_server_hashes_what_was_listed_without(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    shelf.add(with_hashes=False)
    key, _ = Auth(shelf.catalog.store).create_key("red", [Scope.READ])
    with serving(shelf.home, 1, key):
        until(lambda: shelf.model().status is Status.AVAILABLE)

    assert hashes_of(path) == shelf.model().hashes


def test_an_import_makes_one_model_of_its_own_and_a_file_that_was_here(
    shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    file = {"id": 5, "name": "night.safetensors", "type": "Model", "hashes": {"SHA256": hashes_of(path).sha256}}
    answer = {"id": 7, "name": "Night", "type": "LORA", "modelVersions": [{"id": 77, "name": "v1", "files": [file]}]}
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    run(["import", "civitai", "--home", str(shelf.home), "--json", str(tmp_path / "answer.json")])

    assert 1 == json.loads(capsys.readouterr().out)["joined"]
    assert (77, Status.AVAILABLE) == (shelf.model().id, shelf.model().status)


# --- watching in this process


@pytest.mark.parametrize("change", ["appears", "disappears"])
def test_watching_ends_when_a_path_appears_or_disappears(tmp_path: Path, change: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    if change == "disappears":
        there.mkdir()
    stop = threading.Event()
    timer = threading.Timer(PATIENCE_SECONDS, stop.set)
    timer.start()

    def rescan() -> None:
        if change == "appears":
            there.mkdir(exist_ok=True)
        elif there.exists():
            there.rmdir()

    seconds = library.watch_once([os.fsencode(here), os.fsencode(there)], rescan, stop)
    timer.cancel()

    assert (0.0, False) == (seconds, stop.is_set())


def test_where_no_path_is_there_is_one_scan_and_a_pause(tmp_path: Path) -> None:
    scans: list[int] = []
    seconds = library.watch_once(
        [os.fsencode(tmp_path / "nowhere")], lambda: scans.append(1), threading.Event(), rescan_seconds=7.0
    )

    assert (7.0, [1]) == (seconds, scans)
