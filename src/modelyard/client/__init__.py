"""The Python client: list a server's models, download their files, and upload files.

    with Client("https://models.example.org", "sk_…") as client:
        for model in client.models(types="lora", query="night"):
            client.download(model, Path("loras"))

Answers are the API's own records, typed. A filter or field that the server does not know is an error. Errors are this
package's: ModelNotFound, InvalidKey, TooLarge and the others, with the server's message and facts. The client retries
temporary failures, such as 429, 503 and lost connections, with growing waits or as the server's Retry-After says.
"""

from modelyard.client.changes import ModelChange
from modelyard.client.client import CHUNK_BYTES, WAITING, Client, hash_file
from modelyard.client.fields import (
    AuditFilters,
    Changes,
    Check,
    Details,
    FetchSource,
    Filters,
    LicenceFields,
    Model,
    ModelKind,
    Need,
    Needs,
    RecommendedFields,
    UploadFields,
    User,
)
from modelyard.wire.audit import AuditRecord

__all__ = [
    "CHUNK_BYTES",
    "WAITING",
    "AuditFilters",
    "AuditRecord",
    "Changes",
    "Check",
    "Client",
    "Details",
    "FetchSource",
    "Filters",
    "LicenceFields",
    "Model",
    "ModelChange",
    "ModelKind",
    "Need",
    "Needs",
    "RecommendedFields",
    "UploadFields",
    "User",
    "hash_file",
]
