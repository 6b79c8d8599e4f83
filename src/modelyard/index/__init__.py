"""Derived state: rows in rank order, and the sets that answer questions over them.

The index knows ``domain`` only. It can always be thrown away and built again from the store; what a record looks
like on the wire is given to it as a function.
"""

from modelyard.index.directory import SegmentDirectory
from modelyard.index.facets import Facets
from modelyard.index.reader import Index, plan_for
from modelyard.index.search import Page
from modelyard.index.segment_file import DamagedSegmentError

__all__ = ["DamagedSegmentError", "Facets", "Index", "Page", "SegmentDirectory", "plan_for"]
