"""Derived state: rows in rank order, and the sets that answer questions over them.

The index knows ``domain`` only. It can always be thrown away and built again from the store; what a record looks
like on the wire is given to it as a function.
"""

from modelyard.index.facets import Facets
from modelyard.index.segment_file import DamagedSegmentError
from modelyard.index.directory import SegmentFolder
from modelyard.index.reader import Index, plan_for
from modelyard.index.search import Page

__all__ = ["DamagedSegmentError", "Facets", "Index", "Page", "SegmentFolder", "plan_for"]
