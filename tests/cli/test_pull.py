"""`modelyard pull` and `modelyard push`: where files go, and what both print. Not here: interruptions (test_client)."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from modelyard import errors
from modelyard.cli import run, transfer
from modelyard.cli.server import ServerAddress
from modelyard.client import Client
from modelyard.domain import Scope
from tests.app_fixture import listening, open_app
from tests.cli.transcript import replay
from tests.fetch_fixture import LOCAL, Fetching, RemoteFile
from tests.fetches.test_fetcher import CONTENT, civitai_version, import_version
from tests.transfers import checking, lora_bytes, upload
from tests.upstream import serve_upstream

COMFYUI = {
    "checkpoint": "models/checkpoints",
    "lora": "models/loras",
    "locon": "models/loras",
    "dora": "models/loras",
    "vae": "models/vae",
    "controlnet": "models/controlnet",
    "upscaler": "models/upscale_models",
    "textualinversion": "models/embeddings",
    "hypernetwork": "models/hypernetworks",
    "unet": "models/diffusion_models",
    "textencoder": "models/text_encoders",
    "clip": "models/text_encoders",
    "clipvision": "models/clip_vision",
    "ipadapter": "models/ipadapter",
    "poses": "models/poses",
}
A1111 = {
    "checkpoint": "models/Stable-diffusion",
    "lora": "models/Lora",
    "locon": "models/Lora",
    "dora": "models/Lora",
    "vae": "models/VAE",
    "controlnet": "models/ControlNet",
    "upscaler": "models/ESRGAN",
    "textualinversion": "embeddings",
    "hypernetwork": "models/hypernetworks",
    "unet": "models/unet",
    "textencoder": "models/textencoder",
    "clip": "models/clip",
    "clipvision": "models/clipvision",
    "ipadapter": "models/ipadapter",
    "poses": "models/poses",
}


def test_each_type_goes_into_the_folder_where_the_program_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        for seed, kind in enumerate(COMFYUI):
            upload(yard, kind, lora_bytes(seed=seed), type_name=kind)
        verification = checking(yard, tmp_path / "home")
        while verification.verify_next():
            pass
        names = [model["sd_name"] for model in yard.ask("/v3/model?filter.visibility=private").json["models"]]
        key = ["--url", address.url, "--key", yard.key()]
        codes = [
            run(["pull", *key, "--layout", layout, "--root", str(tmp_path / layout), *names])
            for layout in ("comfyui", "a1111")
        ]
        codes.append(run(["pull", *key, "--root", str(tmp_path / "plain"), names[0]]))

    assert [0, 0, 0] == codes
    assert 15 == len(names)
    for layout, folders in (("comfyui", COMFYUI), ("a1111", A1111)):
        found = {path.stem.split("_")[0]: path for path in (tmp_path / layout).rglob("*.safetensors")}
        assert folders == {name: path.parent.relative_to(tmp_path / layout).as_posix() for name, path in found.items()}
    assert [tmp_path / "plain"] == [path.parent for path in (tmp_path / "plain").rglob("*.safetensors")]


SELECTIONS = """
$ modelyard pull --search harbour
harbour_2_1000000002.safetensors
harbour_1_1000000001.safetensors
! 2 models, 10.9 kB
$ modelyard pull --search harbour --limit 1 --types lora --base-model Pony --root one --quiet
one/harbour_1_1000000001.safetensors
$ modelyard pull --search mountain
! modelyard: http://SERVER: no model with a file matches 'mountain'
[1]
$ modelyard pull --search night
! modelyard pull: 11 models, 60.2 kB: nobody can answer the question here; download without asking with --yes; see `modelyard pull --help`
[2]
$ modelyard pull --from names.txt --root from --json
[
  {
    "name": "harbour_1_1000000001.safetensors",
    "model": 1000000001,
    "path": "from/harbour_1_1000000001.safetensors"
  }
]
! nothing: http://SERVER: no model 'nothing'
! 1 model, 5.5 kB
[1]
$ modelyard pull --limit 3
! modelyard pull: --types, --base-model and --limit need --search; see `modelyard pull --help`
[2]
$ modelyard pull
! modelyard pull: name models, or give --search, --from or --workflow; see `modelyard pull --help`
[2]
$ modelyard pull harbour --limit-rate 5
! modelyard pull: Invalid value for '--limit-rate': '5' is no rate; accepted: bytes in a second from 10k, such as 500k or 2.5M; see `modelyard pull --help`
[2]
$ modelyard pull harbour_1_1000000001.safetensors --limit-rate 10MB/s --root slow
slow/harbour_1_1000000001.safetensors
"""  # noqa: E501 # lines of a terminal have no limit


def test_models_are_chosen_by_a_search_or_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    (tmp_path / "names.txt").write_text("# for the demo\n\nharbour_1\n  nothing  \nharbour_1_1000000001.safetensors\n")
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        for number, name in enumerate(["other", "harbour_1", "harbour_2", *(f"night_{n}" for n in range(11))]):
            upload(yard, name, lora_bytes(seed=number), base_model="Pony" if name == "harbour_1" else "")
        verification = checking(yard, tmp_path / "home")
        while verification.verify_next():
            pass
        monkeypatch.setenv("MODELYARD_URL", address.url)
        monkeypatch.setenv("MODELYARD_KEY", yard.key("red", Scope.READ, Scope.WRITE))
        # Four threads finish in any order.
        monkeypatch.setattr(transfer, "THREADS", 1)

        assert SELECTIONS.strip() == replay(SELECTIONS, tmp_path, capsys)


def test_original_names_are_the_authors_and_never_replace_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    monkeypatch.setattr(transfer, "THREADS", 1)
    contents = [lora_bytes(seed=1), lora_bytes(seed=2)]
    (tmp_path / "model.safetensors").write_bytes(contents[0])
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        server = ["--url", address.url, "--key", yard.key("red", Scope.READ, Scope.WRITE)]
        with Client(address.url, yard.key("red", Scope.READ, Scope.WRITE)) as client:
            ids = []
            for content in contents:
                (tmp_path / "model.safetensors").write_bytes(content)
                ids.append(str(client.upload(tmp_path / "model.safetensors").id))
            verification = checking(yard, tmp_path / "home")
            while verification.verify_next():
                pass
        first = run(["pull", *server, "--original-names", "--root", "both", *ids])
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "model.safetensors").write_text("mine")
        second = run(["pull", *server, "--original-names", "--root", "there", ids[0]])

    assert (0, 1) == (first, second)
    assert contents[0] == (tmp_path / "both" / "model.safetensors").read_bytes()
    (other,) = [path for path in (tmp_path / "both").iterdir() if path.name != "model.safetensors"]
    assert contents[1] == other.read_bytes()
    assert "mine" == (tmp_path / "there" / "model.safetensors").read_text()
    assert "there/model.safetensors is there already, with other bytes" in capsys.readouterr().err


def test_a_name_on_the_server_that_is_another_models_original_name_gets_the_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    monkeypatch.setattr(transfer, "THREADS", 1)
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        key = yard.key("red", Scope.READ, Scope.WRITE)
        with Client(address.url, key) as client:
            (tmp_path / "other.safetensors").write_bytes(lora_bytes(seed=1))
            other = client.upload(tmp_path / "other.safetensors")
            # The author of this model called the file as the server calls the other one.
            (tmp_path / other.sd_name).write_bytes(lora_bytes(seed=2))
            namesake = client.upload(tmp_path / other.sd_name)
            (tmp_path / "other.safetensors").write_bytes(lora_bytes(seed=3))
            third = client.upload(tmp_path / "other.safetensors")
        verification = checking(yard, tmp_path / "home")
        while verification.verify_next():
            pass
        ids = [str(third.id), str(namesake.id), str(other.id)]
        options = ["--url", address.url, "--key", key, "--original-names", "--root", str(tmp_path / "root")]

        assert 0 == run(["pull", *options, *ids])

    stem = other.sd_name.removesuffix(".safetensors")
    names = {"other.safetensors": 3, other.sd_name: 2, f"{stem}_{other.id}.safetensors": 1}
    assert {name: lora_bytes(seed=seed) for name, seed in names.items()} == {
        path.name: path.read_bytes() for path in (tmp_path / "root").iterdir()
    }


ANSWERS = {
    "moved": (httpx2.Response(308, headers={"location": "https://models.example.org/"}), "leads to https://models"),
    "another program": (httpx2.Response(404, text="<h1>nginx</h1>"), "answered 404; is there a Modelyard server?"),
    "another answer": (httpx2.Response(200, text="<h1>nginx</h1>"), "did not answer as a Modelyard server does"),
    "nobody": (httpx2.ConnectError("[Errno 111] Connection refused"), "cannot be reached: Connection refused"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_error_names_the_address_that_was_asked(name: str) -> None:
    answer, problem = ANSWERS[name]

    def respond(_: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx2.MockTransport(respond)
    with (
        Client("http://models.example.org", transport=transport, sleep=lambda _: None) as client,
        pytest.raises(errors.ModelyardError) as raised,
    ):
        client.user()

    assert raised.value.message.startswith("http://models.example.org")
    assert problem in raised.value.message


@pytest.mark.parametrize("address", ["", "ftp://x", "http://", "http://x:port", "x:0", "http://a b", "[::1"])
def test_what_is_no_address_is_refused(capsys: pytest.CaptureFixture[str], address: str) -> None:
    assert 2 == run(["pull", "night", "--url", address])
    assert f"'--url': {address!r} is not accepted; accepted: HOST[:PORT]" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["http://me:secret@x", "me@x:1", "http://x?key=secret", "http://x/#secret"])
def test_an_address_with_a_password_or_a_query_is_refused_without_its_words(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert 2 == run(["pull", "night", "--url", address])

    message = capsys.readouterr().err
    assert "'--url': a user name, a password, a query and a fragment are not accepted" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("models.lan", "http://models.lan"),
        ("localhost:8080/", "http://localhost:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        (" https://models.example.org ", "https://models.example.org"),
    ],
)
def test_an_address_without_a_scheme_means_http(text: str, address: str) -> None:
    assert address == ServerAddress().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("civitai.example", "https://civitai.example"),
        ("mirror.lan:8080/api/v1/", "https://mirror.lan:8080/api/v1"),
        ("127.0.0.1:8080/api/v1", "http://127.0.0.1:8080/api/v1"),
        ("localhost/api/v1", "http://localhost/api/v1"),
        ("http://mirror.lan", "http://mirror.lan"),
    ],
)
def test_an_address_of_civitai_without_a_scheme_means_https_except_on_this_machine(text: str, address: str) -> None:
    assert address == ServerAddress(scheme="https").convert(text, None, None)


TRANSCRIPT = """
$ modelyard pull night
night_1000000000.safetensors
$ modelyard pull night_1000000000.safetensors --root elsewhere
elsewhere/night_1000000000.safetensors
$ modelyard pull nothing 1000000000 --root third
third/night_1000000000.safetensors
! nothing: http://SERVER: no model 'nothing'
[1]
$ modelyard push night.safetensors
night.safetensors: model 1000000000, night_1000000000.safetensors (the server has this file already)
$ modelyard push night.safetensors --key sk_nobody
! night.safetensors: http://SERVER: invalid api-key
[1]
$ modelyard push text.safetensors --wait 1
! text.safetensors: http://SERVER: the server has not verified model 1000000001 within 1 seconds
[1]
"""


def test_what_they_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night.safetensors").write_bytes(lora_bytes(seed=1))
    (tmp_path / "text.safetensors").write_text("nothing")
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home", clock=lambda: 1_700_000_000) as yard, listening(yard) as address:
        upload(yard, "night", lora_bytes(seed=1))
        checking(yard, tmp_path / "home").verify_next()
        monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
        monkeypatch.setenv("MODELYARD_URL", address.url.removeprefix("http://"))
        monkeypatch.setenv("MODELYARD_KEY", yard.key("red", Scope.READ, Scope.WRITE))

        assert TRANSCRIPT.strip() == replay(TRANSCRIPT, tmp_path, capsys)


WORKFLOW = """
$ modelyard pull --workflow workflow.json --layout comfyui --root comfy
comfy/models/loras/people/harbour_1000000000.safetensors
! missing: ../../harbour_1000000000.safetensors (loras): the name leads out of the folder, or is hidden
! missing: harbor.ckpt (vae)
! workflow.json needs 3 models, 1 is on the server
[1]
$ modelyard pull --workflow workflow.json --layout comfyui --root comfy
comfy/models/loras/people/harbour_1000000000.safetensors
! missing: ../../harbour_1000000000.safetensors (loras): the name leads out of the folder, or is hidden
! missing: harbor.ckpt (vae)
! workflow.json needs 3 models, 1 is on the server
[1]
$ modelyard pull --workflow absent.json
! modelyard pull: --workflow: absent.json: No such file or directory; see `modelyard pull --help`
[2]
$ modelyard pull --workflow workflow.json harbour
! modelyard pull: --workflow names the models and the files, so nothing else may name them; see `modelyard pull --help`
[2]
"""


def test_a_workflow_gets_its_files_under_its_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    monkeypatch.setattr(transfer, "THREADS", 1)
    (tmp_path / "home").mkdir()
    (tmp_path / "hello.txt").write_text("hello")
    content = lora_bytes(seed=1)
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        name = str(upload(yard, "harbour", content)["sd_name"])
        verification = checking(yard, tmp_path / "home")
        assert verification.verify_next()
        nodes = [
            ("LoraLoader", f"people/{name}"),
            ("LoraLoader", f"../../{name}"),
            ("LoraLoader", name.replace(".safetensors", "")),
            ("VAELoader", "harbor.ckpt"),
        ]
        graph = {"nodes": [{"id": n, "type": kind, "widgets_values": [value]} for n, (kind, value) in enumerate(nodes)]}
        (tmp_path / "workflow.json").write_text(json.dumps(graph))
        monkeypatch.setenv("MODELYARD_URL", address.url)
        monkeypatch.setenv("MODELYARD_KEY", yard.key("red", Scope.READ, Scope.WRITE))

        assert WORKFLOW.strip() == replay(WORKFLOW, tmp_path, capsys)
        assert 1 == run(["pull", "--workflow", "hello.txt"])
        assert "modelyard: hello.txt: this is no workflow; accepted: " in capsys.readouterr().err

    written = {
        path.relative_to(tmp_path / "comfy").as_posix() for path in (tmp_path / "comfy").rglob("*") if path.is_file()
    }
    assert {f"models/loras/people/{name}"} == written
    assert content == (tmp_path / "comfy" / "models" / "loras" / "people" / name).read_bytes()


FETCHED = """
$ modelyard pull --workflow needs.json
! missing: night.safetensors (loras): the server has no file of it
! missing: deep/harbor.safetensors (loras)
! missing: ../out.safetensors (loras)
! missing: other.safetensors (loras)
! missing: gone.safetensors (loras)
! missing: plain.safetensors (loras)
! missing: renamed.ckpt (checkpoints)
! needs.json needs 7 models, 0 are on the server
[1]
$ modelyard pull --workflow needs.json --fetch --layout comfyui --root comfy
comfy/models/loras/night.safetensors
comfy/models/loras/deep/harbor.safetensors
! missing: ../out.safetensors (loras): the name leads out of the folder, or is hidden
! missing: plain.safetensors (loras)
! needs.json needs 7 models, 0 are on the server, 5 can be fetched
! other.safetensors: announced SHA-256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, received 4122d772a56534d367affb1812990020fe8ad1e451aab4816bd9bd96c296211c
! gone.safetensors: 127.0.0.1 has no such file (status 404)
! renamed.ckpt: http://SERVER: its file on the server is a .safetensors file
[1]
$ modelyard pull --workflow few.json --fetch --layout comfyui --root comfy
comfy/models/loras/night.safetensors
comfy/models/loras/deep/harbor.safetensors
! few.json needs 2 models, 1 is on the server, 1 can be fetched
$ modelyard pull harbor.safetensors --fetch
! modelyard pull: --fetch needs --workflow; see `modelyard pull --help`
[2]
"""  # noqa: E501 # lines of a terminal have no limit


@contextlib.contextmanager
def working(fetching: Fetching) -> Iterator[None]:
    """Do what there is to fetch until the block ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            fetching.run()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_server_fetches_what_a_workflow_needs_and_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    monkeypatch.setattr(transfer, "THREADS", 1)
    (tmp_path / "home").mkdir()
    harbor = lora_bytes(seed=2)
    home = tmp_path / "home"
    with serve_upstream() as upstream, open_app(home, **LOCAL) as yard, listening(yard) as address:
        fetching = Fetching(yard, tmp_path / "home", upstream)
        civitai_version(upstream)
        import_version(yard, upstream)
        url = upstream.put("/1.safetensors", RemoteFile(harbor))
        other = upstream.put("/other.safetensors", RemoteFile(harbor))
        loras = [
            {"name": "night.safetensors", "url": "https://civitai.com/api/download/models/77"},
            {"name": "deep/harbor.safetensors", "url": url},
            {"name": "../out.safetensors", "url": url},
            {"name": "other.safetensors", "url": other, "hash": hashlib.sha256(b"other").hexdigest()},
            {"name": "gone.safetensors", "url": upstream.url + "/gone.safetensors"},
            {"name": "plain.safetensors"},
        ]
        needs = [need | {"directory": "loras"} for need in loras]
        needs.append({"name": "renamed.ckpt", "url": url, "directory": "checkpoints"})
        (tmp_path / "needs.json").write_text(json.dumps({"models": needs}))
        (tmp_path / "few.json").write_text(json.dumps({"models": needs[:2]}))
        monkeypatch.setenv("MODELYARD_URL", address.url)
        monkeypatch.setenv("MODELYARD_KEY", yard.key("red", Scope.READ, Scope.WRITE))

        with working(fetching):
            assert FETCHED.strip() == replay(FETCHED, tmp_path, capsys)

    folder = tmp_path / "comfy" / "models"
    written = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"loras/night.safetensors": CONTENT, "loras/deep/harbor.safetensors": harbor} == written


def test_a_key_that_may_not_write_has_nothing_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    (tmp_path / "home").mkdir()
    needs = [{"name": "a.safetensors", "url": "https://files.example/a.safetensors"}]
    (tmp_path / "needs.json").write_text(json.dumps({"models": needs}))
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        monkeypatch.setenv("MODELYARD_URL", address.url)
        monkeypatch.setenv("MODELYARD_KEY", yard.key("red", Scope.READ))

        assert 1 == run(["pull", "--workflow", "needs.json", "--fetch"])

    assert capsys.readouterr().err.endswith(": this key lacks the scope 'write'\n")
