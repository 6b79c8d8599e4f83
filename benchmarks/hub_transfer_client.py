"""The client of hub_transfer.py: what it sends and fetches by huggingface_hub, and by plain HTTP beside it.

``python -m benchmarks.hub_transfer`` runs it in an environment with huggingface_hub, which has nothing of ours. It
prints one line of JSON: of each way and round the seconds, the CPU of the client, and the CPU of the server. Then it
reads lines of a way and a number, and sends so many requests: 304 of a signed link, or HEAD of a file as a client with
a full cache sends it.
"""

import base64
import http.client
import json
import os
import random
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import huggingface_hub
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.file_download import http_get

PORT, SUPERVISOR, MEBIBYTES, ROUNDS = (int(sys.argv[number]) for number in (1, 3, 4, 5))
FOLDER = Path(sys.argv[2])
KEY = os.environ["HF_TOKEN"]
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}
NAME = "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"


def make_file() -> Path:
    """Write a LoRA of random bytes."""
    size_bytes = MEBIBYTES << 20
    shape = {"dtype": "F32", "shape": [size_bytes // 32, 8], "data_offsets": [0, size_bytes]}
    header = json.dumps({NAME: shape}).encode()
    path = FOLDER / f"{secrets.token_hex(8)}.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(MEBIBYTES):
            file.write(os.urandom(1 << 20))
    return path


def ask(method: str, path: str, headers: dict[str, str] | None = None) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=300)
    connection.request(method, path, headers=AUTHORIZATION | (headers or {}))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def send_by_tus(path: Path) -> None:
    words = AUTHORIZATION | {"Tus-Resumable": "1.0.0"}
    name = base64.b64encode(path.stem.encode()).decode()
    size = str(path.stat().st_size)
    made, _ = ask("POST", "/v3/uploads", words | {"Upload-Length": size, "Upload-Metadata": f"name {name}"})
    place = urlsplit(made.headers["location"]).path
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=300)
    connection.putrequest("PATCH", place)
    more = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", "Content-Length": size}
    for header, value in (words | more).items():
        connection.putheader(header, value)
    connection.endheaders()
    with path.open("rb") as file:
        connection.sock.sendfile(file)
    assert connection.getresponse().status == 204
    answer, _ = ask("HEAD", place, words)
    model = answer.headers["modelyard-model"]
    while not json.loads(ask("GET", f"/v3/model/details?id={model}")[1])["status"]:
        time.sleep(0.02)


def send_by_hub(path: Path, *, is_xet: bool) -> None:
    constants.HF_HUB_DISABLE_XET = not is_xet
    api, repository = HfApi(), f"bench/{path.stem}"
    api.create_repo(repository)
    api.upload_file(path_or_fileobj=path, path_in_repo="a.safetensors", repo_id=repository)


def fetch(request: str | Request) -> None:
    with urlopen(request) as answer, (FOLDER / "down").open("wb") as file:
        shutil.copyfileobj(answer, file, 1 << 20)


def fetch_link_by_hub(link: str) -> None:
    with (FOLDER / "down").open("wb") as file:
        http_get(link, file)


def server_cpu_seconds() -> float:
    """Return the CPU of the processes of the server so far."""
    children = Path(f"/proc/{SUPERVISOR}/task/{SUPERVISOR}/children").read_text().split()
    ticks = 0
    for process in children:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(call: Callable[[], object]) -> tuple[float, float, float]:
    """Return the seconds that a call takes, the CPU of this process, and the CPU of the server."""
    before = time.perf_counter(), time.process_time(), server_cpu_seconds()
    call()
    after = time.perf_counter(), time.process_time(), server_cpu_seconds()
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def link_of() -> tuple[str, str, str]:
    """Return the link, the repository and the file of an uploaded model."""
    model = json.loads(ask("GET", "/v3/model?filter.visibility=private")[1])["models"][0]
    repository = f"bench/{model['id']}"
    (name,) = (name for name in HfApi().list_repo_files(repository) if name != "README.md")
    return model["download_url"], repository, name


def main() -> None:
    ways = ("link", "resolve", "link by hub", "hub", "tus", "lfs", "xet")
    rounds: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    uploads = [
        ("tus", send_by_tus),
        ("lfs", lambda path: send_by_hub(path, is_xet=False)),
        ("xet", lambda path: send_by_hub(path, is_xet=True)),
    ]
    for _ in range(ROUNDS):
        uploads.append(uploads.pop(0))
        for way, send in uploads:
            path = make_file()
            rounds[way].append(timed(lambda send=send, path=path: send(path)))
            path.unlink()
        link, repository, name = link_of()
        url = f"http://127.0.0.1:{PORT}/hf/{repository}/resolve/main/{name}"
        fetch(link)  # the server has the file in memory from now on
        downloads = [
            ("link", lambda link=link: fetch(link)),
            ("resolve", lambda url=url: fetch(Request(url, headers=AUTHORIZATION))),
            ("link by hub", lambda link=link: fetch_link_by_hub(link)),
            ("hub", lambda repository=repository, name=name: hf_hub_download(repository, name)),
        ]
        for way, download in sorted(downloads, key=lambda _: random.random()):
            shutil.rmtree(FOLDER / "cache" / "hub", ignore_errors=True)
            (FOLDER / "down").unlink(missing_ok=True)
            rounds[way].append(timed(download))
    print(json.dumps(rounds), flush=True)
    link, repository, name = link_of()
    parts = urlsplit(link)
    target = f"{parts.path}?{parts.query}"
    etag = ask("HEAD", target)[0].headers["etag"]
    path = f"/hf/{repository}/resolve/main/{name}"
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    for line in sys.stdin:
        way, count = line.split()
        for _ in range(int(count)):
            if way == "304":
                connection.request("GET", target, headers={"If-None-Match": etag})
            else:
                connection.request("HEAD", path, headers=AUTHORIZATION)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == (304 if way == "304" else 200), answer.status
        print("done", flush=True)


print(huggingface_hub.__version__, file=sys.stderr)
main()
