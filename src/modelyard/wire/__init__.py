"""The API's spelling, once: parameter names, JSON keys, error answers and header names.

parameters   a query string becomes a query, or an error that names the parameter; cursors
records      a model becomes its JSON, a list of them a page
problems     an error becomes its status, reason and JSON
headers      the names of the API's own headers
"""

from modelyard.wire.headers import (
    IGNORED_HEADER,
    MIN_REVISION_HEADER,
    MODEL_HEADER,
    REVISION_HEADER,
    SUGGESTION_HEADER,
    TOTAL_HEADER,
)
from modelyard.wire.parameters import (
    NAMES,
    PARAMETERS,
    QUERY_CHARS_MAX,
    QUERY_STRING_BYTES_MAX,
    Parameter,
    ParsedQuery,
    format_cursor,
    given,
    ignored_header,
    parse_query,
)
from modelyard.wire.problems import ERROR_ANSWERS, ErrorAnswer, error_answer, render_error
from modelyard.wire.records import (
    FIELD_MEANINGS,
    RENDERING,
    TTL_DEFAULT_SECONDS,
    ModelPage,
    ModelRecord,
    TypeRecord,
    fill_holes,
    has_holes,
    join_page,
    render_page,
    render_record,
)

__all__ = [
    "ERROR_ANSWERS",
    "FIELD_MEANINGS",
    "IGNORED_HEADER",
    "MIN_REVISION_HEADER",
    "MODEL_HEADER",
    "NAMES",
    "PARAMETERS",
    "QUERY_CHARS_MAX",
    "QUERY_STRING_BYTES_MAX",
    "RENDERING",
    "REVISION_HEADER",
    "SUGGESTION_HEADER",
    "TOTAL_HEADER",
    "TTL_DEFAULT_SECONDS",
    "ErrorAnswer",
    "ModelPage",
    "ModelRecord",
    "Parameter",
    "ParsedQuery",
    "TypeRecord",
    "error_answer",
    "fill_holes",
    "format_cursor",
    "given",
    "has_holes",
    "ignored_header",
    "join_page",
    "parse_query",
    "render_error",
    "render_page",
    "render_record",
]
