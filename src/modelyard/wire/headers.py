"""The names of the API's own headers."""

IGNORED_HEADER = "Modelyard-Ignored-Parameters"


TOTAL_HEADER = "Modelyard-Total"


SUGGESTION_HEADER = "Modelyard-Suggestion"


FILTER_SUGGESTION_HEADER = "Modelyard-Filter-Suggestion"


REVISION_HEADER = "Modelyard-Revision"


MIN_REVISION_HEADER = "Modelyard-Min-Revision"


MODEL_HEADER = "Modelyard-Model"


# Of a change: "transliterated" or "fallback" if the model's name is not the one that was sent.
NAME_HEADER = "Modelyard-Name"
