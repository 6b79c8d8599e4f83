"""huggingface_hub beside our own ways: downloads, uploads until the file is verified, and downloads from its cache.

    python -m benchmarks.hub_transfer --python .venv-hub/bin/python [--mb 256] [--rounds 3]

``--python`` is an interpreter with huggingface_hub and hf-xet. The server runs as its own processes, and the client is
one program: it imports huggingface_hub before its clock starts. The ways take turns, in another order each round. Each
upload has other bytes, and a download is written to a new file on the same disk. Other work on the machine changes the
speed from round to round, so each number is the median of the rounds, and each ratio the median of those of the rounds.

    link      a signed link, read in blocks of a mebibyte; "resolve" is the address under /hf, read likewise
    hub       hf_hub_download into an empty cache; "link by hub": huggingface_hub's own reader reads the signed link
    tus       POST and one PATCH, then until the model is available
    lfs, xet  HfApi.upload_file, which returns when the commit is verified
    cached    the CPU of the server for a HEAD of a file that the client has, beside a 304 of the signed link

Last figures: docs/decide/benchmarks.md
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.search import machine
from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import open_store

_SOURCE = str(Path(__file__).parents[1] / "src")
_CLIENT = Path(__file__).with_name("hub_transfer_client.py")
_HEAD_REQUESTS = 2000
_COMPARED = (("resolve", "link"), ("hub", "link by hub"), ("hub", "link"), ("lfs", "tus"), ("xet", "tus"))


@contextmanager
def serving(home: Path) -> Iterator[tuple[int, int]]:
    """Run a server with one worker; yield its port and the process id of its supervisor."""
    command = [sys.executable, "-c", "from modelyard.cli import main; main()"]
    command += ["serve", "--home", str(home), "--port", "0", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": _SOURCE, "PYTHONUNBUFFERED": "1", "MODELYARD_RATE_LIMIT_PER_MINUTE": "0"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert address is not None, "it did not start"
            yield int(address[1]), process.pid
        finally:
            process.terminate()


def cpu_seconds(supervisor: int) -> float:
    """Return the CPU of a server's processes so far."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    ticks = 0
    for process in children:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def print_rounds(figures: dict[str, list[tuple[float, float, float]]], mebibytes: int) -> None:
    """Print the median of each way, and the ratios of the ways that are compared."""
    seconds = {way: [took for took, _, _ in rounds] for way, rounds in figures.items()}
    print("| | MiB/s | CPU of the client, s | CPU of the server, s |\n|---|---:|---:|---:|")
    for way, rounds in figures.items():
        client, server = (median(times[place] for times in rounds) for place in (1, 2))
        print(f"| {way} | {mebibytes / median(seconds[way]):.0f} | {client:.2f} | {server:.2f} |")
    print("\n| throughput | median | lowest | highest |\n|---|---:|---:|---:|")
    for way, other in _COMPARED:
        ratios = [base / took for took, base in zip(seconds[way], seconds[other], strict=True)]
        print(f"| {way} / {other} | {median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", required=True)
    parser.add_argument("--mb", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        store = open_store(f"sqlite:///{home}/modelyard.sqlite")
        key, _ = Auth(store).create_key("bench", [Scope.READ, Scope.WRITE])
        store.close()
        with serving(home) as (port, supervisor):
            environment = os.environ | {
                "HF_ENDPOINT": f"http://127.0.0.1:{port}/hf",
                "HF_TOKEN": key,
                "HF_HOME": str(Path(folder) / "cache"),
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            }
            command = [options.python, "-I", str(_CLIENT), str(port), folder, str(supervisor)]
            command += [str(options.mb), str(options.rounds)]
            with subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as client:
                assert client.stdin is not None
                assert client.stdout is not None
                figures = json.loads(client.stdout.readline())
                cpu = {}
                for way in ("304", "HEAD"):
                    before = cpu_seconds(supervisor)
                    client.stdin.write(f"{way} {_HEAD_REQUESTS}\n")
                    client.stdin.flush()
                    client.stdout.readline()
                    cpu[way] = (cpu_seconds(supervisor) - before) / _HEAD_REQUESTS * 1e6
    print(f"{options.mb} MiB, {machine()}, {time.strftime('%Y-%m-%d')}\n")
    print_rounds(figures, options.mb)
    print(f"HEAD {cpu['HEAD']:.0f} µs / 304 {cpu['304']:.0f} µs = {cpu['HEAD'] / cpu['304']:.2f}")


if __name__ == "__main__":
    main()
