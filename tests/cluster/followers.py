"""Programs that follow a cluster: the receiver of a webhook, and a reader of the feed. Both get every change."""

import json
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.cluster.databases import wait
from tests.cluster.load import Load, number_of
from tests.cluster.nodes import Node
from tests.upstream import Upstream
from tests.webhook_fixture import Receiver


@dataclass
class Followers:
    """A webhook of the load's team, and what it received."""

    load: Load
    upstream: Upstream
    receiver: Receiver = field(default_factory=Receiver)

    def begin(self, key: str) -> None:
        """Make the webhook, with a key of an administrator."""
        body = json.dumps({"url": self.upstream.put("/hook", self.receiver), "events": ["model.put"]}).encode()
        reply = self.load.cluster.nodes[-1].ask("POST", "/v3/webhooks", body, authorization=f"Bearer {key}")
        assert reply.status == 201, reply.body

    def judge(self) -> None:
        """The webhook had the last acknowledged change of each model, and the feed of each node has it."""
        acknowledged = self.load.oracle.revisions()
        wait(lambda: not self._missing(acknowledged), "a webhook does not tell of an acknowledged change")
        for node in self.load.cluster.nodes:
            names = self._read_feed(node)
            for model_id, least in self.load.oracle.models().items():
                number = number_of({"name": names.get(model_id, "_n-1")})
                self.load.oracle.judge(model_id, number, least, "the feed")

    def _missing(self, acknowledged: dict[int, int]) -> set[int]:
        told: dict[int, int] = {}
        for message in self.receiver.messages:
            data = message["data"]
            told[data["id"]] = max(told.get(data["id"], 0), data["revision"])
        return {model_id for model_id, revision in acknowledged.items() if told.get(model_id, 0) < revision}

    def _read_feed(self, node: Node) -> dict[int, str]:
        """Return the names of all models, by a walk of the feed from its beginning."""
        names: dict[int, str] = {}
        since, has_more = "0", True
        while has_more:
            reply = self.load.ask("feed", node, "GET", f"/v3/model/changes?since={quote(since)}&limit=100")
            assert reply is not None
            assert reply.status == 200, reply.body
            for change in reply.json["changes"]:
                if change["change"] == "put":
                    names[change["id"]] = change["model"]["name"]
            since, has_more = str(reply.json["next"]), reply.json["more"]
        return names
