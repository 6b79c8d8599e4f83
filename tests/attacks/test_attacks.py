"""Every attack in the list is judged as it deserves, costs little, and does nothing.

Not covered here: damage while a file is read (tests/inspection/test_inspect_file.py) and random damage (test_fuzz.py).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import inspection
from tests.attacks import evasions, frames, ggufs, pickles, strangers
from tests.attacks.attack import ATTACKS, Attack

MODULES = (evasions, frames, ggufs, pickles, strangers)
README = Path(__file__).with_name("README.md")


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.title)
def test_an_attack_is_judged_as_it_deserves(attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    found = inspection.inspect_file(attack.write(tmp_path), with_hashes=False)

    assert attack.verdict == found.verdict
    assert attack.says in found.reason
    assert found.is_sound == (attack.verdict in ("clean", "suspicious"))
    assert not (tmp_path / pickles.TOUCHED).exists()
    json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False).encode()


# Inspects every file of a folder under a limit of memory, and reports what the interpreter did meanwhile.
CHILD = """
import json, re, resource, sys
from pathlib import Path
from modelyard import inspection

files = sorted(Path(sys.argv[1]).iterdir())
# What the interpreter loads when it first needs it, such as the encoding of old zips' names, is no file of an attack's.
for file in files:
    if file.stat().st_size < 2000:
        inspection.inspect_file(file)
events = []

def watch(event, arguments):
    if event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "exec"):
        events.append([event, repr(arguments)[:200]])
    elif event == "open" and arguments[0] != path and not isinstance(arguments[0], int):
        events.append([event, str(arguments[0])])
    elif event in ("os.remove", "os.rename", "os.mkdir", "socket.connect", "shutil.rmtree", "os.listdir"):
        events.append([event, repr(arguments)[:200]])

path = ""
sys.addaudithook(watch)
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
for file in files:
    path = str(file)
    inspection.inspect_file(path, with_hashes=file.stat().st_size < 1 << 20)
seen = list(events)
# Not getrusage's ru_maxrss: Linux gives a child that of the process that forked it. This one begins with the program.
peak = int(re.search("VmHWM:[^0-9]*([0-9]+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"events": seen, "peak_bytes": peak}))
"""
MEMORY_BYTES = 900 << 20


def test_attacks_open_no_other_file_run_nothing_and_stay_within_memory(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number, attack in enumerate(ATTACKS.values()):
        attack.write(folder).rename(folder / f"{number:03}-{attack.name}")

    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(MEMORY_BYTES + (2 << 30))],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(inspection.__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)
    assert [] == told["events"]
    assert told["peak_bytes"] < MEMORY_BYTES
    assert not (tmp_path / pickles.TOUCHED).exists()


@pytest.mark.parametrize(
    "title",
    [
        "command_in_protocol_4",
        "safetensors_that_is_a_pickle",
        "safetensors_that_steps_over_its_header",
        "safetensors_with_a_command_behind_ten_thousand_opcodes",
        "safetensors_whose_header_is_a_number",
        "safetensors_whose_header_is_a_text_of_seventy_kilobytes",
        "gguf_whose_count_is_a_text",
    ],
)
def test_the_commands_would_run_if_they_were_unpickled(title: str, tmp_path: Path) -> None:
    """The fixtures prove something: unpickled, they do leave their mark."""
    path = ATTACKS[title].write(tmp_path)

    code = f"import pickle; pickle.load(open({path.name!r}, 'rb'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)

    assert (tmp_path / pickles.TOUCHED).exists()


def test_the_readme_lists_every_attack() -> None:
    listed = README.read_text(encoding="utf-8")

    assert [] == [title for title in ATTACKS if f"`{title}`" not in listed]


def test_every_maker_is_an_attack_of_the_list() -> None:
    assert {module.__name__ for module in MODULES} == {attack.make.__module__ for attack in ATTACKS.values()}
