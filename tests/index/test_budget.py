"""How far a question may go: to the unit, with a reserve that it gets once, and without an end for a page."""

import pytest

from modelyard.index.budget import Budget, OverBudgetError, question_budget, quick_budget


def test_work_up_to_the_limit_is_done_and_the_next_unit_is_not() -> None:
    budget = Budget(100)
    budget.spend(60)
    budget.spend(40)

    with pytest.raises(OverBudgetError):
        budget.spend(1)
    assert 100 == budget.used


def test_a_reserve_of_a_quarter_is_given_once() -> None:
    budget = Budget(100)
    budget.open_reserve()
    budget.open_reserve()

    budget.spend(125)
    with pytest.raises(OverBudgetError):
        budget.spend(1)


def test_a_page_goes_on_unless_the_budget_is_quick() -> None:
    whole, quick = Budget(10), Budget(10, is_quick=True)

    whole.spend_on_page(11)
    assert 11 == whole.used
    quick.spend_on_page(10)
    with pytest.raises(OverBudgetError):
        quick.spend_on_page(1)


def test_a_budget_without_a_limit_does_not_end() -> None:
    budget = Budget()
    budget.spend(10**12)

    assert not budget.is_quick
    assert 10**12 == budget.used


def test_these_are_the_budgets_of_requests() -> None:
    assert (1_500, True) == (quick_budget().limit, quick_budget().is_quick)
    assert (20_000, False) == (question_budget().limit, question_budget().is_quick)
