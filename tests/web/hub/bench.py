"""A server without other processes, and what a client of the hub sends to it."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.app_fixture import App, Reply
from tests.transfers import Verification, ask, path_of


@dataclass
class Bench:
    yard: App
    checking: Verification

    def ask(self, target: str, team: str = "red", *, method: str = "POST", body: Any = b"", **headers: str) -> Reply:
        return ask(self.yard, f"/hf{target}", team, method=method, body=body, **headers)

    def create(self, name: str = "night", **said: Any) -> Reply:
        return self.ask("/api/repos/create", body={"name": name, "organization": "red", "type": "model", **said})

    def batch(self, content: bytes, name: str = "night", **said: Any) -> Any:
        oid = hashlib.sha256(content).hexdigest()
        body = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}], **said}
        reply = self.ask(f"/red/{name}.git/info/lfs/objects/batch", body=body)
        assert 200 == reply.status, reply.body
        return reply.json["objects"][0]

    def put(self, href: str, content: bytes) -> Reply:
        return self.yard.ask(path_of(href), None, method="PUT", body=content, content_length=str(len(content)))

    def send(self, content: bytes, name: str = "night") -> None:
        """Send a file by LFS, and verify it."""
        actions = self.batch(content, name).get("actions")
        if actions:
            assert 200 == self.put(actions["upload"]["href"], content).status
            self.checking.verify_next()

    def commit(self, *lines: dict[str, Any], name: str = "night", team: str = "red") -> Reply:
        header = {"key": "header", "value": {"summary": "s", "description": ""}}
        body = b"\n".join(json.dumps(line).encode() for line in (header, *lines))
        return self.ask(f"/api/models/red/{name}/commit/main", team, body=body)

    def files(self, name: str = "night") -> list[str]:
        reply = self.ask(f"/api/models/red/{name}", method="GET")
        assert 200 == reply.status, reply.body
        return [sibling["rfilename"] for sibling in reply.json["siblings"]]

    def token(self) -> tuple[str, str]:
        """The path of the xet store, and a token for it."""
        answer = self.ask("/api/models/red/night/xet-write-token/main", method="GET").json
        return urlsplit(answer["casUrl"]).path, f"Bearer {answer['accessToken']}"

    def cas(self, target: str, body: bytes = b"", token: str = "") -> Reply:
        path, own = self.token()
        headers = {"authorization": token or own, "content_length": str(len(body))}
        return self.yard.ask(f"{path}{target}", None, method="POST", body=body, **headers)


def weights(path: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha256(content).hexdigest()
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": len(content)}}


def text(path: str, content: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def deleted(path: str, kind: str = "deletedFile") -> dict[str, Any]:
    return {"key": kind, "value": {"path": path}}


def copied(path: str, source: str) -> dict[str, Any]:
    return {"key": "copyFile", "value": {"path": path, "srcPath": source}}
