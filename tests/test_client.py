"""The Python client and `modelyard pull` and `push`, against a server over a socket."""

import base64
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import msgspec
import pytest

from modelyard import errors, wire
from modelyard.cli import run
from modelyard.client import Client, Model
from modelyard.domain import Hashes, Licence, Scope
from modelyard.store import uploads

from .app_fixture import Address, App, a_model, listening, open_app
from .pictures import picture
from .processes import wait_for
from .transfers import WRITER, checking, dangerous_bytes, lora_bytes, upload


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


@contextmanager
def verifying(bench: Bench) -> Iterator[None]:
    """Verify uploads while entered, as the server's verifier does."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            bench.check()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = tmp_path / "home"
    home.mkdir()
    with open_app(home) as yard, listening(yard) as address:
        yield Bench(yard, address, home)


def test_the_audit_is_iterated_over_all_pages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.wire.audit.LIMIT_DEFAULT", 2)
    key = bench.yard.key("red", Scope.ADMIN)
    for _ in range(4):
        bench.yard.access.create_key("red", [Scope.READ])
    with Client(bench.address.url, key) as client:
        rows = list(client.audit(verb="key", team="red"))
        with pytest.raises(errors.InvalidRequest, match=r"filter\.verb"):
            next(client.audit(verb="nonsense"))

    assert sorted((row.id for row in rows), reverse=True) == [row.id for row in rows]
    assert {("key.create", "red")} == {(row.verb, row.team) for row in rows}
    assert 5 <= len(rows)


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


def test_models_are_searched_and_sorted(bench: Bench) -> None:
    licence = Licence(allow_commercial=("rent",))
    bench.yard.put(
        a_model(1, title="夜の港", size_bytes=5, licence=licence),
        a_model(2, title="Night", size_bytes=9),
        a_model(3, title="Night"),
    )
    with bench.client() as client:
        assert [1] == [model.id for model in client.models(search="夜の")]
        assert [2, 1, 3] == [model.id for model in client.models(sort="size")]
        assert [1, 2, 3] == [model.id for model in client.models(sort="-size")]
        assert [1] == [model.id for model in client.models(licence_commercial="rent")]
        assert [2, 3] == sorted(model.id for model in client.models(licence_commercial=["unknown"]))
        with pytest.raises(errors.InvalidRequest, match="sort: 'best' is not accepted"):
            list(client.models(sort="best"))


def test_many_hashes_are_looked_up_at_once(bench: Bench) -> None:
    bench.yard.put(a_model(1, hashes=Hashes(sha256="AB" * 32)), a_model(2, hashes=Hashes(autov1="01234567")))
    misses = [f"{number:08x}" for number in range(0xA0000000, 0xA0000000 + 2_000)]
    with bench.client() as client:
        found = client.by_hashes(["ABABABABAB", *misses, "0x01234567", "ABABABABAB"])
        with pytest.raises(errors.InvalidRequest, match="'zebra' is not accepted"):
            client.by_hashes(["zebra"])

    assert ["ABABABABAB", *misses, "0x01234567"] == list(found)
    assert {"ABABABABAB": [1], "0x01234567": [2]} == {
        text: [model.id for model in models] for text, models in found.items() if models
    }


def test_a_workflow_says_which_models_it_needs(bench: Bench, tmp_path: Path) -> None:
    bench.yard.put(a_model(1, file_names=("glow.safetensors",)))
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps({"1": {"class_type": "LoraLoader", "inputs": {"lora_name": "glow.safetensors"}}}))
    with bench.client() as client:
        needs, same = client.resolve(workflow), client.resolve(workflow.read_bytes())
        with pytest.raises(errors.UnsupportedFile, match="this is no workflow"):
            client.resolve(b"hello")

    assert needs == same
    assert [("glow.safetensors", "loras", "file_name", [1])] == [
        (need.name, need.directory, need.how, [model.id for model in need.models]) for need in needs.needs
    ]
    assert (1, 0, []) == (needs.found_count, needs.missing_count, needs.unknown_nodes)


def test_a_filter_that_there_is_not_is_refused(bench: Bench) -> None:
    with bench.client() as client, pytest.raises(errors.InvalidRequest, match="the filters search, visibility"):
        list(client.models(tipes="lora"))  # type: ignore[call-arg] # what the test is about


def test_a_server_refuses_a_filter_that_only_the_client_knows(bench: Bench) -> None:
    preferences = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        preferences.append(request.headers["prefer"])
        return httpx2.Response(200, json={"models": [], "pagination": {"next_cursor": ""}})

    with a_client(answer) as client:
        list(client.models(types="lora"))

    assert ["handling=strict"] == preferences


def test_a_model_of_the_client_has_the_fields_of_the_record() -> None:
    assert wire.ModelRecord.__struct_fields__ == Model.__struct_fields__


def test_a_model_without_a_file_has_no_address(bench: Bench) -> None:
    bench.yard.put(a_model(1))

    with bench.client() as client:
        assert None is client.get(1).download_url


def test_a_model_is_described_changed_and_deleted(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(lora_bytes())
    (tmp_path / "cover.png").write_bytes(picture())
    with bench.client() as client:
        model = client.upload(tmp_path / "m.safetensors", tags="a", base_model="Mine")
        waiting = client.details(model.id).check
        bench.check()
        details = client.details(model.id)
        edited = client.edit(model.id, tags=["b", "c"], base_model=None)
        covered = client.set_cover(model.id, tmp_path / "cover.png")
        counts = client.facets(visibility="private")
        client.delete(model.id)
        with pytest.raises(errors.ModelNotFound):
            client.get(model.id)

    assert ("waiting", "clean") == (waiting and waiting.verdict, details.check and details.check.verdict)
    assert ("Mine", len(lora_bytes())) == (details.declared["base_model"], details.found["size_bytes"])
    assert (("b", "c"), "SD 1.5") == (edited.tags, edited.base_model)
    assert covered.cover_url.startswith(bench.address.url)
    assert (1, ["b", "c"]) == (counts.total, sorted(count.name for count in counts.tags))


def test_details_are_typed_and_a_title_means_a_model(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(lora_bytes())
    with bench.client() as client:
        model = client.upload(tmp_path / "m.safetensors", title="夜 | Night", description="At sea", trigger_words="a,b")
        bench.check()
        client.edit(model.id, licence={"allow_commercial": ["rent"]}, recommended={"weight": 0.5}, version_group="g")
        details = client.details(model.id)
        found = client.find("夜 | Night")
        with pytest.raises(errors.ModelNotFound):
            client.find("夜")

    assert ("夜 | Night", "At sea", ("a", "b")) == (details.title, details.description, details.trigger_words)
    assert (Licence(allow_commercial=("rent",)), 0.5) == (
        details.licence,
        details.recommended and details.recommended.weight,
    )
    assert ([True], ["clean"]) == ([file.is_here for file in details.files], [file.scan for file in details.files])
    assert [model.id] == [version.id for version in (details.version_group.versions if details.version_group else [])]
    assert "user" == details.facts["title"].layer
    assert model.id == found.id


def test_folders_that_are_missing_are_made_and_files_do_not_replace_each_other(bench: Bench, tmp_path: Path) -> None:
    contents = [lora_bytes(seed=number) for number in range(3)]
    for number, content in enumerate(contents):
        upload(bench.yard, f"m{number}", content)
    bench.check()

    with bench.client() as client:
        paths = [client.download(model, tmp_path / "new" / "loras") for model in client.models(visibility="private")]

    assert sorted(contents) == sorted(path.read_bytes() for path in paths)


def test_a_name_of_several_models_is_ambiguous(bench: Bench) -> None:
    bench.yard.put(a_model(1, name="v1", sd_name="a_1.pt"), a_model(2, name="v1", sd_name="b_2.pt"))

    with bench.client() as client, pytest.raises(errors.AmbiguousName, match=r"1 \(a_1\.pt\), 2 \(b_2\.pt\)"):
        client.find("v1")


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
        client.download(client.get(model_id), tmp_path, lambda at, _: told.append(at), name="m")

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
            client.download(client.get(model_id), tmp_path, name="m")
        client.download(client.get(model_id), tmp_path, name="m")

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


def test_push_waits_until_its_files_are_verified(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (tmp_path / f"m{number}.safetensors").write_bytes(lora_bytes(seed=number))
    words = ["--url", bench.address.url, "--key", bench.yard.key("red", *WRITER)]

    with verifying(bench):
        code = run(["push", *words, *(str(tmp_path / f"m{number}.safetensors") for number in range(3))])

    assert 0 == code, capsys.readouterr().err
    with bench.client() as client:
        assert [1, 1, 1] == [model.status for model in client.models(visibility="private")]


def test_push_fails_with_the_reason_if_the_server_refuses_a_file(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.pt").write_bytes(dangerous_bytes())
    (tmp_path / "good.safetensors").write_bytes(lora_bytes())
    words = ["--url", bench.address.url, "--key", bench.yard.key("red", *WRITER)]

    with verifying(bench):
        code = run(["push", *words, str(tmp_path / "bad.pt"), str(tmp_path / "good.safetensors")])

    captured = capsys.readouterr()
    assert 1 == code
    assert re.search(
        r"bad\.pt: http://127\.0\.0\.1:\d+: the server refused the file: dangerous: .*posix\.system", captured.err
    )
    assert "good.safetensors: model" in captured.out


def test_push_says_so_if_there_is_no_verdict_in_time(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.safetensors").write_bytes(lora_bytes())
    words = ["--url", bench.address.url, "--key", bench.yard.key("red", *WRITER), "--wait", "1"]

    code = run(["push", *words, str(tmp_path / "m.safetensors")])

    assert 1 == code
    assert "has not verified model" in capsys.readouterr().err


def test_the_same_file_is_sent_once(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(lora_bytes())
    words = ["push", "--url", bench.address.url, "--key", bench.yard.key("red", *WRITER), str(path)]

    with verifying(bench):
        codes = [run(words) for _ in range(2)]

    first, second = capsys.readouterr().out.splitlines()
    assert [0, 0] == codes
    assert f"{first} (the server has this file already)" == second
    with bench.yard.store.reading() as connection:
        assert 1 == len(uploads.ids(connection))


def test_a_file_that_is_sent_twice_at_once_becomes_one_model(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(lora_bytes())
    with bench.client() as client:
        for _ in range(2):
            client.upload(path)
        bench.check()
        models = list(client.models(visibility="private"))
    with bench.yard.store.reading() as connection:
        ids = {upload.model_id for id_ in uploads.ids(connection) if (upload := uploads.find(connection, id_))}

    assert [1] == [model.status for model in models]
    assert {models[0].id} == ids


def test_files_of_one_content_and_two_names_stay_two_models(bench: Bench, tmp_path: Path) -> None:
    with bench.client() as client:
        for name in ("a", "b"):
            (tmp_path / f"{name}.safetensors").write_bytes(lora_bytes())
            client.upload(tmp_path / f"{name}.safetensors")
        bench.check()

        assert ["a", "b"] == sorted(model.name for model in client.models(visibility="private"))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--type", "loras"], "'loras' is not one of"),
        (["--url", "ftp://models.example"], "accepted: HOST[:PORT], http://HOST"),
        (["--url", "http://"], "accepted: HOST[:PORT], http://HOST"),
        (["--key", ""], "give --key or MODELYARD_KEY"),
    ],
)
def test_push_refuses_wrong_options_before_it_sends_anything(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    (tmp_path / "m.safetensors").write_bytes(lora_bytes())
    good = ["--url", bench.address.url, "--key", bench.yard.key("red", *WRITER)]

    code = run(["push", *good, *words, str(tmp_path / "m.safetensors")])

    assert 2 == code
    assert problem in capsys.readouterr().err
    with bench.client() as client:
        assert [] == list(client.models())


def test_pull_replaces_another_file_and_leaves_the_right_one(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {name: lora_bytes(seed=number) for number, name in enumerate(("same", "other", "empty", "folder"))}
    models = {name: upload(bench.yard, name, content) for name, content in contents.items()}
    bench.check()
    files = {name: tmp_path / models[name]["sd_name"] for name in contents}
    files["same"].write_bytes(contents["same"])
    os.utime(files["same"], (1, 1))
    files["other"].write_bytes(b"x" * len(contents["other"]))
    files["empty"].touch()
    files["folder"].mkdir()
    words = ["pull", "--url", bench.address.url, "--key", bench.yard.key("red", *WRITER), "--root", str(tmp_path)]

    code = run([*words, *contents])

    assert 1 == code
    assert "is a folder" in capsys.readouterr().err
    assert [contents[name] for name in ("same", "other", "empty")] == [
        files[name].read_bytes() for name in ("same", "other", "empty")
    ]
    assert 1 == files["same"].stat().st_mtime


def test_ctrl_c_ends_a_transfer_that_waits_for_the_server(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(lora_bytes())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        program = [sys.executable, "-c", "from modelyard.cli import main; main()"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
        for command in (["push", str(tmp_path / "m.safetensors")], ["pull", "m"]):
            with subprocess.Popen(
                [*program, *command, "--url", url, "--key", "sk_x"],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 # a shell may have SIGINT ignored for its background jobs
            ) as process:
                connection, _ = silent.accept()
                process.send_signal(signal.SIGINT)
                _, text = process.communicate(timeout=60)
                connection.close()

            assert 130 == process.returncode, text
            assert "Interrupted: 0 of 1 files are done." in text


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


def a_record(**changes: object) -> Model:
    """A model whose file is at another host."""
    record = msgspec.json.decode(wire.fill_holes(wire.render_record(a_model(7)), str, ""), type=Model)
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
        client.download(a_record(), tmp_path)

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


@pytest.mark.parametrize("name", ["nice.exe", "evil.sh", ".bashrc", "evil.py", "plain", ".hidden.pt"])
def test_a_server_cannot_write_other_files_than_models(tmp_path: Path, name: str) -> None:
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
