"""The Python client and `modelyard pull` and `push`, against a server over a socket."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from modelyard import errors
from modelyard.cli import run
from modelyard.client import Client

from .processes import wait_for
from .transfers import WRITER, checking, lora_bytes, upload
from .yard import Address, Yard, a_model, listening, opened_yard


@dataclass
class Bench:
    yard: Yard
    address: Address
    home: Path

    def client(self, team: str = "red") -> Client:
        return Client(self.address.url, self.yard.key(team, *WRITER))

    def check(self) -> None:
        check = checking(self.yard, self.home)
        while check.check_next():
            pass


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = tmp_path / "home"
    home.mkdir()
    with opened_yard(home) as yard, listening(yard) as address:
        yield Bench(yard, address, home)


def test_all_pages_are_walked(bench: Bench) -> None:
    bench.yard.put(*(a_model(number) for number in range(1, 251)))

    with bench.client() as client:
        ids = [model.id for model in client.models()]

    assert [*range(1, 251)] == ids


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
    with bench.client() as client, pytest.raises(errors.NoSuchModel):
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
