"""The limit of bytes in a second: measured by bytes and a clock of the test."""

import threading
from pathlib import Path

from modelyard.client import Client
from modelyard.client.bandwidth import BandwidthLimit
from modelyard.domain import Scope
from tests.app_fixture import listening, open_app
from tests.transfers import checking, lora_bytes


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def test_bytes_take_their_time_and_unused_time_is_not_saved_up() -> None:
    clock = Clock()
    limit = BandwidthLimit(1_000, clock=clock.read, sleep=clock.sleep)
    for _ in range(3):
        limit.take(500)
    clock.now += 60
    for _ in range(2):
        limit.take(250)

    assert [0.5, 0.5, 0.25] == clock.naps


def test_threads_share_the_limit() -> None:
    naps: list[float] = []
    limit = BandwidthLimit(1_000, clock=lambda: 0.0, sleep=naps.append)
    threads = [threading.Thread(target=limit.take, args=(1_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [1.0, 2.0, 3.0] == sorted(naps)


def test_a_client_paces_every_byte_that_it_sends_and_receives(tmp_path: Path) -> None:
    clock, content = Clock(), lora_bytes(fill=300_000, seed=1)
    (tmp_path / "night.safetensors").write_bytes(content)
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        limit = BandwidthLimit(100_000, clock=clock.read, sleep=clock.sleep)
        with Client(address.url, yard.key("red", Scope.READ, Scope.WRITE), pace=limit.take) as client:
            model = client.upload(tmp_path / "night.safetensors")
            sent_at = clock.now
            checking(yard, tmp_path / "home").verify_next()
            path = client.download(client.get(model.id), tmp_path / "folder")
            received_at = clock.now

    # The last block is sent before its time is over, and the first of the download waits for it.
    for seconds in (sent_at - 100, received_at - sent_at):
        assert len(content) - 65_536 <= round(seconds * 100_000) <= len(content) + 65_536
    assert content == path.read_bytes()
