"""The search index: rows in rank order, and the sets of rows that queries intersect.

The index depends on ``domain`` only. The indexer can always rebuild it from the store. The caller passes the function
that renders a record for the API.
"""

from modelyard.index.directory import SegmentDirectory
from modelyard.index.facets import Facets
from modelyard.index.reader import Index, plan_for
from modelyard.index.search import Page
from modelyard.index.segment_file import DamagedSegmentError

__all__ = ["DamagedSegmentError", "Facets", "Index", "Page", "SegmentDirectory", "plan_for"]
