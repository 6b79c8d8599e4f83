"""The Python client and `modelyard pull` and `push`, against a server over a socket."""

import base64
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import msgspec
import pytest

from modelyard import errors, wire
from modelyard.cli import run
from modelyard.client import Client
from modelyard.domain import Hashes
from modelyard.wire import ModelRecord

from .app_fixture import Address, App, a_model, listening, open_app
from .processes import wait_for
from .transfers import WRITER, checking, lora_bytes, upload


@dataclass
class Bench:
    yard: App
    address: Address
    home: Path

    def client(self, team: str = "red") -> Client:
        return Client(self.address.url, self.yard.key(team, *WRITER))

    def check(self) -> None:
        check = checking(self.yard, self.home)
        while check.verify_next():
            pass


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = tmp_path / "home"
    home.mkdir()
    with open_app(home) as yard, listening(yard) as address:
        yield Bench(yard, address, home)


def test_all_pages_are_walked(bench: Bench) -> None:
    bench.yard.put(*(a_model(number) for number in range(1, 251)))

    with bench.client() as client:
        ids = [model.id for model in client.models()]

    assert [*range(1, 251)] == ids


def test_a_file_whose_name_is_not_utf8_is_uploaded(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "night\udcff.safetensors"
    path.write_bytes(lora_bytes())

    with bench.client() as client:
        model = client.upload(path)

    assert (f"night_{model.id}.safetensors", "night") == (model.sd_name, model.name)


def test_filters_are_named_as_in_the_api(bench: Bench) -> None:
    bench.yard.put(a_model(1), a_model(2, is_sdxl=True), a_model(3, is_sdxl=True, is_nsfw=True))

    with bench.client() as client:
        assert [2] == [model.id for model in client.models(is_sdxl=True, is_nsfw=False, types=["checkpoint", "vae"])]


def test_what_is_sent_comes_back(bench: Bench, tmp_path: Path) -> None:
    content = lora_bytes(fill=20_000_000)
    (tmp_path / "sent.safetensors").write_bytes(content)
    (tmp_path / "back").mkdir()
    with bench.client() as client:
        sent = client.upload(tmp_path / "sent.safetensors", tags="a,b")
        bench.check()
        fetched = client.download(client.get(sent.id), tmp_path / "back")

    assert 0 == sent.status
    assert sent.sd_name == fetched.name
    assert content == fetched.read_bytes()
    assert [fetched.name] == [path.name for path in (tmp_path / "back").iterdir()]


def test_a_download_goes_on_where_it_was_interrupted(bench: Bench, tmp_path: Path) -> None:
    content = lora_bytes(fill=500_000)
    model_id = upload(bench.yard, "m", content)["id"]
    bench.check()
    (tmp_path / "m.part").write_bytes(content[:300_000])
    told: list[int] = []
    with bench.client() as client:
        client.download(client.get(model_id), tmp_path / "m", lambda at, _: told.append(at))

    assert content == (tmp_path / "m").read_bytes()
    assert all(at > 300_000 for at in told)


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_part_is_found_out_and_thrown_away(bench: Bench, tmp_path: Path, whole: bool) -> None:
    content = lora_bytes(fill=500_000)
    model_id = upload(bench.yard, "m", content)["id"]
    bench.check()
    (tmp_path / "m.part").write_bytes(b"x" * (len(content) if whole else 1000))
    with bench.client() as client:
        with pytest.raises(errors.HashMismatch):
            client.download(client.get(model_id), tmp_path / "m")
        client.download(client.get(model_id), tmp_path / "m")

    assert content == (tmp_path / "m").read_bytes()


def test_errors_are_the_servers_own(bench: Bench) -> None:
    with bench.client() as client, pytest.raises(errors.ModelNotFound):
        client.get(77)
    with Client(bench.address.url, "sk_wrong") as client, pytest.raises(errors.InvalidKey) as refused:
        list(client.models())
    with bench.client() as client, pytest.raises(errors.InvalidRequest) as wrong:
        list(client.models(is_sdxl="maybe"))

    assert "invalid api-key" == refused.value.message
    assert "filter.is_sdxl" == wrong.value.facts["parameter"]


def test_busy_servers_are_asked_again_when_they_said() -> None:
    pauses: list[float] = []
    answers = iter(
        [
            httpx2.Response(429, headers={"retry-after": "7"}, json={"reason": "RATE_LIMIT_EXCEEDED", "message": "m"}),
            httpx2.Response(503, json={"reason": "UNAVAILABLE", "message": "m"}),
            httpx2.Response(200, json={"models": [], "pagination": {"next_cursor": ""}}),
        ]
    )

    with Client("http://x", transport=httpx2.MockTransport(lambda _: next(answers)), sleep=pauses.append) as client:
        assert [] == list(client.models())

    assert 7.0 == pauses[0]
    assert 0 < pauses[1] < 2


def test_pull_puts_files_where_programs_look(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", bench.address.url)
    monkeypatch.setenv("MODELYARD_KEY", bench.yard.key("red", *WRITER))
    contents = {name: lora_bytes(seed=number) for number, name in enumerate(("a", "b", "c", "d", "e"))}
    models = [upload(bench.yard, name, content) for name, content in contents.items()]
    bench.check()
    wanted = [str(models[0]["id"]), hashlib.sha256(contents["b"]).hexdigest(), "c", models[3]["sd_name"], "e"]

    code = run(["pull", "--layout", "comfyui", "--root", str(tmp_path / "ui"), *wanted])

    assert 0 == code
    assert sorted(contents.values()) == sorted(
        path.read_bytes() for path in (tmp_path / "ui" / "models" / "loras").iterdir()
    )


def test_pull_of_what_is_not_there_says_so_and_fetches_the_rest(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(bench.yard, "here", lora_bytes())
    bench.check()
    words = ["--url", bench.address.url, "--key", bench.yard.key("red", *WRITER), "--root", str(tmp_path / "files")]

    code = run(["pull", *words, "here", "nowhere"])

    assert 1 == code
    assert "nowhere" in capsys.readouterr().err
    assert 1 == len(list((tmp_path / "files").iterdir()))


def test_push_sends_what_becomes_a_model(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (tmp_path / f"m{number}.safetensors").write_bytes(lora_bytes(seed=number))
    words = ["--url", bench.address.url, "--key", bench.yard.key("red", *WRITER)]

    code = run(["push", *words, *(str(tmp_path / f"m{number}.safetensors") for number in range(3))])
    bench.check()

    assert 0 == code, capsys.readouterr().err
    with bench.client() as client:
        assert [1, 1, 1] == [model.status for model in client.models(visibility="private")]


def has_begun(folder: Path) -> bool:
    try:
        return any(path.stat().st_size for path in folder.iterdir())
    except FileNotFoundError:
        return False  # there is no folder yet, or the file was just given its name


def test_a_pull_that_is_killed_is_continued_by_the_next(bench: Bench, tmp_path: Path) -> None:
    content = lora_bytes(fill=200_000_000)
    upload(bench.yard, "large", content)
    bench.check()
    command = [sys.executable, "-m", "modelyard.cli", "pull", "--root", str(tmp_path / "files"), "large"]
    environment = os.environ | {
        "MODELYARD_URL": bench.address.url,
        "MODELYARD_KEY": bench.yard.key("red", *WRITER),
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
    }
    command[1:3] = ["-c", "from modelyard.cli import main; main()"]
    files = tmp_path / "files"
    for _ in range(10):  # a whole file may be there sooner than this process gets its turn to kill
        with subprocess.Popen(command, env=environment) as first:
            assert wait_for(lambda: has_begun(files))
            first.send_signal(signal.SIGKILL)
        (left,) = files.iterdir()
        if left.suffix == ".part":
            break
        left.unlink()

    assert 0 == subprocess.run(command, env=environment, check=False, timeout=60).returncode
    assert ".part" == left.suffix
    (whole,) = files.iterdir()
    assert hashlib.sha256(content).digest() == hashlib.sha256(whole.read_bytes()).digest()


# --- What a server may not make the client do


CONTENT = b"a model's bytes" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DIGEST = {"repr-digest": f"sha-256=:{base64.b64encode(bytes.fromhex(SHA256)).decode()}:"}


def a_record(**changes: object) -> ModelRecord:
    """A model whose file is at another host."""
    record = msgspec.json.decode(wire.fill_holes(wire.render_record(a_model(7)), str, ""), type=ModelRecord)
    values = {"download_url": "http://files.example/f", "sd_name": "m.pt", "hash_sha256": SHA256[:10].upper()}
    return msgspec.structs.replace(record, **(values | changes))


def a_client(answer: Callable[[httpx2.Request], httpx2.Response], pauses: list[float] | None = None) -> Client:
    sleep = [].append if pauses is None else pauses.append
    return Client("http://yard.example/", "sk_key", transport=httpx2.MockTransport(answer), sleep=sleep)


def test_the_key_goes_to_the_server_and_to_nobody_else(tmp_path: Path) -> None:
    keys: dict[str, str | None] = {}

    def answer(request: httpx2.Request) -> httpx2.Response:
        keys[str(request.url)] = request.headers.get("authorization")
        if request.url.path == "/v3/model":
            return httpx2.Response(200, json={"models": [], "pagination": {"next_cursor": ""}})
        if request.url.path == "/f":
            return httpx2.Response(302, headers={"location": "http://third.example/g"})
        return httpx2.Response(200, content=CONTENT, headers=DIGEST)

    with a_client(answer) as client:
        list(client.models())
        client.download(a_record(), tmp_path / "m.pt")

    model_url, *others = keys
    assert model_url.startswith("http://yard.example/v3/model?")
    assert "Bearer sk_key" == keys[model_url]
    assert {"http://files.example/f": None, "http://third.example/g": None} == {url: keys[url] for url in others}


def test_the_server_cannot_lead_a_call_with_the_key_elsewhere() -> None:
    hosts = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(307, headers={"location": "http://evil.example/"})

    with a_client(answer) as client, pytest.raises((errors.ModelyardError, msgspec.DecodeError)):
        list(client.models())

    assert ["yard.example"] == hosts


@pytest.mark.parametrize("name", ["../m.pt", "a/b.pt", "a\\b.pt", "/m.pt", "..", ".", "", "a\0b", "a\nb", "a" * 256])
def test_a_file_has_no_name_that_leads_elsewhere(tmp_path: Path, name: str) -> None:
    with a_client(lambda _: httpx2.Response(200, content=CONTENT)) as client, pytest.raises(errors.InvalidRequest):
        client.download(a_record(sd_name=name), tmp_path)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("headers", "hash_sha256", "is_good"),
    [
        (DIGEST, SHA256[:10].upper(), True),
        (DIGEST, "", True),
        ({}, SHA256[:10].upper(), True),
        ({}, SHA256.upper(), True),
        ({}, "0" * 10, False),
        (DIGEST, "0" * 10, False),
        ({"repr-digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}, "", False),
    ],
)
def test_a_file_has_to_be_what_the_record_and_the_answer_say(
    tmp_path: Path, headers: dict[str, str], hash_sha256: str, is_good: bool
) -> None:
    with a_client(lambda _: httpx2.Response(200, content=CONTENT, headers=headers)) as client:
        record = a_record(hash_sha256=hash_sha256)
        if is_good:
            assert CONTENT == client.download(record, tmp_path).read_bytes()
        else:
            with pytest.raises(errors.HashMismatch):
                client.download(record, tmp_path)

    assert (["m.pt"] if is_good else []) == [path.name for path in tmp_path.iterdir()]


def test_a_server_that_knows_no_ranges_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "m.pt.part").write_bytes(b"x" * 50)

    with a_client(lambda _: httpx2.Response(200, content=CONTENT, headers=DIGEST)) as client:
        assert CONTENT == client.download(a_record(), tmp_path).read_bytes()


@pytest.mark.parametrize(
    ("retry_after", "pause"), [("7", 7.0), ("86400", 300.0), ("soon", None), ("-1", None), ("\xb2", None)]
)
def test_a_pause_that_a_server_asks_for_has_a_limit(retry_after: str, pause: float | None) -> None:
    pauses: list[float] = []
    headers = [(b"retry-after", retry_after.encode("latin-1"))]
    answers = iter([httpx2.Response(503, headers=headers), httpx2.Response(404, json={})])

    with a_client(lambda _: next(answers), pauses) as client, pytest.raises(errors.ModelyardError):
        list(client.models())

    assert 1 == len(pauses)
    assert pause == pauses[0] if pause else 0 < pauses[0] <= 0.5


@pytest.mark.parametrize(
    ("status", "tries"), [(423, 6), (429, 6), (502, 6), (503, 6), (504, 6), (400, 1), (401, 1), (404, 1), (500, 1)]
)
def test_what_may_pass_is_tried_six_times_and_anything_else_once(status: int, tries: int) -> None:
    calls = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        return httpx2.Response(status, json={"reason": "", "message": "m"})

    with a_client(answer) as client, pytest.raises(errors.ModelyardError, match="m"):
        list(client.models())

    assert tries == len(calls)


def test_a_server_that_cannot_be_reached_is_unavailable_in_the_end() -> None:
    pauses: list[float] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    with a_client(answer, pauses) as client, pytest.raises(errors.Unavailable, match="cannot be reached"):
        list(client.models())

    assert 5 == len(pauses)
    assert all(0.25 * 2**n * 0.5 <= pause <= 0.25 * 2**n for n, pause in enumerate(pauses, 1))


def test_a_model_is_meant_by_its_id_its_hash_or_its_name(bench: Bench) -> None:
    bench.yard.put(
        a_model(1, name="night", sd_name="night_1.pt", rank=1),
        a_model(2, name="night two", sd_name="night_2.pt", rank=2, hashes=Hashes(sha256="AB" * 32)),
        a_model(3, name="1", sd_name="one_3.pt", rank=3),
    )
    names = {"1": 1, "2": 2, "night": 1, "night_2.pt": 2, "ab" * 32: 2, "ABABABABAB": 2}

    with bench.client() as client:
        assert names == {name: client.find(name).id for name in names}
        for name in ("nigh", "99", "cd" * 32, "night_2.p"):
            with pytest.raises(errors.ModelNotFound):
                client.find(name)
