"""The tables, once, for every database.

    counters      model_revision, keys_revision, next_own_id
    models        what the API answers, one row a model, stamped with the revision that wrote it
      └ layers    what each source said about it, as JSON; a model is resolved from them again when one changes;
                  the long facts of a layer may have a row of their own, whose number is greater by 16
      └ model_texts   small files of models that lie in folders
      └ civitai_models   models as Civitai's JSON (``store.civitai_models``)
    tombstones    models that were removed, stamped likewise, so that followers take them out
    withdrawals ─ withdrawal_horizons   models that a team, or everyone, cannot see any more (``store.withdrawals``)
    deleted_models  what restores models that their teams deleted lately
      └ deleted_repositories ─ deleted_repository_files   their repositories
    base_models   families that models are made for
    teams ─ api_keys
    ended_sessions  sessions of browsers that ended before their cookies expire
    notes         small named texts, such as where an import stopped
    files         model files that stay where they are, one row a path: how it looked, what is in it, whose model it is
    covers ─ cover_pictures   pictures that are kept, each as one blob a width
      ├ model_covers          which models they were found with
      ├ cover_addresses       what came of outside addresses of pictures
      └ file_covers           the files that were looked at for one
    blobs         what is known of the bytes this server keeps, one row a SHA-256; models.blob points here
      └ blob_claims   who is about to store the bytes of a blob, or to remove them
    uploads       bytes on their way in, until their model is checked
    uploaders     which key sent a model
    fetches       files that the server fetches from other servers, and what became of them
    sends         files that generators fetch from here because a team asked for it, and how far they are
    repositories ─ repository_files   names and files that came in the shape of the Hugging Face Hub
    upstream_revisions ─ upstream_snapshots ─ upstream_files   what is kept of another hub
    webhooks ─ webhook_deliveries   what teams are told of changes, and what became of the messages
      └ upload_events   what webhooks still have to tell of uploads
    jobs          work for later, leased by whoever does it
    downloads     how often each model was fetched from here
    audit         who changed what (``store.audit``)
    signing_keys  the secrets that download links are signed with

Migrations make these tables (``migrations/versions``); a test holds the two equal. Times are whole Unix seconds.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from modelyard.store import cover_tables, transfer_tables, upstream_tables, webhook_tables
from modelyard.store.metadata import ID as _ID
from modelyard.store.metadata import METADATA

metadata = METADATA

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
MODEL_REVISION = "model_revision"
KEYS_REVISION = "keys_revision"
NEXT_OWN_ID = "next_own_id"

teams = Table(
    "teams",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("sd_name", Text, nullable=False),
    Column("type_name", Text, nullable=False),
    Column("type_display_name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("team", Text, ForeignKey("teams.name")),
    Column("status", SmallInteger, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("base_model_type", Text, nullable=False),
    Column("is_sdxl", Boolean, nullable=False),
    Column("is_nsfw", Boolean, nullable=False),
    Column("tags", Text, nullable=False),
    Column("categories", Text, nullable=False),
    Column("cover_url", Text, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("autov1", Text),
    Column("autov2", Text),
    Column("autov3", Text),
    Column("sha256", Text),
    Column("blake3", Text),
    Column("crc32", Text),
    Column("blob", Text),
    # Every form of the hashes of further files, separated by spaces.
    Column("file_hashes", Text),
    # The rest is null in a row that an older version wrote.
    Column("title", Text),
    Column("creator", Text),
    Column("trigger_words", Text),
    Column("file_names", Text),
    Column("published_at", BigInteger),
    Column("updated_at", BigInteger),
    Column("added_at", BigInteger),
    Column("size_bytes", BigInteger),
    Column("licence", Text),
    Column("version_group", Text),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint("visibility = 'public' OR team IS NOT NULL", name="private_has_team"),
    CheckConstraint("status IN (0, 1)", name="status"),
    # A follower asks for what is newer than it has.
    Index(None, "revision"),
    # Whether a name is taken is asked for every model that is put.
    Index(None, "sd_name"),
    # Which models the bytes that nobody else needs belong to.
    Index(None, "blob"),
    # Whether a file that was found is a model that is known.
    Index(None, "sha256"),
    Index(None, "autov2"),
    Index(None, "autov3"),
    # The other versions of a model.
    Index(None, "version_group"),
    # Whether a file that a browser is about to send may be here.
    Index(None, "size_bytes"),
)

# The hashes of ``models.file_hashes``, to find models by them.
model_hashes = Table(
    "model_hashes",
    metadata,
    Column("digits", Text, primary_key=True),
    Column("model_id", _ID, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "model_id"),
    sqlite_with_rowid=False,
)

layers = Table(
    "layers",
    metadata,
    Column("model_id", _ID, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("layer", SmallInteger, primary_key=True),
    Column("facts", Text, nullable=False),
    sqlite_with_rowid=False,
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Index(None, "revision"),
)

# Models that their teams deleted. No reader of models needs a condition: the rows of these models are gone.
deleted_models = Table(
    "deleted_models",
    metadata,
    Column("model_id", _ID, primary_key=True, autoincrement=False),
    Column("team", Text, nullable=False),
    # The model with its layers, as JSON.
    Column("entry", Text, nullable=False),
    # The ids of its files in folders, and its covers by origin, as JSON.
    Column("files", Text, nullable=False),
    Column("covers", Text, nullable=False),
    Column("downloads", BigInteger, nullable=False),
    Column("blob", Text),
    Column("deleted_at", BigInteger, nullable=False),
    Index(None, "team"),
    Index(None, "blob"),
    Index(None, "deleted_at"),
)

base_models = Table(
    "base_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("architecture", Text, nullable=False),
    Column("is_sdxl", Boolean, nullable=False),
    Column("aliases", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    # SHA-256 of the key. The key has 256 random bits, so a slow hash would add nothing.
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("team", Text, ForeignKey("teams.name"), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    # What people call the key, and what it is for; null in a row that an older version wrote.
    Column("name", Text),
    Column("purpose", Text),
    # What a person signs in by, proxy or oidc; null for keys. Nobody knows a key with the digest of such a row.
    Column("provider", Text),
    # The key that took the place of this one.
    Column("replaced_by", _ID),
    # Ids of keys are names people write down: never given twice.
    sqlite_autoincrement=True,
)

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    # When the cookie expires: the row is of no use after that.
    Column("expires_at", BigInteger, nullable=False),
)

notes = Table(
    "notes",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("id", _ID, primary_key=True),
    # As the operating system has it: a name need not be UTF-8.
    Column("path", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    # Both have 64 bits without a sign on some systems, and are only compared for being the same.
    Column("inode", Text, nullable=False),
    # Null in a row of a version that did not note it.
    Column("ctime_ns", BigInteger),
    Column("device", Text, nullable=False),
    # What the side-cars beside it looked like: a digest, empty where there are none.
    Column("sidecars", Text, nullable=False),
    # "present", "missing", "broken" or "changed" (while it was read: to be looked at again).
    Column("state", Text, nullable=False),
    # Of inspection; why a file is of no use.
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Lower case.
    Column("sha256", Text),
    Column("autov3", Text),
    Column("hashes_pending", Boolean, nullable=False),
    # Null where its model was removed since: it is not made again while the file stays as it is.
    Column("model_id", _ID, ForeignKey("models.id", ondelete="SET NULL")),
    # Whose model the file makes.
    Column("source", Text, nullable=False),
    Column("team", Text),
    Column("visibility", Text, nullable=False),
    # Of a file that is a part: which model it belongs to, by its folder, and its name in the model's list of files.
    Column("folder", LargeBinary),
    Column("part", Text),
    # What a person decided: the version that the file is, or 0 for a model of its own. Null where hashes decide.
    Column("linked_id", BigInteger),
    # The node that found it last, which alone can find that it is gone; empty for a file of all nodes.
    Column("node", Text, nullable=False, server_default=text("''")),
    # Not used any more. It stays as long as nodes of older versions, which write it, may share the database.
    Column("last_seen", BigInteger, nullable=False, default=0),
    # All that inspection found, as JSON. Last, because it is long: SQLite reads a row from the front.
    Column("inspection", Text, nullable=False),
    UniqueConstraint("path"),
    Index(None, "model_id"),
    Index(None, "sha256"),
    Index(None, "autov3"),
    Index(None, "folder"),
)

covers = cover_tables.covers
cover_pictures = cover_tables.cover_pictures
model_covers = cover_tables.model_covers
cover_addresses = cover_tables.cover_addresses
file_covers = cover_tables.file_covers

blobs = Table(
    "blobs",
    metadata,
    # Lower case.
    Column("sha256", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
    # What inspection said of the bytes; nobody is given a blob that is not sound.
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Since when nothing points at it, as far as anybody looked.
    Column("unused_since", BigInteger),
)

uploads = transfer_tables.uploads
uploaders = transfer_tables.uploaders
fetches = transfer_tables.fetches
sends = transfer_tables.sends

repositories = Table(
    "repositories",
    metadata,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Null until the first weights come.
    Column("model_id", _ID, ForeignKey("models.id", ondelete="CASCADE")),
    UniqueConstraint("team", "name"),
    Index(None, "model_id"),
)

repository_files = Table(
    "repository_files",
    metadata,
    Column("repository", Text, ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    # Lower case, of the blob of weights; null for a text, which is stored here.
    Column("sha256", Text),
    Column("content", LargeBinary),
    Index(None, "sha256"),
)

# Copies of the two, of deleted models that can be restored: the names of these repositories are free.
deleted_repositories = Table(
    "deleted_repositories",
    metadata,
    Column(
        "model_id",
        _ID,
        ForeignKey("deleted_models.model_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("name", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

deleted_repository_files = Table(
    "deleted_repository_files",
    metadata,
    Column(
        "model_id",
        _ID,
        ForeignKey("deleted_repositories.model_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("path", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text),
    Column("content", LargeBinary),
    Index(None, "sha256"),
)

model_texts = Table(
    "model_texts",
    metadata,
    Column("model_id", _ID, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # Relative to the folder of the model.
    Column("path", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

civitai_models = Table(
    "civitai_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model_id", _ID, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
    Column("rendering", Integer, nullable=False),
    Column("versions", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "model_id"),
)

# A copy of model_texts, of deleted models that can be restored.
deleted_model_texts = Table(
    "deleted_model_texts",
    metadata,
    Column(
        "model_id",
        _ID,
        ForeignKey("deleted_models.model_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("path", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

upstream_revisions = upstream_tables.revisions
upstream_snapshots = upstream_tables.snapshots
upstream_files = upstream_tables.files

webhooks = webhook_tables.webhooks
webhook_deliveries = webhook_tables.deliveries
upload_events = webhook_tables.upload_events

jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # Teams take turns; empty where the work is no team's.
    Column("team", Text, nullable=False, server_default=text("''")),
    Column("created_at", BigInteger, nullable=False),
    # Not before this time.
    Column("run_at", BigInteger, nullable=False),
    # Whose work it is, and until when; a lease that ran out is anybody's.
    Column("leased_until", BigInteger),
    Column("lease_owner", Text),
    Column("attempts", Integer, nullable=False),
    Column("failure", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    # When it was begun last, when work that returns was done last, and when it failed last.
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("failed_at", BigInteger),
    UniqueConstraint("kind", "subject"),
    Index(None, "run_at"),
)

# Models that were imported from another catalogue, which gave them an id of its own.
origins = Table(
    "origins",
    metadata,
    Column("model_id", _ID, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # ``<catalogue>/<id>``
    Column("origin", Text, nullable=False, unique=True),
)

downloads = Table(
    "downloads",
    metadata,
    Column("model_id", _ID, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # From when on what it signed is refused; null for the one that signs.
    Column("ends_at", BigInteger),
)
