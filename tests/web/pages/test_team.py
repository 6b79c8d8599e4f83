"""The page of a team says which key sent each model, whichever way its file came."""

import base64
import http.client
import re
from pathlib import Path
from urllib.parse import urlsplit

from modelyard.domain import Scope
from tests.app_fixture import App, listening, open_app
from tests.transfers import WRITER, ask, checking, lora_bytes, upload
from tests.web.hub.bench import Bench, weights

from .page_text import main_text
from .test_pages import signed_in


def send_by_tus(app: App, name: str, content: bytes) -> None:
    key = {"Authorization": f"Bearer {app.key('red', *WRITER)}", "Tus-Resumable": "1.0.0"}
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    body = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    with listening(app) as address:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
        length = {"Upload-Length": str(len(content)), "Upload-Metadata": metadata, "Content-Length": "0"}
        connection.request("POST", "/v3/uploads", headers=key | length)
        location = connection.getresponse().headers["Location"]
        connection.close()
        connection.request("PATCH", urlsplit(location).path, content, key | body)
        status = connection.getresponse().status
        connection.close()
    assert 204 == status


def test_the_page_says_which_key_sent_each_model(tmp_path: Path) -> None:
    with open_app(tmp_path) as app:
        bench = Bench(app, checking(app, tmp_path))

        def use_key(name: str) -> None:
            app.keys["red" + "".join(WRITER)], _ = app.access.create_key("red", WRITER, name=name)

        use_key("by a commit")
        bench.create()
        bench.send(lora_bytes(seed=3))
        bench.commit(weights("hub.safetensors", lora_bytes(seed=3)))
        use_key("by PUT")
        upload(app, "put", lora_bytes(seed=1))
        use_key("by tus")
        send_by_tus(app, "tus.safetensors", lora_bytes(seed=2))
        use_key("by a fetch")
        ask(app, "/v3/model", method="POST", body={"source_url": "https://example.org/fetched.safetensors"})
        page = main_text(signed_in(app, "red", Scope.READ).ask("/team").body)

    lines = re.findall(r"\[([^]]+)\]\(/models/\d+\)[^[]*sent with the key ([\w ]+)", " ".join(page.split()))
    assert {"put": "by PUT", "tus": "by tus", "night": "by a commit", "fetched": "by a fetch"} == {
        name.partition(".")[0]: re.sub(r" not available$", "", key).strip() for name, key in lines
    }
