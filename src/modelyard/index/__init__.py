"""The search index: rows in rank order, and the sets of rows that queries intersect.

The index depends on ``domain`` only. The indexer can always rebuild it from the store. The caller passes the function
that renders a record for the API.
"""

from modelyard.index.budget import Budget, OverBudgetError, question_budget, quick_budget
from modelyard.index.directory import SegmentDirectory
from modelyard.index.facets import Facets
from modelyard.index.key_lookup import KeyLookup
from modelyard.index.model_groups import NO_LEADS, Leads, ListedModel, Listing
from modelyard.index.preparation import prepare
from modelyard.index.reader import Index, plan_for
from modelyard.index.search import Count, Page
from modelyard.index.segment import Segment
from modelyard.index.segment_file import DamagedSegmentError

__all__ = [
    "NO_LEADS",
    "Budget",
    "Count",
    "DamagedSegmentError",
    "Facets",
    "Index",
    "KeyLookup",
    "Leads",
    "ListedModel",
    "Listing",
    "OverBudgetError",
    "Page",
    "Segment",
    "SegmentDirectory",
    "plan_for",
    "prepare",
    "question_budget",
    "quick_budget",
]
