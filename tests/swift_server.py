"""A real S3-compatible store as a child of the test process: OpenStack Swift, one node, from its wheel."""

import os
import pwd
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import requirements
from .process_servers import free_port

_READY_SECONDS_MAX = 120
_KINDS = ("account", "container", "object", "proxy")
_USER, _SECRET = "test:tester", "testing-secret"
_PIPELINE = " ".join(
    (
        *("catch_errors", "gatekeeper", "healthcheck", "cache", "listing_formats", "bulk", "s3api", "tempauth"),
        *("copy", "slo", "dlo", "versioned_writes", "symlink"),
    )
)
_FILTERS = {
    "s3api": "location = us-east-1\nauth_pipeline_check = false\n",
    "tempauth": f"user_test_tester = {_SECRET} .admin\n",
    "cache": "memcache_servers = 127.0.0.1:1\nerror_suppression_interval = 0\nconnect_timeout = 0.01\n",
    "versioned_writes": "allow_object_versioning = true\n",
}


@dataclass
class SwiftServer:
    """Where it answers, and what a client of it has in its environment; killed and started as often as a test likes."""

    folder: Path
    endpoint: str
    buckets: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start its processes and wait until it answers."""
        programs = Path(sys.executable).parent
        with (self.folder / "swift.log").open("ab") as log:
            self._processes = [
                subprocess.Popen(
                    [programs / f"swift-{kind}-server", self.folder / "etc" / f"{kind}-server.conf"],
                    stdout=log,
                    stderr=log,
                    # When Swift ends it ends its whole process group, which is not to be that of the tests.
                    start_new_session=True,
                )
                for kind in _KINDS
            ]
        deadline = time.monotonic() + _READY_SECONDS_MAX
        while not _answers(self.endpoint):
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                raise RuntimeError(f"Swift did not start:\n{(self.folder / 'swift.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would."""
        for process in self._processes:
            process.kill()
            process.wait()

    def make_bucket(self, name: str = "") -> str:
        """Make an empty bucket, of a new name if none is told, and return its name."""
        boto3 = requirements.module("boto3")
        self.buckets += 1
        name = name or f"bucket{self.buckets}"
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=_USER,
            aws_secret_access_key=_SECRET,
            region_name="us-east-1",
            # On a busy machine Swift's proxy gives up on its own servers at times, and answers 503.
            config=requirements.module("botocore.config").Config(retries={"max_attempts": 10, "mode": "standard"}),
        )
        client.create_bucket(Bucket=name)
        client.close()
        return name


@contextmanager
def swift_server(folder: Path) -> Iterator[SwiftServer]:
    """Run Swift in a folder."""
    ports = {kind: free_port() for kind in _KINDS}
    etc = folder / "etc"
    etc.mkdir()
    (folder / "node" / "d1").mkdir(parents=True)
    programs = Path(sys.executable).parent
    _configure(etc, folder / "node", ports, programs)
    endpoint = f"http://127.0.0.1:{ports['proxy']}"
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": _USER,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
        "AWS_REGION": "us-east-1",
    }
    server = SwiftServer(folder, endpoint, environment=environment)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _answers(endpoint: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(endpoint + "/healthcheck", timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def _configure(etc: Path, node: Path, ports: dict[str, int], programs: Path) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    (etc / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = t\nswift_hash_path_suffix = t\n"
        "[storage-policy:0]\nname = gold\ndefault = yes\n"
    )

    def head(kind: str) -> str:
        return (
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {ports[kind]}\nworkers = 0\nuser = {user}\n"
            f"swift_dir = {etc}\ndevices = {node}\nmount_check = false\nlog_level = WARNING\n"
        )

    for kind in ("account", "container", "object"):
        (etc / f"{kind}-server.conf").write_text(
            f"{head(kind)}[pipeline:main]\npipeline = {kind}-server\n"
            f"[app:{kind}-server]\nuse = egg:swift#{kind}\nfallocate_reserve = 0\n"
        )
        builder = [programs / "swift-ring-builder", etc / f"{kind}.builder"]
        for words in (["create", "2", "1", "1"], ["add", f"r1z1-127.0.0.1:{ports[kind]}/d1", "1"], ["rebalance"]):
            # It ends with 1 where it has a warning to give, such as that one node is few.
            subprocess.run([*builder, *words], stdout=subprocess.DEVNULL, check=False)
    (etc / "proxy-server.conf").write_text(
        f"{head('proxy')}[pipeline:main]\npipeline = {_PIPELINE} proxy-server\n"
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
        + "".join(
            f"[filter:{name}]\nuse = egg:swift#{'memcache' if name == 'cache' else name}\n{_FILTERS.get(name, '')}"
            for name in _PIPELINE.split()
        )
    )
