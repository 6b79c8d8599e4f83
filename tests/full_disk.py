"""A server whose disk fills up and is freed again, for tests/store/test_full_disk.py.

    unshare … python -m tests.full_disk <home>

``home`` is a small file system of its own. The result is printed as JSON.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.facts import Entry, Facts, Layer
from modelyard.store import open_store
from tests.app_fixture import a_private
from tests.process_commands import PROGRAM, Served, environment, serving

_MODEL_ID = 1_000_000_001
_BLOCK = b"0" * 65_536
_ATTEMPTS_MAX = 3_000


def fill(path: Path) -> None:
    """Write a file until nothing fits on its disk, not even a byte."""
    with path.open("wb", buffering=0) as file:
        for size in (len(_BLOCK), 4_096, 1):
            try:
                while file.write(_BLOCK[:size]):
                    pass
            except OSError:
                continue


def ask(served: Served, method: str, target: str, body: object = None) -> tuple[int, Any]:
    """Send a request; return its status and its JSON."""
    with closing(served.connect()) as connection:
        headers = {"Authorization": f"Bearer {served.key}"}
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")


def rename_until(served: Served, expected_status: int) -> tuple[int, Any]:
    """Rename the model until an answer has a status: a log of writes may have room for some more."""
    status, answer = 0, None
    for number in range(_ATTEMPTS_MAX):
        status, answer = ask(served, "PATCH", f"/v3/model?id={_MODEL_ID}", {"name": f"name {number}"})
        if status == expected_status:
            break
        time.sleep(0.01)
    return status, answer


def play(home: Path) -> dict[str, object]:
    """Return what the server and a command say while the disk is full, and after."""
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    key, _ = Auth(store).create_key("red", [Scope.READ, Scope.WRITE])
    with store.transaction() as writing:
        facts = Facts(name="night", sd_name="night.safetensors")
        writing.put([Entry(a_private(_MODEL_ID, "red"), {Layer.USER: facts})])
    store.close()
    with tempfile.TemporaryFile("w+") as log, serving(home, 1, key, log=log) as served:
        before = rename_until(served, 200)[0]
        fill(home / "ballast")
        status, refused = rename_until(served, 503)
        readiness = ask(served, "GET", "/readyz")[1]
        read = ask(served, "GET", "/v3/model")[0]
        command = subprocess.run(
            [*PROGRAM, "key", "create", "--team", "blue", "--home", str(home)],
            capture_output=True, text=True, env=environment(), check=False,
        )  # fmt: skip # one command
        (home / "ballast").unlink()
        after = rename_until(served, 200)[0]
        healed = ask(served, "GET", "/readyz")[1]
        log.seek(0)
        lines = log.read().splitlines()
    return {
        "statuses": [before, status, read, after],
        "message": refused["message"],
        "problems": readiness.get("problems", {}),
        "healed": healed.get("problems", {}),
        "command": [command.returncode, command.stderr],
        "log": lines,
    }


if __name__ == "__main__":
    print(json.dumps(play(Path(sys.argv[1]))))
