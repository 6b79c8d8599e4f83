"""Keeps estimates, so that the same question takes its budget once and not each time.

Each attempt gets further, because what it has verified stays. So every eighth time the question is tried again: on
average it costs an eighth of its budget, and at last its answer is exact.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from modelyard.index.budget import Budget
from modelyard.index.set_cache import SetCache

ASKS_AN_ATTEMPT = 8


@dataclass(slots=True)
class _Estimate:
    answer: Any
    limit: float
    asks: int = 0


def keep_estimate(answers: SetCache, key: Hashable, answer: object, budget: Budget, size_bytes: int) -> None:
    """Keep an answer that is not exact."""
    answers.put(("estimate", key), _Estimate(answer, budget.limit), size_bytes)


def kept_estimate(answers: SetCache, key: Hashable, budget: Budget | None) -> Any:
    """Return the estimate of a question; None if there is none, or the question has to be tried again."""
    kept: _Estimate | None = answers.get(("estimate", key)) if budget is not None else None
    if kept is None or budget is None or kept.limit < budget.limit:
        return None
    is_attempt = (kept.asks + 1) % ASKS_AN_ATTEMPT == 0
    # On the event loop an attempt is over its budget at once, and is made in a thread.
    if not (is_attempt and budget.is_quick):
        kept.asks += 1
    return None if is_attempt else kept.answer
