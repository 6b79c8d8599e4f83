"""What a hostile or careless user does to a cluster while its parts die, and the rules that must hold meanwhile.

* A model that its team made private is in no answer to another team, and a link given before opens nothing.
* A node that refused a revoked key never takes it again.
* A dangerous file never becomes available.
"""

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import open_store
from tests.app_fixture import Reply
from tests.cluster.databases import wait
from tests.cluster.load import Load, sound_bytes
from tests.cluster.nodes import Node
from tests.transfers import dangerous_bytes, lora_bytes

_AWAY = (errors.Unavailable, errors.DatabaseUnavailable)


@dataclass
class Adversary:
    """Threads' work beside a load. ``stranger_key`` belongs to a team that owns nothing."""

    load: Load
    stranger_key: str
    revoked: list[str] = field(default_factory=list)
    dangerous: list[str] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _flipped_model: int | None = None

    def works(self) -> list[Callable[[random.Random], None]]:
        """Return the work of each thread."""
        return [self.flip_visibility, self.revoke_key, self.upload_dangerous_file]

    # --- visibility

    def flip_visibility(self, chance: random.Random) -> None:
        """Make a model public and private again, and ask as a stranger after each acknowledged change."""
        if self._flipped_model is None:
            self._flipped_model = self._checked_model()
            return
        model_id = self._flipped_model
        link = ""
        if self._set_visibility(model_id, "public", chance) is not None:
            link = self._link_of(model_id, chance)
        revision = self._set_visibility(model_id, "private", chance)
        if revision is None:
            return
        node = self._any(chance)
        target = f"/v3/model?filter.model_version_id={model_id}"
        reply = self._ask_as_stranger(node, target, modelyard_min_revision=str(revision))
        if reply is None or reply.status == 503:
            return
        if (reply.status, [model["id"] for model in reply.json.get("models", ())]) != (200, []):
            self.load.oracle.wrong(f"a stranger sees a private model: {reply.status} {reply.body[:200]!r}")
        self.load.oracle.counts["private asked"] += 1
        if link:
            self._judge_dead_link(node, link)

    def _checked_model(self) -> int | None:
        """Upload a model; return its id once its file is verified."""
        path = self.load.upload(self.load.cluster.nodes[0], "flipped", sound_bytes(77))
        model_id = self.load.model_of(path) if path else None
        if model_id is not None:
            wait(lambda: self._is_available(model_id), f"model {model_id} is never verified", seconds=300)
        return model_id

    def _is_available(self, model_id: int) -> bool:
        node = self.load.cluster.nodes[0]
        reply = self.load.ask("flip", node, "GET", f"/v3/model?filter.model_version_id={model_id}")
        return reply is not None and reply.status == 200 and [m["status"] for m in reply.json["models"]] == [1]

    def _set_visibility(self, model_id: int, visibility: str, chance: random.Random) -> int | None:
        """Return the revision of the change if a node acknowledged it."""
        change = {"visibility": visibility}
        reply = self.load.ask("flip", self._any(chance), "PATCH", f"/v3/model?id={model_id}", change)
        if reply is None or reply.status == 503:
            return None
        if reply.status != 200:
            self.load.oracle.wrong(f"a change of visibility was answered {reply.status}: {reply.body[:200]!r}")
            return None
        return int(reply.headers["modelyard-revision"])

    def _link_of(self, model_id: int, chance: random.Random) -> str:
        """Return the path of the link that a stranger gets to a public model's file."""
        reply = self._ask_as_stranger(self._any(chance), f"/v3/model?filter.model_version_id={model_id}")
        models = reply.json["models"] if reply is not None and reply.status == 200 else []
        addresses = [model["download_url"] for model in models if "download_url" in model]
        return "/" + addresses[0].split("/", 3)[3] if addresses else ""

    def _judge_dead_link(self, node: Node, link: str) -> None:
        """The node has the revision in which the model is private, so that it must refuse the link."""
        reply = self._ask_as_stranger(node, link, with_key=False)
        if reply is not None and reply.status < 400:
            self.load.oracle.wrong(f"a link to a private model is answered {reply.status}")
        self.load.oracle.counts["dead link asked"] += reply is not None

    # --- keys

    def revoke_key(self, chance: random.Random) -> None:
        """Make a key, use it, revoke it; each node refuses it soon, and then always."""
        with contextlib.suppress(*_AWAY):
            store = open_store(self.load.cluster.url)
            try:
                auth = Auth(store)
                key, record = auth.create_key("blue", [Scope.READ])
                self._ask_as_stranger(self._any(chance), "/v3/user", key=key)
                auth.revoke_key(str(record.id))
            finally:
                store.close()
            for node in self.load.cluster.nodes:
                wait(lambda node=node: self._refuses(node, key), "a node still takes a revoked key", seconds=300)  # type: ignore[misc] # mypy cannot infer a lambda with a default
            if self.load.stopped.is_set():
                return  # a node may not have refused it yet
            with self._turn:
                self.revoked.append(key)
            self.load.oracle.counts["key revoked"] += 1
        old = chance.choice(self.revoked) if self.revoked else None
        reply = self._ask_as_stranger(self._any(chance), "/v3/user", key=old) if old else None
        if reply is not None and reply.status == 200:
            self.load.oracle.wrong("a node takes a key that it had refused")
        self.load.stopped.wait(chance.uniform(0.5, 1.5))

    def _refuses(self, node: Node, key: str) -> bool:
        reply = self._ask_as_stranger(node, "/v3/user", key=key)
        return (reply is not None and reply.status == 401) or self.load.stopped.is_set()

    # --- files

    def upload_dangerous_file(self, chance: random.Random) -> None:
        """Upload a file that runs code or is cut off; ask for one of the earlier ones."""
        sound = lora_bytes(fill=5000, seed=chance.randrange(1 << 30))
        content, extension = chance.choice([(dangerous_bytes(), "pt"), (sound[:-100], "safetensors")])
        if path := self.load.upload(self._any(chance), f"d{len(self.dangerous)}", content, extension):
            self.dangerous.append(path)
        if self.dangerous:
            self.judge_dangerous(chance.choice(self.dangerous), self._any(chance))
        self.load.stopped.wait(chance.uniform(0.5, 1.5))

    def judge_dangerous(self, path: str, node: Node) -> None:
        """No dangerous file is available, and none has a link."""
        reply = self.load.ask("dangerous", node, "HEAD", path, tus_resumable="1.0.0")
        if reply is None or "modelyard-model" not in reply.headers:
            return
        model_id = reply.headers["modelyard-model"]
        listed = self.load.ask("dangerous", node, "GET", f"/v3/model?filter.model_version_id={model_id}")
        for model in listed.json["models"] if listed is not None and listed.status == 200 else ():
            if model["status"] != 0 or "download_url" in model:
                self.load.oracle.wrong(f"a dangerous file is available: {model}")
            self.load.oracle.counts["dangerous asked"] += 1

    def _any(self, chance: random.Random) -> Node:
        return chance.choice(self.load.cluster.nodes)

    def _ask_as_stranger(
        self, node: Node, target: str, *, key: str | None = None, with_key: bool = True, **headers: str
    ) -> Reply | None:
        key = key or self.stranger_key
        authorization = {"authorization": f"Bearer {key}"} if with_key else {}
        return self.load.send("stranger", node, "GET", target, **authorization, **headers)
