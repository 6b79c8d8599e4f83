"""What an operator does to a cluster meanwhile, by the commands, and the rules that must hold.

* `modelyard gc` removes nothing that an answer promised, and no command fails with a traceback.
* `modelyard database copy` never says that a copy is complete if it lacks a write that was acknowledged before.
* After a restore, nothing that was given after the backup is valid or given again.
"""

import contextlib
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import copy as store_copy
from modelyard.store import open_store
from tests.cluster.databases import wait
from tests.cluster.load import TUS, Load, sound_bytes
from tests.cluster.nodes import Cluster, Node

_AWAY = (errors.Unavailable, errors.DatabaseUnavailable)
_LOST_TEAM = "lost"


@dataclass(frozen=True)
class _Later:
    """What is made after a backup: a restore loses it."""

    key: str
    key_id: int
    cookie: str
    upload: str
    model_id: int


@dataclass
class Operator:
    """Threads' work beside a load, and the restore, for which the load's writers stop."""

    load: Load
    copies: int = 0
    backups: int = 0

    @property
    def _cluster(self) -> Cluster:
        return self.load.cluster

    # --- beside the writers

    def collect_garbage(self, chance: random.Random) -> None:
        """Remove every file that nobody needs at this moment."""
        self._judge_command("gc", self._cluster.run("gc", "--grace", "0s"))
        self.load.stopped.wait(chance.uniform(1.0, 4.0))

    def copy_database(self, chance: random.Random) -> None:
        """Copy the database while it is written: by the command, which refuses, or as if no node was running."""
        self.copies += 1
        path = self._cluster.folder / f"copy{self.copies}.sqlite"
        target = f"sqlite:///{path}"
        acknowledged = self.load.oracle.models()
        if chance.random() < 0.3:
            is_complete = self._judge_command("copy", self._cluster.run("database", "copy", "--to", target))
        else:
            is_complete = self._copy(target)
        if is_complete:
            self._judge_copy(target, acknowledged)
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        self.load.stopped.wait(chance.uniform(1.0, 4.0))

    def _copy(self, target: str) -> bool:
        with contextlib.suppress(errors.Conflict, *_AWAY), contextlib.closing(open_store(target)) as copied:
            with contextlib.closing(open_store(self._cluster.url)) as source:
                store_copy.copy(source, copied)
            self.load.oracle.counts["copied"] += 1
            return True
        self.load.oracle.counts["copy refused"] += 1
        return False

    def _judge_copy(self, target: str, acknowledged: dict[int, int]) -> None:
        with contextlib.closing(open_store(target)) as copied:
            entries = copied.entries(list(acknowledged))
        for model_id, least in acknowledged.items():
            number = int(entries[model_id].model.name.rpartition("_n")[2]) if model_id in entries else -1
            self.load.oracle.judge(model_id, number, least, "a copy that is said to be complete")

    def _judge_command(self, name: str, done: subprocess.CompletedProcess[str]) -> bool:
        """Whether a command succeeded. One that fails says why."""
        self.load.oracle.counts[f"{name} ended {done.returncode}"] += 1
        if done.returncode not in (0, 1) or "Traceback" in done.stderr or (done.returncode and not done.stderr):
            self.load.oracle.wrong(f"the command {name} ended with {done.returncode}: {done.stderr[-1000:]}")
        return done.returncode == 0

    # --- without writers

    def restore_backup(self, _cluster: Cluster, chance: random.Random) -> None:
        """Back up, change some more, stop all nodes, restore, and start them again."""
        with self.load.gate.closed():
            self._cluster.mend()
            self.load.wait_until_checked()
            self.backups += 1
            path = self._cluster.folder / f"backup{self.backups}"
            revived, revived_id = self._make_key("blue")
            self._must(self._cluster.run("backup", path))
            later = self._change_on(chance)
            self._revoke(revived_id)
            for node in self._cluster.nodes:
                node.stop()
            done = self._restore(path)
            for node in self._cluster.nodes:
                node.start()
            self._cluster.mend()
            if f"  {revived_id}  " not in done.stderr:
                self.load.oracle.wrong(f"a restore does not say which keys work again: {done.stderr}")
            self._judge_restored(later, revived, chance)
            self._revoke(revived_id)
            path.unlink()
        self.load.oracle.counts["restored"] += 1

    def _restore(self, path: Path) -> subprocess.CompletedProcess[str]:
        """Restore when the server has noticed that the nodes are gone."""
        results: list[subprocess.CompletedProcess[str]] = []

        def is_restored() -> bool:
            results.append(self._cluster.run("restore", path, "--force"))
            return results[-1].returncode == 0 or "servers use" not in results[-1].stderr

        wait(is_restored, "servers seem to use the database")
        self._must(results[-1])
        return results[-1]

    def _change_on(self, chance: random.Random) -> _Later:
        """Make what a restore loses, and use it."""
        key, key_id = self._make_key(_LOST_TEAM)
        node = self._cluster.nodes[-1]
        cookies: list[str] = []
        wait(lambda: self._sign_in(node, key, cookies), "nobody can sign in")
        wait(lambda: self._opens_team(node, cookies[0]), "who has signed in does not see the team")
        return _Later(key, key_id, cookies[0], *self._upload(node, chance))

    @staticmethod
    def _sign_in(node: Node, key: str, cookies: list[str]) -> bool:
        headers = {"content_type": "application/x-www-form-urlencoded", "origin": f"http://127.0.0.1:{node.port}"}
        reply = node.ask("POST", "/sign-in", f"key={key}&to=/team".encode(), **headers)
        cookies.extend([reply.headers["set-cookie"].partition(";")[0]] if reply.status == 303 else [])
        return bool(cookies)

    @staticmethod
    def _opens_team(node: Node, cookie: str) -> bool:
        reply = node.ask("GET", "/team", cookie=cookie)
        return reply.status == 200 and _LOST_TEAM.encode() in reply.body

    def _upload(self, node: Node, chance: random.Random) -> tuple[str, int]:
        """Upload a file; return the path of the upload, which was acknowledged, and its model."""
        paths: list[str] = []
        models: list[int] = []

        def is_model() -> bool:
            if not paths:
                content = sound_bytes(chance.randrange(1 << 30))
                paths.extend(filter(None, [self.load.upload(node, "beside", content)]))
            models.extend(filter(None, [self.load.model_of(path) for path in paths]))
            return bool(models)

        try:
            wait(is_model, "a healthy cluster takes no upload")
        except AssertionError as problem:
            seen = [
                self.load.ask("upload", each, "HEAD", path, **TUS) for each in self._cluster.nodes for path in paths
            ]
            raise AssertionError(f"{problem}: {seen}, {self.load.oracle.problems}") from None
        return paths[0], models[0]

    def _judge_restored(self, later: _Later, revived: str, chance: random.Random) -> None:
        wrong = self.load.oracle.wrong
        _, new_key_id = self._make_key("blue")
        _, new_model_id = self._upload(self._cluster.nodes[0], chance)
        if new_key_id <= later.key_id or new_model_id <= later.model_id:
            wrong(f"ids are given again: key {new_key_id} after {later.key_id}, {new_model_id} after {later.model_id}")
        for node in self._cluster.nodes:
            if self._status_of(node, later.key) != 401:
                wrong("a key that the restored database does not have is accepted")
            if (status := self._status_of(node, revived)) != 200:
                wrong(f"a key that the restored database has is answered {status}")
            if self._opens_team(node, later.cookie):
                wrong("a cookie of before the restore opens a team")
            reply = self.load.ask("restored", node, "HEAD", later.upload, tus_resumable="1.0.0")
            if reply is not None and reply.status != 404:
                wrong(f"an upload of after the backup is answered {reply.status}")

    def _make_key(self, team: str) -> tuple[str, int]:
        with contextlib.closing(open_store(self._cluster.url)) as store:
            key, record = Auth(store).create_key(team, [Scope.READ, Scope.WRITE])
        return key, record.id

    def _revoke(self, key_id: int) -> None:
        with contextlib.closing(open_store(self._cluster.url)) as store:
            Auth(store).revoke_key(str(key_id))

    @staticmethod
    def _status_of(node: Node, key: str) -> int:
        return node.ask("GET", "/v3/user", authorization=f"Bearer {key}").status

    @staticmethod
    def _must(done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 0, done.stderr
