"""Files that come for a commit, in the shape of the Hugging Face Hub: whole, in parts, or as chunks in xorbs.

LFS   open_file ──bytes──> received ────────────────┐
LFS   open_parts ──bytes of each──> join_parts ─────┼─> verified in the verifier's process ──> results ──> a commit
xet   open_xorb ──bytes──> … add_file (a shard) ────┘
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import sqlalchemy as sa

from modelyard import errors, xet
from modelyard.domain import Viewer
from modelyard.registry.models import writing_team
from modelyard.registry.repositories import VerifiedFile, decode_verified
from modelyard.store import Store, blobs, jobs, uploads
from modelyard.store.jobs import CHECK
from modelyard.store.uploads import Upload
from modelyard.uploads.assembly import SEGMENTS, derive_upload_id, encode_segments, xorb_upload_id
from modelyard.uploads.uploads import HUB, PART, XORB, Uploads

# A xorb is of use until its shard comes, and for a while after that, if the file is sent again.
XORB_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Result:
    """A file of a commit: its upload, and the result of verification; None while it is not verified."""

    upload: Upload
    verified: VerifiedFile | None


class CommitUploads:
    """The files of one store that come for commits. Threads may share it."""

    def __init__(self, store: Store, incoming: Uploads, *, clock: Callable[[], float] | None = None) -> None:
        self._store = store
        self.uploads = incoming
        self._clock = clock or store.now

    def has(self, viewer: Viewer, sha256: str) -> bool:
        """Whether the viewer's team has a file already, or has sent it for a commit."""
        team = writing_team(viewer)
        with self._store.reading() as connection:
            if blobs.team_has(connection, sha256, team):
                return True
            upload = uploads.for_commit(connection, team, sha256)
        return upload is not None and not _is_refused(upload)

    def open_file(self, viewer: Viewer, sha256: str, size_bytes: int, *, segments: str = "") -> Upload:
        """Return the upload of a file, made now or by an earlier attempt to send it."""
        upload_id = derive_upload_id(HUB, writing_team(viewer), sha256)
        declared = {SEGMENTS: segments} if segments else {}
        return self._open(viewer, HUB, upload_id, size_bytes, declared, sha256)

    def refuse_many(self, viewer: Viewer, sha256s: Collection[str]) -> None:
        """Raise an error if the team cannot have so many more open uploads, before the first of them is opened.

        Raises InvalidValue for more files than it may ever have open, TooManyUploads for more than it may open now.
        """
        team, open_max = writing_team(viewer), self.uploads.limits.team_open_uploads_max
        files = [sha256 for sha256 in dict.fromkeys(sha256s) if not self.has(viewer, sha256)]
        if len(files) > open_max:
            raise errors.InvalidValue(f"{len(files):,} new files at once; accepted: up to {open_max:,}")
        with self._store.reading() as connection:
            new = [sha256 for sha256 in files if uploads.find(connection, derive_upload_id(HUB, team, sha256)) is None]
            if uploads.open_count(connection, team) + len(new) > open_max:
                raise errors.TooManyUploads(open_max, 60)

    def open_xorb(self, viewer: Viewer, xorb: str, size_bytes: int) -> Upload:
        """Return the upload of a xorb, made now or by an earlier attempt to send it."""
        if size_bytes > xet.XORB_BYTES_MAX:
            raise errors.TooLarge("the xorb", xet.XORB_BYTES_MAX)
        upload = self._open(viewer, XORB, xorb_upload_id(writing_team(viewer), xorb), size_bytes, {})
        self._keep([upload.id])
        return upload

    def open_parts(self, viewer: Viewer, token: str, sizes_bytes: Collection[int]) -> list[Upload]:
        """Return the uploads of the parts of a file. ``token`` names the file. Raises TooLarge by the whole file."""
        self.uploads.refuse_long(sum(sizes_bytes))
        return [
            self._open(viewer, PART, derive_upload_id(token, str(number)), size_bytes, {})
            for number, size_bytes in enumerate(sizes_bytes, 1)
        ]

    def join_parts(self, viewer: Viewer, token: str, count: int, sha256: str) -> None:
        """Make the upload of a file from its parts. A second call has no effect."""
        if self.has(viewer, sha256):
            return
        part_ids = [derive_upload_id(token, str(number)) for number in range(1, count + 1)]
        self.uploads.concatenate(viewer, part_ids, {}, kind=HUB, announced_sha256=sha256)

    def _open(
        self, viewer: Viewer, kind: str, upload_id: str, size_bytes: int, declared: dict[str, str], sha256: str = ""
    ) -> Upload:
        team = writing_team(viewer)
        with self._store.reading() as connection:
            upload = uploads.find(connection, upload_id)
        if upload is not None and upload.team == team and not _is_refused(upload):
            is_same = upload.length_bytes == size_bytes and upload.declared == declared
            if upload.received_at is not None or (is_same and upload.expires_at > self._clock()):
                return upload
        self._remove(upload_id)
        return self.uploads.create(
            viewer, kind, declared, length_bytes=size_bytes, announced_sha256=sha256 or None, upload_id=upload_id
        )

    def _remove(self, upload_id: str) -> None:
        with self._store.transaction() as transaction:
            uploads.remove(transaction.connection, upload_id)
        self.uploads.incoming.remove(upload_id)

    def _keep(self, upload_ids: Collection[str]) -> None:
        with self._store.transaction() as transaction:
            uploads.keep_until(transaction.connection, list(upload_ids), transaction.now + XORB_SECONDS)

    def add_file(self, viewer: Viewer, file: xet.File) -> None:
        """Make the upload of a file from its segments. The verifier assembles and hashes it.

        Raises InvalidValue if a xorb has not arrived.
        """
        if file.sha256 is None:
            raise errors.InvalidValue("shard: a file without a SHA-256; accepted: files with their metadata")
        team = writing_team(viewer)
        xorb_ids = {segment.xorb: xorb_upload_id(team, segment.xorb) for segment in file.segments}
        with self._store.reading() as connection:
            for xorb, upload_id in xorb_ids.items():
                upload = uploads.find(connection, upload_id)
                if upload is None or upload.received_at is None:
                    raise errors.InvalidValue(f"shard: the xorb {xorb} has not arrived; send it before the shard")
        self._keep(xorb_ids.values())
        if not self.has(viewer, file.sha256):
            segments = encode_segments(file.segments)
            upload = self.open_file(viewer, file.sha256, file.size_bytes, segments=segments)
            self.uploads.complete(upload, file.size_bytes)

    def results(self, viewer: Viewer, sha256s: Collection[str]) -> dict[str, Result]:
        """Return the files of a commit by their SHA-256. A file that the team has already is verified again.

        Raises InvalidValue if one has not arrived.
        """
        team = writing_team(viewer)
        results: dict[str, Result] = {}
        for sha256 in sha256s:
            with self._store.reading() as connection:
                upload = uploads.for_commit(connection, team, sha256)
                size_bytes = None if upload else _size_of(connection, team, sha256)
            if upload is None and size_bytes is None:
                raise errors.InvalidValue(f"the file with the SHA-256 {sha256} has not arrived; upload it first")
            if upload is None:
                upload = self._take_existing(viewer, sha256, size_bytes or 0)
            verified = decode_verified(upload.inspection) if upload.inspection else None
            results[sha256] = Result(upload, verified)
        return results

    def _take_existing(self, viewer: Viewer, sha256: str, size_bytes: int) -> Upload:
        """Make the upload of a file that is stored already, so that its facts are found."""
        upload = self.open_file(viewer, sha256, 0)
        with self._store.transaction() as transaction:
            upload = replace(upload, sha256=sha256, length_bytes=size_bytes, received_at=transaction.now)
            uploads.put(transaction.connection, upload)
            jobs.add(transaction.connection, CHECK, upload.id, transaction.now, team=upload.team)
        return upload

    def forget(self, upload_ids: Collection[str]) -> None:
        """Remove uploads whose files a commit refused."""
        for upload_id in upload_ids:
            self._remove(upload_id)


def _is_refused(upload: Upload) -> bool:
    return upload.inspection is not None and not decode_verified(upload.inspection).is_sound


def _size_of(connection: sa.Connection, team: str, sha256: str) -> int | None:
    """Return the size of a file that the team has in a model or a repository; None if it has none."""
    blob = blobs.find(connection, sha256) if blobs.team_has(connection, sha256, team) else None
    return blob.size_bytes if blob else None
