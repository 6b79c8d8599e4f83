"""Python imports this before the program of a node whose clock is wrong by the seconds of a variable.

All of Modelyard's deadlines come from ``time.time``. The driver of S3 reads ``datetime``, which stays right: a store
refuses requests of a clock that is wrong by more than a quarter of an hour.
"""

import os
import time

_time, _time_ns = time.time, time.time_ns
_SECONDS = float(os.environ.get("WRONG_CLOCK_SECONDS", "0"))


def wrong_time() -> float:
    return _time() + _SECONDS


def wrong_time_ns() -> int:
    return _time_ns() + int(_SECONDS * 1e9)


time.time, time.time_ns = wrong_time, wrong_time_ns
