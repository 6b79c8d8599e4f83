"""Everything that goes over the wire: parameter names, JSON keys, error answers and header names.

parameters  the parameters of the model list: names, values and meaning
queries     parses query strings; an error names the parameter
cursors     parses and formats cursors
records     renders models and pages as JSON; packed_records has the parts that the index leaves out
problems    renders errors as status, reason and JSON
needs       the answer to a workflow
hub         the JSON of the Hugging Face Hub; hub_tags has its words, hub_summaries the models of its lists
headers     the names of the API's own headers
"""

from modelyard.wire.cursors import format_cursor
from modelyard.wire.headers import (
    FILTER_SUGGESTION_HEADER,
    IGNORED_HEADER,
    MIN_REVISION_HEADER,
    MODEL_HEADER,
    NAME_HEADER,
    REVISION_HEADER,
    SUGGESTION_HEADER,
    TOTAL_HEADER,
)
from modelyard.wire.needs import NeedAnswer, NeedsAnswer, join_needs
from modelyard.wire.parameters import (
    HASH_ALLOWED,
    NAMES,
    PARAMETERS,
    QUERY_CHARS_MAX,
    Parameter,
    parse_hash,
)
from modelyard.wire.problems import ERROR_ANSWERS, ErrorAnswer, error_answer, render_error
from modelyard.wire.queries import (
    QUERY_STRING_BYTES_MAX,
    ParsedQuery,
    filter_suggestion_header,
    ignored_header,
    parse_query,
    query_pairs,
)
from modelyard.wire.records import (
    FIELD_MEANINGS,
    RENDERING,
    TTL_DEFAULT_SECONDS,
    Count,
    FacetsAnswer,
    HashMatches,
    ModelPage,
    ModelRecord,
    TypeRecord,
    fill_holes,
    has_holes,
    join_matches,
    join_page,
    pack_record,
    render_page,
    render_record,
)

__all__ = [
    "ERROR_ANSWERS",
    "FIELD_MEANINGS",
    "FILTER_SUGGESTION_HEADER",
    "HASH_ALLOWED",
    "IGNORED_HEADER",
    "MIN_REVISION_HEADER",
    "MODEL_HEADER",
    "NAMES",
    "NAME_HEADER",
    "PARAMETERS",
    "QUERY_CHARS_MAX",
    "QUERY_STRING_BYTES_MAX",
    "RENDERING",
    "REVISION_HEADER",
    "SUGGESTION_HEADER",
    "TOTAL_HEADER",
    "TTL_DEFAULT_SECONDS",
    "Count",
    "ErrorAnswer",
    "FacetsAnswer",
    "HashMatches",
    "ModelPage",
    "ModelRecord",
    "NeedAnswer",
    "NeedsAnswer",
    "Parameter",
    "ParsedQuery",
    "TypeRecord",
    "error_answer",
    "fill_holes",
    "filter_suggestion_header",
    "format_cursor",
    "has_holes",
    "ignored_header",
    "join_matches",
    "join_needs",
    "join_page",
    "pack_record",
    "parse_hash",
    "parse_query",
    "query_pairs",
    "render_error",
    "render_page",
    "render_record",
]
