"""``kill -9`` of who answers, who keeps the segments up and who imports, at random instants.

After every round: nothing that was acknowledged is lost, every answer is the oracle's, and no segment is damaged. The
number of kills is small here; ``MODELYARD_KILLS=200 pytest tests/test_crashes.py`` is the full run.
"""

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests import crashing

KILLS = int(os.environ.get("MODELYARD_KILLS", "18"))


def test_after_kills_at_any_instant_nothing_acknowledged_is_lost_and_answers_are_right(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crashing"])
    chance = random.Random(int(os.environ.get("MODELYARD_SEED", "1")))
    kills = rounds = 0
    acknowledged: dict[int, int] = {}
    while kills < KILLS:
        rounds += 1
        ours, theirs = context.Pipe()
        running = [
            _started(context, crashing.import_in_batches, tmp_path, rounds, theirs),
            _started(context, crashing.run_indexer, tmp_path),
            _started(context, crashing.ask_on_and_on, tmp_path),
        ]
        theirs.close()
        time.sleep(chance.uniform(0.05, 1.0))
        for process in chance.sample(running, len(running)):
            time.sleep(chance.expovariate(20))
            assert process.is_alive() or process.exitcode == 0, f"round {rounds}: it ended by itself"
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
        acknowledged |= _received(ours)

        told, telling = context.Pipe()
        checker = _started(context, crashing.check, tmp_path, acknowledged, rounds, telling)
        telling.close()
        checker.join()
        assert checker.exitcode == 0, f"round {rounds}: {_received(told)}"

    assert acknowledged


def _started(context: Any, target: Any, *arguments: Any) -> Any:
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def _received(connection: Connection) -> dict[int, int]:
    """Everything that was said before the other end died; the last word may be cut."""
    received: dict[int, int] = {}
    try:
        while True:
            received |= connection.recv()
    except (EOFError, OSError):
        return received
